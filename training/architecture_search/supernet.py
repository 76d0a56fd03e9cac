"""A supernet: the largest network of a space, in which every other is a matter of masks.

A network of w channels is the first w channels of each layer, one of kernel 3 the middle of a kernel 5, a stage of two
blocks one whose third adds nothing (Once for All, arXiv:1908.09791; the masks: FBNetV2, arXiv:2004.05565).
A choice is a weight for each option of each decision: ones and zeros for a network, anything between for a mixture, so
the same graph serves sampling and gradients of the choice.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import keras_mobilenets as km
from keras_mobilenets.models.mobilenets.searched import excited_channels
from keras_mobilenets.training.architecture_search.space import Genes, Space
from keras_mobilenets.training.engine.batch_normalization import normalized

_CURVES = {"relu6": tf.nn.relu6, "relu": tf.nn.relu, "silu": tf.nn.silu, "hard_silu": keras.activations.hard_silu}


class Supernet:
    """The shared weights of all networks of a space.

    Batch normalization always takes the statistics of the batch, since those of one network are not another's. Blocks
    that add to their input begin as the identity (BigNAS, arXiv:2003.11142, section 3.1).

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
        firsts = np.cumsum([0, *(max(stage.repeats) for stage in space.stages)])
        for index in set(range(firsts[-1])) - set(firsts):  # residual blocks begin as the identity
            gamma = self._layers[f"block_{index}_project_bn"].gamma
            gamma.assign(np.zeros(gamma.shape))
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

        What no option with a weight has (channels, the rim of a kernel, a block, a gate) is not computed.

        Args:
            images: float32 N×H×W×3 in [−1, 1], of the size that was chosen.
            choice: float32, `width` long.

        Returns:
            float32 N×classes.
        """
        given, space = self.weights_of(choice), self.space
        curve = _mixed_curve(space.activation, given["activation"])
        mask = _mask(space.stem_filters, given["stem_filters"])
        x = curve(self._normalized("stem", images, mask)) * mask
        channels, chosen = space.stem_filters, given["stem_filters"]
        index = 0
        for number, stage in enumerate(space.stages):
            own = {name.split("_", 2)[2]: p for name, p in given.items() if name.startswith(f"stage_{number}_")}
            for repeat in range(max(stage.repeats)):
                block = partial(self._block, x, stage, own, channels, chosen, repeat, f"block_{index}")
                there = tf.reduce_sum(own["repeats"] * [float(count > repeat) for count in stage.repeats])
                x = tf.cond(there > 0, partial(block, there), partial(tf.identity, x))
                channels, chosen = stage.filters, own["filters"]
                index += 1
        mask = _mask(space.head_filters, given["head_filters"])
        x = tf.reduce_mean(curve(self._normalized("head", x, mask)), (1, 2)) * mask
        predictions = self._layers["predictions"]
        return x @ predictions.kernel[: tf.shape(x)[-1]] + predictions.bias

    def _block(
        self,
        x: tf.Tensor,
        stage: Any,
        own: dict[str, tf.Tensor],
        channels: Sequence[int],
        chosen: tf.Tensor,
        repeat: int,
        name: str,
        there: tf.Tensor,
    ) -> tf.Tensor:
        """One block; `channels` are the choices of its input's, `chosen` their weights."""
        shortcut, strides = x, stage.strides if repeat == 0 else 1
        pairs = [round(t * c) for t in stage.expansion for c in channels]
        weights = tf.reshape(own["expansion"][:, None] * chosen[None], [-1])
        wide, curve = _mask(pairs, weights), _mixed_curve(stage.activation, own["activation"])
        if f"{name}_expand" in self._layers:
            x = curve(self._normalized(f"{name}_expand", x, wide)) * wide
        x = curve(self._depthwise(x, stage.kernel_size, own["kernel_size"], f"{name}_depthwise")) * wide
        if any(stage.excite):
            reduced = _mask([excited_channels(pair) for pair in pairs], weights)
            excited = tf.reduce_sum(own["excite"] * [float(choice) for choice in stage.excite])
            x = tf.cond(excited > 0, lambda: x * (1 + excited * (self._gate(x, reduced, name) - 1)), lambda: x)
        mask = _mask(stage.filters, own["filters"])
        x = self._normalized(f"{name}_project", x, mask) * mask
        if repeat:
            return shortcut + there * x
        if strides == 1:  # added where the chosen channels are as many
            same = [[float(a == b) for b in stage.filters] for a in channels]
            added = tf.reduce_sum(chosen[:, None] * same * own["filters"][None])
            return x + added * _of_channels(shortcut, tf.shape(x)[-1])
        return x

    def _gate(self, x: tf.Tensor, reduced: tf.Tensor, name: str) -> tf.Tensor:
        """The squeeze-and-excite of a block."""
        gate = tf.reduce_mean(x, (1, 2), keepdims=True)
        gate = tf.nn.relu(self._convolved(f"{name}_se_reduce", gate, tf.shape(reduced)[0])) * reduced
        return keras.activations.hard_sigmoid(self._convolved(f"{name}_se_expand", gate, tf.shape(x)[-1]))

    def _convolved(self, name: str, x: tf.Tensor, filters: tf.Tensor) -> tf.Tensor:
        """The first channels of a layer's output, from the first of its input."""
        layer = self._layers[name]
        x = tf.nn.conv2d(x, layer.kernel[:, :, : tf.shape(x)[-1], :filters], layer.strides, "SAME")
        return x if layer.bias is None else x + layer.bias[:filters]

    def _normalized(self, name: str, x: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        return self._batch_norm(name, self._convolved(name, x, tf.shape(mask)[0]))

    def _depthwise(self, x: tf.Tensor, sizes: Sequence[int], chosen: tf.Tensor, name: str) -> tf.Tensor:
        layer, largest = self._layers[name], max(sizes)
        middles = [np.pad(np.ones((size, size), np.float32), (largest - size) // 2) for size in sizes]
        kernel = layer.kernel[:, :, : tf.shape(x)[-1]] * tf.tensordot(chosen, np.stack(middles), 1)[:, :, None, None]
        rim = (largest - tf.reduce_max(tf.where(chosen > 0, sizes, 0))) // 2
        kernel = kernel[rim : largest - rim, rim : largest - rim]
        x = tf.raw_ops.DepthwiseConv2dNative(input=x, filter=kernel, strides=[1, *layer.strides, 1], padding="SAME")
        return self._batch_norm(name, x)

    def _batch_norm(self, name: str, x: tf.Tensor) -> tf.Tensor:
        layer, channels = self._layers[f"{name}_bn"], tf.shape(x)[-1]
        return normalized(x, layer.gamma[:channels], layer.beta[:channels], layer.epsilon)[0]


def _mask(counts: Sequence[int], weights: tf.Tensor) -> tf.Tensor:
    """The channels of the largest choice that has a weight, each with the sum of the weights of those that have it."""
    rows = np.arange(max(counts))[None] < np.array(counts)[:, None]
    mask = tf.tensordot(weights, rows.astype(np.float32), 1)
    return mask[: tf.math.count_nonzero(mask)]


def _mixed_curve(names: Sequence[str], weights: tf.Tensor) -> Any:
    """The activations by their weights."""
    curves = [_CURVES[name] for name in names]

    def curve(x: tf.Tensor) -> tf.Tensor:
        def mixture() -> tf.Tensor:
            return tf.add_n([weights[place] * each(x) for place, each in enumerate(curves)])

        place = tf.where(tf.reduce_max(weights) == 1, tf.argmax(weights, output_type=tf.int32), len(curves))
        return tf.switch_case(place, [*(partial(each, x) for each in curves), mixture])

    return curve


def _of_channels(x: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """The first channels, zeros behind them where there are fewer."""
    x = x[..., :count]
    return tf.pad(x, [[0, 0]] * 3 + [[0, count - tf.shape(x)[-1]]])
