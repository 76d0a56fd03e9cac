"""Removal of channels from a functional model: the same layers and names, fewer filters, sliced weights."""

from functools import singledispatch
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_mobilenets.blocks import ChannelSlice
from keras_mobilenets.training.channel_pruning.groups import Channels


def remove_channels(model: keras.Model, channels: Channels, keep: np.ndarray) -> keras.Model:
    """Rebuilds a model with the channels to keep.

    Args:
        model: The functional model whose channels these are; it is left as it is.
        channels: Its channels.
        keep: Whether each channel number is kept, bool.
    """

    def clone(layer: Any) -> Any:
        config = layer.get_config()
        if layer.name in channels.reads:
            config |= config_changes(layer, keep[channels.reads[layer.name]], keep[channels.writes[layer.name]])
        return type(layer).from_config(config)

    smaller = keras.models.clone_model(model, clone_function=clone)
    for layer in model.layers:
        weights = layer.get_weights()
        if weights and layer.name in channels.reads:
            weights = slice_weights(layer, weights, keep[channels.reads[layer.name]], keep[channels.writes[layer.name]])
        if weights:
            smaller.get_layer(layer.name).set_weights(weights)
    return smaller


# Per layer class, given which channels of its input and of its output are kept.


@singledispatch
def config_changes(layer: Any, read: np.ndarray, written: np.ndarray) -> dict[str, Any]:
    """The changes to the layer's config."""
    return {}


@config_changes.register
def _(layer: layers.Conv2D, read: np.ndarray, written: np.ndarray) -> dict[str, Any]:
    return {"filters": int(written.sum())}


@config_changes.register
def _(layer: layers.Dense, read: np.ndarray, written: np.ndarray) -> dict[str, Any]:
    return {"units": int(written.sum())}


@config_changes.register
def _(layer: ChannelSlice, read: np.ndarray, written: np.ndarray) -> dict[str, Any]:
    return {"start": int(read[: layer.start].sum()), "stop": int(read[: layer.stop].sum())}


@config_changes.register
def _(layer: layers.Cropping2D, read: np.ndarray, written: np.ndarray) -> dict[str, Any]:
    if layer.data_format == "channels_last":
        return {}
    rows, (left, right) = layer.cropping
    return {"cropping": (rows, (int(read[:left].sum()), int(read[len(read) - right :].sum())))}


@config_changes.register
def _(layer: layers.Reshape, read: np.ndarray, written: np.ndarray) -> dict[str, Any]:
    lengths = [int(written.any(axis=tuple(set(range(written.ndim)) - {i})).sum()) for i in range(written.ndim)]
    target = list(layer.target_shape)
    for axis, length in enumerate(lengths, len(target) - written.ndim):
        target[axis] = target[axis] if target[axis] == -1 else length
    return {"target_shape": target}


@singledispatch
def slice_weights(layer: Any, weights: list[np.ndarray], read: np.ndarray, written: np.ndarray) -> list[np.ndarray]:
    """The layer's weights without those of the removed channels."""
    return weights


@slice_weights.register
def _(layer: layers.Conv2D, weights: list, read: np.ndarray, written: np.ndarray) -> list[np.ndarray]:
    kernel, *bias = weights
    group = read[: kernel.shape[2]]  # all groups keep the same channels
    return [kernel[:, :, group][..., written], *(b[written] for b in bias)]


@slice_weights.register
def _(layer: layers.DepthwiseConv2D, weights: list, read: np.ndarray, written: np.ndarray) -> list[np.ndarray]:
    kernel, *bias = weights
    return [kernel[:, :, read], *(b[written] for b in bias)]


@slice_weights.register
def _(layer: layers.Dense, weights: list, read: np.ndarray, written: np.ndarray) -> list[np.ndarray]:
    kernel, *bias = weights
    return [kernel[read][:, written], *(b[written] for b in bias)]


@slice_weights.register
def _(layer: layers.BatchNormalization, weights: list, read: np.ndarray, written: np.ndarray) -> list[np.ndarray]:
    return [weight[written] for weight in weights]
