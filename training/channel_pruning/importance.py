"""Channel importance, by three criteria of the literature.

bn_scale: |γ| of the batch normalization, Liu et al. 2017, "Network Slimming", arXiv:1708.06519, section 3.
l1: sum of the filter's absolute weights, Li et al. 2016, "Pruning Filters for Efficient ConvNets", arXiv:1608.08710.
taylor: squared first-order change of the loss, Molchanov et al. 2019, "Importance Estimation", arXiv:1906.10771.
"""

from typing import Any

import keras
import numpy as np
from keras import layers

from keras_mobilenets.training.channel_pruning.groups import Channels
from keras_mobilenets.training.datasets.dataset import Data
from keras_mobilenets.training.recipe import PLAIN

IMPORTANCES = ("bn_scale", "l1", "taylor")
BATCHES = 16  # of training images for "taylor"
_FILTERS = layers.Conv2D | layers.DepthwiseConv2D | layers.Dense


def scores(model: keras.Model, channels: Channels, importance: str, data: Data | None = None) -> np.ndarray:
    """The score of each channel number, 0 or more; averaged over the layers that write the channel.

    Where a channel has no batch normalization, "bn_scale" and "taylor" use its filters.

    Args:
        model: The model whose channels these are.
        channels: Its channels.
        importance: One of `IMPORTANCES`.
        data: For "taylor", which uses its first training batches.
    """
    known = [layer for layer in model.layers if layer.name in channels.reads]
    norms = {x.name: [x.gamma, x.beta] for x in known if isinstance(x, layers.BatchNormalization) and x.scale}
    filters = {x.name: [x.kernel, x.bias] for x in known if isinstance(x, _FILTERS)}
    members = norms | filters
    if importance == "taylor":
        assert data is not None
        measured = _taylor(model, members, data, channels)
    else:
        measured = {name: _magnitudes(first, channels.writes[name].size) for name, (first, _) in members.items()}
    by_filter = _mean_scores(channels, {name: measured[name] for name in filters})
    if importance == "l1":
        return by_filter
    by_norm = _mean_scores(channels, {name: measured[name] for name in norms})
    return np.where(np.isnan(by_norm), by_filter, by_norm)


def _magnitudes(weight: Any, count: int) -> np.ndarray:
    """The sum of absolute weights of each of a layer's channels, relative to their mean."""
    sums = np.abs(np.asarray(weight)).reshape(-1, count).sum(0)
    return sums / max(sums.mean(), 1e-12)


def _taylor(model: keras.Model, members: dict[str, list[Any]], data: Data, channels: Channels) -> dict[str, np.ndarray]:
    """The squared change of the loss, to first order, when a channel's weights in a layer become 0."""
    import tensorflow as tf

    loss = data.task.objective(model, PLAIN).loss
    variables = {name: [v.value for v in pair if v is not None] for name, pair in members.items()}

    @tf.function
    def changes(images: Any, labels: Any) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            value = tf.reduce_mean(loss(labels, model(images, training=False)))
        gradients = tape.gradient(value, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return {
            name: sum(
                tf.reduce_sum(tf.reshape(v * g, (-1, channels.writes[name].size)), 0)
                for v, g in zip(variables[name], gradients[name], strict=True)
            )
            for name in variables
        }

    total = dict.fromkeys(members, np.zeros(()))
    for images, labels in data.epochs(0, 1).take(BATCHES):
        for name, change in changes(images, labels).items():
            total[name] = total[name] + change.numpy() ** 2
    return total


def _mean_scores(channels: Channels, measured: dict[str, np.ndarray]) -> np.ndarray:
    """The mean score of each channel number; NaN where it has none."""
    total, count = np.zeros(channels.count), np.zeros(channels.count)
    for name, values in measured.items():
        np.add.at(total, channels.writes[name].ravel(), values)
        np.add.at(count, channels.writes[name].ravel(), 1)
    return np.divide(total, count, out=np.full(channels.count, np.nan), where=count > 0)
