"""A supernet: the largest network of a space, in which every other is a matter of masks.

A network of w channels is the first w channels of each layer, one of kernel 3 the middle of a kernel 5, a stage of two
blocks one whose third adds nothing (Once for All, arXiv:1908.09791; the masks: FBNetV2, arXiv:2004.05565).
A choice is a weight for each option of each decision: ones and zeros for a network, anything between for a mixture, so
the same graph serves sampling and gradients of the choice.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import keras_mobilenets as km
from keras_mobilenets.models.mobilenets.searched import excited_channels
from keras_mobilenets.training.architecture_search.space import Genes, Space

_CURVES = {"relu6": tf.nn.relu6, "relu": tf.nn.relu, "silu": tf.nn.silu, "hard_silu": keras.activations.hard_silu}


class Supernet:
    """The shared weights of all networks of a space.

    Batch normalization always takes the statistics of the batch, since those of one network are not another's.

    Attributes:
        space: The networks.
        model: The largest one, whose layers hold the weights.
    """

    def __init__(self, space: Space, classes: int) -> None:
        """Builds the weights."""
        self.space = space
        self.model = km.create_model(
            "Searched",
            spec=space.spec(space.largest()),
            input_shape=(None, None, 3),
            classes=classes,
            classifier_activation=None,
            dropout_rate=0,
        )
        self._layers = {layer.name: layer for layer in self.model.layers}
        self._names = [name for name, _ in space.decisions()]
        self._lengths = [len(choices) for _, choices in space.decisions()]

    @property
    def width(self) -> int:
        """The length of a choice: the options of all decisions."""
        return sum(self._lengths)

    def choice(self, genes: Genes) -> np.ndarray:
        """The choice that a network is: float32 of ones and zeros."""
        parts = [np.eye(length, dtype=np.float32)[gene] for gene, length in zip(genes, self._lengths, strict=True)]
        return np.concatenate(parts)

    def weights_of(self, choice: tf.Tensor) -> dict[str, tf.Tensor]:
        """A choice by the names of the decisions."""
        return dict(zip(self._names, tf.split(choice, self._lengths), strict=True))

    def logits(self, images: tf.Tensor, choice: tf.Tensor) -> tf.Tensor:
        """What the network of a choice says.

        Args:
            images: float32 N×H×W×3 in [−1, 1], of the size that was chosen.
            choice: float32, `width` long.

        Returns:
            float32 N×classes.
        """
        given, space = self.weights_of(choice), self.space
        curve = _mixed_curve(space.activation, given["activation"])
        x = curve(self._normalized("stem", images)) * _mask(space.stem_filters, given["stem_filters"])
        channels, chosen = space.stem_filters, given["stem_filters"]
        index = 0
        for number, stage in enumerate(space.stages):
            own = {name.split("_", 2)[2]: p for name, p in given.items() if name.startswith(f"stage_{number}_")}
            for repeat in range(max(stage.repeats)):
                x = self._block(x, stage, own, channels, chosen, repeat, f"block_{index}")
                channels, chosen = stage.filters, own["filters"]
                index += 1
        x = curve(self._normalized("head", x)) * _mask(space.head_filters, given["head_filters"])
        return self._layers["predictions"](tf.reduce_mean(x, (1, 2)))

    def _block(
        self,
        x: tf.Tensor,
        stage: Any,
        own: dict[str, tf.Tensor],
        channels: Sequence[int],
        chosen: tf.Tensor,
        repeat: int,
        name: str,
    ) -> tf.Tensor:
        """One block; `channels` are the choices of its input's, `chosen` their weights."""
        shortcut, strides = x, stage.strides if repeat == 0 else 1
        pairs = [round(t * c) for t in stage.expansion for c in channels]
        weights = tf.reshape(own["expansion"][:, None] * chosen[None], [-1])
        wide, curve = _mask(pairs, weights), _mixed_curve(stage.activation, own["activation"])
        if f"{name}_expand" in self._layers:
            x = curve(self._normalized(f"{name}_expand", x)) * wide
        x = curve(self._depthwise(x, stage.kernel_size, own["kernel_size"], f"{name}_depthwise")) * wide
        if any(stage.excite):
            reduced = _mask([excited_channels(pair) for pair in pairs], weights)
            gate = tf.reduce_mean(x, (1, 2), keepdims=True)
            gate = tf.nn.relu(self._layers[f"{name}_se_reduce"](gate)) * reduced
            gate = keras.activations.hard_sigmoid(self._layers[f"{name}_se_expand"](gate))
            excited = tf.reduce_sum(own["excite"] * [float(choice) for choice in stage.excite])
            x = x * (1 + excited * (gate - 1))
        x = self._normalized(f"{name}_project", x) * _mask(stage.filters, own["filters"])
        if repeat:
            there = tf.reduce_sum(own["repeats"] * [float(count > repeat) for count in stage.repeats])
            return shortcut + there * x
        if strides == 1:  # added where the chosen channels are as many
            same = [[float(a == b) for b in stage.filters] for a in channels]
            added = tf.reduce_sum(chosen[:, None] * same * own["filters"][None])
            return x + added * _of_channels(shortcut, max(stage.filters))
        return x

    def _normalized(self, name: str, x: tf.Tensor) -> tf.Tensor:
        return self._layers[f"{name}_bn"](self._layers[name](x), training=True)

    def _depthwise(self, x: tf.Tensor, sizes: Sequence[int], chosen: tf.Tensor, name: str) -> tf.Tensor:
        layer, largest = self._layers[name], max(sizes)
        middles = [np.pad(np.ones((size, size), np.float32), (largest - size) // 2) for size in sizes]
        kernel = layer.kernel * tf.tensordot(chosen, np.stack(middles), 1)[:, :, None, None]
        x = tf.nn.depthwise_conv2d(x, kernel, [1, *layer.strides, 1], "SAME")
        return self._layers[f"{name}_bn"](x, training=True)


def _mask(counts: Sequence[int], weights: tf.Tensor) -> tf.Tensor:
    """The first channels, each with the sum of the weights of the choices that have it."""
    rows = np.arange(max(counts))[None] < np.array(counts)[:, None]
    return tf.tensordot(weights, rows.astype(np.float32), 1)


def _mixed_curve(names: Sequence[str], weights: tf.Tensor) -> Any:
    """The activations by their weights."""
    return lambda x: tf.add_n([weights[place] * _CURVES[name](x) for place, name in enumerate(names)])


def _of_channels(x: tf.Tensor, count: int) -> tf.Tensor:
    """The first channels, zeros behind them where there are fewer."""
    have = x.shape[-1]
    return x[..., :count] if have >= count else tf.pad(x, [[0, 0]] * 3 + [[0, count - have]])
