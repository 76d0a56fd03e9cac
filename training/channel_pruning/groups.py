"""Dependency groups: channels of a network that can only be removed together.

Each tensor has an array of channel numbers that covers its last axes: a concatenation joins the arrays, a slice cuts
them, a shuffle permutes them, and elementwise layers pass them on. Numbers that meet, as in a residual addition, are
merged (union-find). Channels that reach an unsupported layer become number 0, which is never pruned.
Dependency groups: Fang et al. 2023, "DepGraph", arXiv:2301.12900, section 3.
"""

import math
from collections import Counter
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_mobilenets.blocks import ChannelSlice

WHOLE = 0  # the number of the channels that are never removed


@dataclass(frozen=True)
class Group:
    """Channels that are pruned in units, so that every layer's count stays a multiple of the divisor.

    Attributes:
        channels: Their numbers.
        unit: Number of channels removed at a time, and the minimum to keep.
    """

    channels: np.ndarray
    unit: int


class Channels:
    """The channels of a model.

    Attributes:
        reads: By a layer's name, the numbers of its (first) input's channels: an array that covers the last axes.
            Unsupported layers are missing.
        writes: The same of its output.
        count: Numbers run from 0 to below it.
    """

    def __init__(self, model: keras.Model):
        """Traces the channels of a functional model, which is left as it is."""
        self.reads: dict[str, np.ndarray] = {}
        self.writes: dict[str, np.ndarray] = {}
        self.aligned: list[np.ndarray] = []  # outputs whose counts must stay multiples of the divisor
        self._parent = [WHOLE]
        self._inputs: dict[str, list[np.ndarray]] = {}  # of a layer's first call
        self._numbers: dict[int, np.ndarray] = {}  # by the id of a tensor
        followed = keras.models.clone_model(model, call_function=self._call)
        for tensor in followed.outputs:
            self.tie(self._of(tensor), WHOLE)
        self.reads = {name: self._roots(numbers) for name, numbers in self.reads.items()}
        self.writes = {name: self._roots(numbers) for name, numbers in self.writes.items()}
        self.aligned = [self._roots(numbers) for numbers in self.aligned]
        self.count = len(self._parent)

    def groups(self, divisor: int) -> list[Group]:
        """The groups that can be pruned; in each, every channel is in the same layers equally often."""
        found = []
        for component in self._components():
            places: dict[int, Counter] = {number: Counter() for number in component}
            for index, numbers in enumerate(self.aligned):
                for number in numbers[np.isin(numbers, list(component))].tolist():
                    places[number][index] += 1
            alike: dict[frozenset, list[int]] = {}
            for number in sorted(component):
                alike.setdefault(frozenset(places[number].items()), []).append(number)
            groups = [
                Group(np.array(numbers), math.lcm(*(divisor // math.gcd(divisor, times) for _, times in place)))
                for place, numbers in alike.items()
            ]
            if len(groups) == 1 or all(len(group.channels) % group.unit == 0 for group in groups):
                found += [group for group in groups if len(group.channels) > group.unit]
        return found

    def make(self, layer: Any, count: int) -> np.ndarray:
        """New numbers for the output channels of a layer; those of a softmax all depend on each other."""
        numbers = np.arange(len(self._parent), len(self._parent) + count)
        self._parent += numbers.tolist()
        self.aligned.append(numbers)
        if not _elementwise(layer):
            self.tie(numbers, WHOLE)
        return numbers

    def tie(self, first: Any, second: Any) -> None:
        """Makes the numbers in two arrays equal, place by place; one number may stand for an array."""
        pairs = np.broadcast_arrays(first, second)
        for a, b in zip(*(array.ravel().tolist() for array in pairs), strict=True):
            low, high = sorted((self._root(a), self._root(b)))
            self._parent[high] = low

    def _root(self, number: int) -> int:
        while self._parent[number] != number:
            self._parent[number] = number = self._parent[self._parent[number]]
        return number

    def _roots(self, numbers: np.ndarray) -> np.ndarray:
        return np.array([self._root(number) for number in numbers.ravel().tolist()], int).reshape(numbers.shape)

    def _of(self, tensor: Any) -> np.ndarray:
        """A tensor's numbers; 0 for the model's input and the outputs of unsupported layers."""
        return self._numbers.get(id(tensor), np.full([n or 1 for n in tensor.shape[1:][-1:]], WHOLE))

    def _call(self, layer: Any, *args: Any, **kwargs: Any) -> Any:
        """Calls a layer while the model is traced, and propagates the numbers of its inputs."""
        outputs = layer(*args, **kwargs)
        tensors = [x for x in keras.tree.flatten((args, kwargs)) if keras.backend.is_keras_tensor(x)]
        inputs = [self._of(tensor) for tensor in tensors]
        output, *others = keras.tree.flatten(outputs)
        known = type(layer) in propagate.registry and not others  # a subclass may compute anything
        before = self._inputs.setdefault(layer.name, inputs)
        if before is not inputs:  # the layer's second call, which has the channels of the first
            numbers = self._again(before, inputs, self.writes.get(layer.name))
        else:
            numbers = propagate(layer, self, inputs, tuple(output.shape[1:])) if known else None
        if numbers is None:
            of_layer = (of[layer.name] for of in (self.reads, self.writes) if layer.name in of)
            for array in (*inputs, *before, *of_layer):
                self.tie(array, WHOLE)
        else:
            self.reads[layer.name], self.writes[layer.name] = before[0], numbers
            self._numbers[id(output)] = numbers
        return outputs

    def _again(self, before: list[np.ndarray], now: list[np.ndarray], numbers: np.ndarray | None) -> np.ndarray | None:
        if [array.shape for array in before] != [array.shape for array in now]:
            return None
        for first, second in zip(before, now, strict=True):
            self.tie(first, second)
        return numbers

    def _components(self) -> list[set[int]]:
        """The numbers that share a layer's output, directly or through others; none with number 0."""
        component = {number: {number} for numbers in self.aligned for number in numbers.tolist()}
        for numbers in self.aligned:
            joined = set().union(*(component[number] for number in numbers.tolist()))
            component |= dict.fromkeys(joined, joined)
        distinct = {id(numbers): numbers for numbers in component.values()}
        return [numbers for numbers in distinct.values() if WHOLE not in numbers]


# Propagates the numbers of a layer's inputs to its output; None for an unsupported layer or use of it.
# The shape is the output's, without the batch axis.


@singledispatch
def propagate(layer: Any, channels: Channels, inputs: list[np.ndarray], shape: tuple) -> np.ndarray | None:
    """The numbers of a layer's output."""
    return None


@propagate.register(layers.BatchNormalization)
@propagate.register(layers.Rescaling)
@propagate.register(layers.Dropout)
@propagate.register(layers.SpatialDropout2D)
@propagate.register(layers.ReLU)
@propagate.register(layers.LeakyReLU)
@propagate.register(layers.ZeroPadding2D)
@propagate.register(layers.Cropping2D)
@propagate.register(layers.UpSampling2D)
@propagate.register(layers.MaxPooling2D)
@propagate.register(layers.AveragePooling2D)
@propagate.register(layers.GlobalMaxPooling2D)
@propagate.register(layers.GlobalAveragePooling2D)
def _(layer: Any, channels: Channels, inputs: list[np.ndarray], shape: tuple) -> np.ndarray | None:
    axis = getattr(layer, "axis", -1)  # of BatchNormalization; Rescaling may have a factor for each channel
    same = np.ndim(getattr(layer, "scale", 0)) == 0 and np.ndim(getattr(layer, "offset", 0)) == 0
    return inputs[0] if _last(layer, inputs[0]) and axis in (-1, len(shape)) and same else None


@propagate.register
def _(layer: layers.Activation, channels: Channels, inputs: list[np.ndarray], shape: tuple) -> np.ndarray | None:
    return inputs[0] if _elementwise(layer) else None


@propagate.register
def _(layer: layers.Conv2D, channels: Channels, inputs: list[np.ndarray], shape: tuple) -> np.ndarray | None:
    if not _last(layer, inputs[0]):
        return None
    made = channels.make(layer, layer.filters)
    for numbers in (inputs[0], made):  # the same channels of every group, so that groups stay of equal size
        rows = numbers.reshape(layer.groups, -1)
        channels.tie(rows, rows[:1])
    return made


@propagate.register
def _(layer: layers.DepthwiseConv2D, channels: Channels, inputs: list[np.ndarray], shape: tuple) -> np.ndarray | None:
    known = _last(layer, inputs[0]) and _elementwise(layer)
    return np.repeat(inputs[0], layer.depth_multiplier) if known else None


@propagate.register
def _(layer: layers.Dense, channels: Channels, inputs: list[np.ndarray], shape: tuple) -> np.ndarray | None:
    return channels.make(layer, layer.units) if _last(layer, inputs[0]) else None


@propagate.register(layers.Add)
@propagate.register(layers.Subtract)
@propagate.register(layers.Multiply)
@propagate.register(layers.Average)
@propagate.register(layers.Maximum)
@propagate.register(layers.Minimum)
def _(layer: Any, channels: Channels, inputs: list[np.ndarray], shape: tuple) -> np.ndarray | None:
    if len({numbers.shape for numbers in inputs}) > 1:
        return None
    for numbers in inputs[1:]:
        channels.tie(inputs[0], numbers)
    return inputs[0]


@propagate.register
def _(layer: layers.Concatenate, channels: Channels, inputs: list[np.ndarray], shape: tuple) -> np.ndarray | None:
    if not all(_last(layer, numbers) for numbers in inputs):
        return None
    if layer.axis in (-1, len(shape)):
        return np.concatenate(inputs)
    for numbers in inputs[1:]:  # side by side, as rows or columns
        channels.tie(inputs[0], numbers)
    return inputs[0]


@propagate.register
def _(layer: ChannelSlice, channels: Channels, inputs: list[np.ndarray], shape: tuple) -> np.ndarray | None:
    if not _last(layer, inputs[0]):
        return None
    channels.aligned.append(inputs[0][layer.start : layer.stop])
    return channels.aligned[-1]


@propagate.register
def _(layer: layers.Cropping2D, channels: Channels, inputs: list[np.ndarray], shape: tuple) -> np.ndarray | None:
    """Crops rows and columns, or columns and channels as `blocks.channel_split` does."""
    (numbers,) = inputs
    if layer.data_format == "channels_first" and numbers.ndim == 1:
        left, right = layer.cropping[1]
        numbers = numbers[left : len(numbers) - right]
        channels.aligned.append(numbers)
    return numbers if numbers.ndim == 1 else None


@propagate.register(layers.Flatten)
@propagate.register(layers.Reshape)
def _(layer: Any, channels: Channels, inputs: list[np.ndarray], shape: tuple) -> np.ndarray | None:
    """Merges positions into channels, or splits channels in two axes as a shuffle does."""
    (numbers,) = inputs
    if getattr(layer, "data_format", "channels_last") != "channels_last" or None in shape:
        return None
    if shape[-1] % numbers.size == 0:
        return np.tile(numbers.ravel(), shape[-1] // numbers.size)
    if numbers.ndim == 1 and math.prod(shape[-2:]) == numbers.size:
        rows = numbers.reshape(shape[-2:])
        channels.tie(rows, rows[:1] if shape[-2] <= shape[-1] else rows[:, :1])  # the shorter axis is the groups
        return rows
    return None


@propagate.register
def _(layer: layers.Permute, channels: Channels, inputs: list[np.ndarray], shape: tuple) -> np.ndarray | None:
    """Permutes the axes that the numbers cover, and no others."""
    first = len(shape) - inputs[0].ndim
    axes = np.array(layer.dims) - 1 - first
    return inputs[0].transpose(axes[first:]) if (axes[:first] == np.arange(-first, 0)).all() else None


def _last(layer: Any, numbers: np.ndarray) -> bool:
    """Whether the channels are the last axis."""
    return numbers.ndim == 1 and getattr(layer, "data_format", "channels_last") == "channels_last"


ELEMENTWISE = (
    *("linear", "relu", "relu6", "leaky_relu", "silu", "hard_silu", "sigmoid", "hard_sigmoid", "tanh", "hard_tanh"),
    *("gelu", "elu", "selu", "celu", "softplus", "softsign", "mish", "exponential"),
)


def _elementwise(layer: Any) -> bool:
    """Whether the layer's activation is elementwise, which a softmax is not."""
    return getattr(layer.activation, "__name__", "") in ELEMENTWISE
