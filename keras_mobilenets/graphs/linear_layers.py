"""Linear layers as numbers: a convolution, a depthwise one, a dense layer, a batch normalization and the identity are
all a kernel and a bias, and so is a sum of them (Ding et al. 2021, arXiv:2101.03697, RepVGG, section 3.3).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_mobilenets.graphs.flat_model import Call

Pair = tuple[int, int]  # of rows and of columns


@dataclass(frozen=True)
class Linear:
    """A linear layer: at place o of the output the sum over k of kernel[k] · x[strides · o + k − before], and a bias.

    Attributes:
        kernel: (height, width, input channels of a group, filters), float64; 1×1 of a dense layer.
        bias: (filters,), float64.
        groups: Channel groups.
        strides: Of rows and columns.
        before: Rows and columns of zeros before the image; None where they depend on an open size.
        after: The same behind it; less than 0 where rows of the image are left over.
        is_diagonal: Whether it is a batch normalization or nothing at all.
    """

    kernel: np.ndarray
    bias: np.ndarray
    groups: int
    strides: Pair = (1, 1)
    before: Pair | None = (0, 0)
    after: Pair | None = (0, 0)
    is_diagonal: bool = False

    @property
    def size(self) -> Pair:
        """Height and width of the kernel."""
        height, width = self.kernel.shape[:2]
        return height, width

    @property
    def macs(self) -> int:
        """Multiply-adds at one place of the output; those of a batch normalization are not counted."""
        return 0 if self.is_diagonal else self.kernel.size

    @property
    def is_channelwise(self) -> bool:
        """Whether it multiplies and moves each channel, and does nothing else."""
        channels = len(self.bias)
        alone = self.kernel.shape == (1, 1, 1, channels) and self.groups == channels
        return alone and self.strides == (1, 1) and not self.is_padded

    @property
    def is_padded(self) -> bool:
        """Whether it reads zeros beyond the image, or may."""
        return (self.before, self.after) != ((0, 0), (0, 0))

    def scaled(self, factors: Any, offsets: Any = 0.0) -> "Linear":
        """With its output channels multiplied and moved."""
        return replace(self, kernel=self.kernel * factors, bias=self.bias * factors + offsets)

    def of_scaled(self, factors: np.ndarray, offsets: np.ndarray) -> "Linear":
        """What it computes of a tensor whose channels are multiplied and moved before; not where it is padded."""
        _, _, count, filters = self.kernel.shape
        group = np.arange(filters) * self.groups // filters  # of each filter
        channel = group * count + np.arange(count)[:, None]
        bias = self.bias + (self.kernel * offsets[channel]).sum((0, 1, 2))
        return replace(self, kernel=self.kernel * factors[channel], bias=bias)

    def behind_padding(self, padding: Sequence[Pair]) -> "Linear":
        """What it computes behind a layer of zeros around the image, whose rows and columns have been named."""
        (top, bottom), (left, right) = padding
        assert self.before is not None and self.after is not None
        before = self.before[0] + top, self.before[1] + left
        return replace(self, before=before, after=(self.after[0] + bottom, self.after[1] + right))

    def at_size(self, image: Sequence[int], places: Sequence[int]) -> "Linear":
        """With as many rows and columns behind the image as these places of the output reach."""
        if self.before is None:
            return self
        reach = [(n - 1) * s + k for n, s, k in zip(places, self.strides, self.size, strict=True)]
        bottom, right = (r - b - side for r, b, side in zip(reach, self.before, image, strict=True))
        return replace(self, after=(bottom, right))


def identity(channels: int) -> Linear:
    """Nothing at all."""
    return Linear(np.ones((1, 1, 1, channels)), np.zeros(channels), channels, is_diagonal=True)


def normalization(layer: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """Factors and offsets of a batch normalization in inference; None for another layer."""
    if type(layer) is not layers.BatchNormalization:
        return None
    mean, variance = (np.asarray(x, np.float64) for x in (layer.moving_mean, layer.moving_variance))
    factors = 1 / np.sqrt(variance + layer.epsilon)
    factors = factors * np.asarray(layer.gamma, np.float64) if layer.scale else factors
    return factors, (np.asarray(layer.beta, np.float64) if layer.center else 0.0) - mean * factors


def linear_of(call: Call) -> Linear | None:
    """A convolution or dense layer without an activation; None for any other layer."""
    layer, kind = call.layer, type(call.layer)
    if kind not in (layers.Conv2D, layers.DepthwiseConv2D, layers.Dense):
        return None
    if layer.activation is not keras.activations.linear:
        return None
    filters = call.outputs[0].shape[-1]
    kernel = np.asarray(layer.kernel, np.float64)
    bias = np.asarray(layer.bias, np.float64) if layer.use_bias else np.zeros(filters)
    if kind is layers.Dense:
        return Linear(kernel[None, None], bias, 1) if len(call.inputs[0].shape) == 2 else None
    if layer.data_format != "channels_last":
        return None
    groups = kernel.shape[2] if kind is layers.DepthwiseConv2D else layer.groups
    kernel = kernel.reshape(*kernel.shape[:2], -1, filters)
    size = [(n - 1) * rate + 1 for n, rate in zip(kernel.shape[:2], layer.dilation_rate, strict=True)]
    dilated = np.zeros((*size, *kernel.shape[2:]))
    dilated[:: layer.dilation_rate[0], :: layer.dilation_rate[1]] = kernel
    before, after = _padding(layer.padding, call.inputs[0].shape[1:3], size, layer.strides) or (None, None)
    return Linear(dilated, bias, groups, tuple(layer.strides), before, after)


def _padding(
    padding: str, image: Sequence[int | None], kernel: Sequence[int], strides: Sequence[int]
) -> tuple[Pair, Pair] | None:
    """Zeros before and behind the image by Keras's word for it; None where they depend on an open size."""
    totals = []
    for side, length, stride in zip(image, kernel, strides, strict=True):
        if padding == "valid" or length == 1:
            totals.append(0)
        elif stride == 1:
            totals.append(length - 1)
        elif side is None:
            return None
        else:
            totals.append(max((-(-side // stride) - 1) * stride + length - side, 0))
    (rows, columns) = totals
    return (rows // 2, columns // 2), (rows - rows // 2, columns - columns // 2)


def summed(parts: Sequence[Linear]) -> Linear | None:
    """One layer for the sum of several that read one tensor.

    Args:
        parts: Layers of as many filters, at places that are as many.

    Returns:
        The layer; None where none computes their sum, where it has more multiply-adds than they have, and where there
        is no convolution among them.
    """
    if all(part.is_diagonal for part in parts) or len({part.strides for part in parts}) > 1:
        return None
    edges = _edges(parts)
    if edges is None:
        return None
    size, before, after = edges
    groups = math.gcd(*(part.groups for part in parts))
    channels = parts[0].kernel.shape[2] * parts[0].groups
    kernel = np.zeros((*size, channels // groups, len(parts[0].bias)))
    for part in parts:
        top, left = (0, 0) if before is None or part.before is None else np.subtract(before, part.before)
        height, width = part.size
        kernel[top : top + height, left : left + width] += _in_groups(part, groups)
    bias = np.sum([part.bias for part in parts], axis=0)
    result = Linear(kernel, bias, groups, parts[0].strides, before, after)
    return result if result.macs <= sum(part.macs for part in parts) else None


def _edges(parts: Sequence[Linear]) -> tuple[Pair, Pair | None, Pair | None] | None:
    """The size of a kernel that covers those of all parts, and its padding; None where their places differ."""
    known = [part for part in parts if part.before is not None and part.after is not None]
    if not known:
        return (parts[0].size, None, None) if len({part.size for part in parts}) == 1 else None
    if len(known) < len(parts):
        return None
    starts, ends, lengths = np.array([(p.before, p.after, p.size) for p in known]).swapaxes(0, 1)
    spare = starts + ends - lengths  # what the number of places depends on
    if (spare != spare[0]).any():
        return None
    before = starts.max(0)
    size = before + (lengths - starts).max(0)
    return _pair(size), _pair(before), _pair(spare[0] - before + size)


def _pair(numbers: np.ndarray) -> Pair:
    first, second = map(int, numbers)
    return first, second


def _in_groups(part: Linear, groups: int) -> np.ndarray:
    """The kernel of fewer groups, with zeros for the channels that a filter does not read."""
    height, width, count, filters = part.kernel.shape
    times = part.groups // groups
    wide = np.zeros((height, width, count * times, filters))
    for place in range(times):  # of a group among those that become one
        is_there = (np.arange(filters) * part.groups // filters) % times == place
        wide[:, :, place * count : (place + 1) * count, is_there] = part.kernel[..., is_there]
    return wide


def has_layer(linear: Linear, image: Sequence[int | None], places: Sequence[int | None]) -> bool:
    """Whether a Keras layer gives so many places: rows of the image that are left over cannot be said."""
    if linear.before is None or linear.after is None or min(linear.after) >= 0:
        return True
    if None in image:
        return False
    behind = np.maximum(linear.after, 0)
    given = (np.array(image) + linear.before + behind - linear.size) // linear.strides + 1
    return given.tolist() == list(places)


def apply(linear: Linear, x: Any, name: str) -> Any:
    """Calls the Keras layer that computes it, which is named so, behind a layer `{name}_pad` where it needs one."""
    height, width, count, filters = linear.kernel.shape
    kernel, made = linear.kernel, None
    if len(x.shape) == 2:
        made, kernel = layers.Dense(filters, name=name), kernel[0, 0]
    else:
        padding, zeros = _words(linear, x.shape[1:3])
        if zeros:
            x = layers.ZeroPadding2D(zeros, name=f"{name}_pad")(x)
        settings: dict[str, Any] = {"strides": linear.strides, "padding": padding, "name": name}
        if count == 1 and linear.groups > 1:
            kernel = kernel.reshape(height, width, linear.groups, filters // linear.groups)
            made = layers.DepthwiseConv2D((height, width), depth_multiplier=kernel.shape[3], **settings)
        else:
            made = layers.Conv2D(filters, (height, width), groups=linear.groups, **settings)
    y = made(x)
    made.set_weights([kernel, linear.bias])
    return y


def _words(linear: Linear, image: Sequence[int | None]) -> tuple[str, Any]:
    """Keras's word for the padding, and the zeros that it has no word for."""
    if linear.before is None or linear.after is None:
        return "same", None
    after = _pair(np.maximum(linear.after, 0))
    if (linear.before, after) == ((0, 0), (0, 0)):
        return "valid", None
    if _padding("same", image, linear.size, linear.strides) == (linear.before, after):
        return "same", None
    return "valid", ((linear.before[0], after[0]), (linear.before[1], after[1]))
