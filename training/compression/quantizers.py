"""Fake quantization for quantization-aware training: tfmot quantizers to TensorFlow Lite's int8 specification.

Weights: symmetric, −127 to 127, per channel, in depthwise convolutions too (tfmot quantizes depthwise kernels per
tensor). Activations: asymmetric, per tensor. A batch normalization that follows scales whole channels, so that folding
it into the weights, as the converter does, moves no weight to another int8 value.
Jacob et al. 2018, arXiv:1712.05877, sections 2 and 3; Krishnamoorthi 2018, arXiv:1806.08342, sections 2.2 and 3.2.
"""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
import tensorflow_model_optimization as tfmot

PRESERVED = ("sparsity", "clusters")


@dataclass(frozen=True)
class Point:
    """An activation that is quantized to int8.

    Attributes:
        values: The tensor, in float.
        low: Minimum of its range: a variable, or a number when it is fixed.
        high: Maximum of its range.
        is_float: Whether the layer that computes it is left in float.
    """

    values: tf.Tensor
    low: Any
    high: Any
    is_float: bool


_points: list[Point] | None = None


@contextlib.contextmanager
def unquantized() -> Iterator[list[Point]]:
    """Inside the block, a model computes in float; the list gets the activations that it would have quantized."""
    global _points
    before, _points = _points, []
    try:
        yield _points
    finally:
        _points = before


class WeightQuantizer(tfmot.quantization.keras.quantizers.Quantizer):
    """Fake-quantizes weights to int8, by their range at every step.

    Args:
        channel_axes: Number of the last axes that are output channels: 1 (convolution), 2 (depthwise convolution: input
            channels and multiplier), or 0 for quantization per tensor.
        preserve: "sparsity" keeps zeros at zero in training; "clusters" keeps equal weights of a layer equal; None
            preserves nothing.
    """

    def __init__(self, channel_axes: int, preserve: str | None = None):
        self.channel_axes = channel_axes
        self.preserve = preserve

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        """Creates the variable of zeros or clusters; `remember` fills it."""
        if self.preserve is None:
            return {}
        kept = layer.add_weight(f"{name}_{self.preserve}", shape=tensor_shape, dtype=tf.int32, trainable=False)
        return {"kept": kept}

    def remember(self, weights: Any, variables: dict[str, Any]) -> None:
        """Stores the zeros or the clusters of trained weights."""
        if self.preserve == "sparsity":
            variables["kept"].assign(tf.cast(weights != 0, tf.int32))
        elif self.preserve == "clusters":
            _, cluster = tf.unique(tf.reshape(weights, [-1]))
            variables["kept"].assign(tf.reshape(cluster, weights.shape))

    def __call__(self, inputs: Any, training: bool, weights: dict[str, Any], **kwargs: Any) -> Any:
        """The fake-quantized weights, with a straight-through gradient."""
        x = self._preserved(inputs, weights)
        if _points is not None:
            return tf.identity(x)  # the variable itself would become the wrapped layer's own again
        columns = tf.reshape(x, [-1, math.prod(x.shape[len(x.shape) - self.channel_axes :])])
        largest = tf.stop_gradient(tf.reduce_max(tf.abs(columns), axis=0))
        rounded = tf.quantization.fake_quant_with_min_max_vars_per_channel(
            columns, -largest, largest, narrow_range=True
        )
        return tf.reshape(rounded, x.shape)

    def _preserved(self, x: Any, variables: dict[str, Any]) -> Any:
        if self.preserve == "sparsity":
            return x * tf.cast(variables["kept"], x.dtype)
        if self.preserve == "clusters":
            # The mean of a cluster: its weights get the same gradient and stay equal.
            cluster = variables["kept"]
            means = tf.math.unsorted_segment_mean(x, cluster, tf.reduce_max(cluster) + 1)
            return tf.gather(means, cluster)
        return x

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {"channel_axes": self.channel_axes, "preserve": self.preserve}


class ActivationQuantizer(tfmot.quantization.keras.quantizers.Quantizer):
    """Fake-quantizes activations to int8, within a moving average of the minima and maxima of the batches.

    The first batch sets the range where calibration has not.

    Args:
        decay: Momentum of the moving average.
        is_float: Whether the layer is left in float; the range is then for the layers after it.
        is_centered: Whether zero is the middle of the range, as XNNPACK wants of a matrix product's second factor.
    """

    def __init__(self, decay: float = 0.99, is_float: bool = False, is_centered: bool = False):
        self.decay = decay
        self.is_float = is_float
        self.is_centered = is_centered

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        """Creates the range; 0 to 0 as long as it is unknown."""
        return {
            end: layer.add_weight(f"{name}_{end}", shape=(), initializer="zeros", trainable=False)
            for end in ("low", "high")
        }

    def __call__(self, inputs: Any, training: bool, weights: dict[str, Any], **kwargs: Any) -> Any:
        """The fake-quantized activations; the gradient is 0 outside of the range."""
        low, high = weights["low"], weights["high"]
        if _points is not None:
            _points.append(Point(inputs, low, high, self.is_float))
            return inputs
        if training:
            unknown = low >= high
            for end, extreme in ((low, tf.reduce_min(inputs)), (high, tf.reduce_max(inputs))):
                towards = tf.where(unknown, 1.0, 1 - self.decay)
                end.assign_add(towards * (tf.stop_gradient(extreme) - end))
            low.assign(tf.minimum(low, 0.0))  # zero must be representable
            high.assign(tf.maximum(high, 0.0))
        if self.is_centered:
            step = tf.maximum(low / -128, high / 127)
            low, high = -128 * step, 127 * step
        return tf.quantization.fake_quant_with_min_max_vars(inputs, low, high)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {"decay": self.decay, "is_float": self.is_float, "is_centered": self.is_centered}


class PixelQuantizer(ActivationQuantizer):
    """Fake-quantizes the image: with a range of −1 to 1 as `convert` quantizes pixels, otherwise as any activation.

    The int8 input is the pixel minus 128, and the converter's zero point −1, since 127.5 lies between two integers.
    """

    def __init__(self) -> None:
        super().__init__(decay=1.0)

    def __call__(self, inputs: Any, training: bool, weights: dict[str, Any], **kwargs: Any) -> Any:
        """The fake-quantized image, without a gradient."""
        rounded = super().__call__(inputs, training, weights)
        if _points is not None:
            return rounded
        if inputs.shape.rank == 2:
            return inputs  # a waveform, which stays in float
        is_pixels = tf.logical_and(tf.equal(weights["low"], -1.0), tf.equal(weights["high"], 1.0))
        pixels = tf.clip_by_value(tf.round((inputs + 1) * 127.5), 0.0, 255.0)
        return tf.where(is_pixels, (pixels - 127) / 127.5, rounded)

    def get_config(self) -> dict[str, Any]:
        """There are no arguments."""
        return {}


class FixedQuantizer(tfmot.quantization.keras.quantizers.Quantizer):
    """Fake-quantizes activations to int8 within a fixed range."""

    def __init__(self, low: float, high: float, is_float: bool = False):
        self.low, self.high = low, high
        self.is_float = is_float

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        """There is no state."""
        return {}

    def __call__(self, inputs: Any, training: bool, weights: dict[str, Any], **kwargs: Any) -> Any:
        """The fake-quantized activations."""
        if _points is not None:
            _points.append(Point(inputs, self.low, self.high, self.is_float))
            return inputs
        return tf.quantization.fake_quant_with_min_max_args(inputs, self.low, self.high)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {"low": self.low, "high": self.high, "is_float": self.is_float}
