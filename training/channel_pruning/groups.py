"""Which channels of a network can only be removed together, found by following every channel through the graph.

Each tensor has an array of channel numbers that covers its last axes: a concatenation joins the arrays, a slice cuts
them, a shuffle permutes them, and whatever works channel by channel hands them on. Numbers that meet, as in a residual
addition, become one (union-find). Channels that reach what is not known here become number 0, which stays whole.
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
    """Channels that are chosen among, so many at a time that every layer's count stays a multiple of the divisor.

    Attributes:
        channels: Their numbers.
        unit: How many of them are removed at a time, and are kept at least.
    """

    channels: np.ndarray
    unit: int


class Channels:
    """The channels of a model.

    Attributes:
        reads: By a layer's name, the numbers of its (first) input's channels: an array that covers the last axes.
            Layers that are not known here are missing.
        writes: The same of its output.
        count: Numbers run from 0 to below it.
    """

    def __init__(self, model: keras.Model):
        """Follows the channels of a functional model, which is left as it is."""
        self.reads: dict[str, np.ndarray] = {}
        self.writes: dict[str, np.ndarray] = {}
        self.aligned: list[np.ndarray] = []  # outputs that must keep a multiple of the divisor
        self._parent = [WHOLE]
        self._called: set[str] = set()
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
        """Numbers for channels that a layer makes; behind a softmax all of them depend on each other."""
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
        """A tensor's numbers; where they come from nothing known, such as the model's input, they are 0."""
        return self._numbers.get(id(tensor), np.full([n or 1 for n in tensor.shape[1:][-1:]], WHOLE))

    def _call(self, layer: Any, *args: Any, **kwargs: Any) -> Any:
        """Calls a layer while the model is traced, and hands the numbers of its inputs on."""
        outputs = layer(*args, **kwargs)
        tensors = [x for x in keras.tree.flatten((args, kwargs)) if keras.backend.is_keras_tensor(x)]
        inputs = [self._of(tensor) for tensor in tensors]
        output, *others = keras.tree.flatten(outputs)
        again = layer.name in self._called
        known = type(layer) in follow.registry and not (again or others)  # a subclass may do anything
        numbers = follow(layer, self, inputs, tuple(output.shape[1:])) if known else None
        if numbers is None:
            for array in [
                *inputs,
                *([self.reads[layer.name], self.writes[layer.name]] if layer.name in self.reads else []),
            ]:
                self.tie(array, WHOLE)
        else:
            self.reads[layer.name], self.writes[layer.name] = inputs[0], numbers
            self._numbers[id(output)] = numbers
        self._called.add(layer.name)
        return outputs

    def _components(self) -> list[set[int]]:
        """The numbers that share a layer's output, directly or through others; none with number 0."""
        component = {number: {number} for numbers in self.aligned for number in numbers.tolist()}
        for numbers in self.aligned:
            joined = set().union(*(component[number] for number in numbers.tolist()))
            component |= dict.fromkeys(joined, joined)
        distinct = {id(numbers): numbers for numbers in component.values()}
        return [numbers for numbers in distinct.values() if WHOLE not in numbers]


# What a layer does with the numbers of its inputs; None for a layer, or a use of it, that is not known.
# The shape is its output's, without the batch.


@singledispatch
def follow(layer: Any, channels: Channels, inputs: list[np.ndarray], shape: tuple) -> np.ndarray | None:
    """The numbers of a layer's output."""
    return None


@follow.register(layers.BatchNormalization)
@follow.register(layers.Rescaling)
@follow.register(layers.Dropout)
@follow.register(layers.SpatialDropout2D)
@follow.register(layers.ReLU)
@follow.register(layers.LeakyReLU)
@follow.register(layers.ZeroPadding2D)
@follow.register(layers.MaxPooling2D)
@follow.register(layers.AveragePooling2D)
@follow.register(layers.GlobalMaxPooling2D)
@follow.register(layers.GlobalAveragePooling2D)
def _(layer: Any, channels: Channels, inputs: list[np.ndarray], shape: tuple) -> np.ndarray | None:
    axis = getattr(layer, "axis", -1)  # of BatchNormalization; Rescaling may have a factor for each channel
    same = np.ndim(getattr(layer, "scale", 0)) == 0 and np.ndim(getattr(layer, "offset", 0)) == 0
    return inputs[0] if _last(layer, inputs[0]) and axis in (-1, len(shape)) and same else None


@follow.register
def _(layer: layers.Activation, channels: Channels, inputs: list[np.ndarray], shape: tuple) -> np.ndarray | None:
    return inputs[0] if _elementwise(layer) else None


@follow.register
def _(layer: layers.Conv2D, channels: Channels, inputs: list[np.ndarray], shape: tuple) -> np.ndarray | None:
    if not _last(layer, inputs[0]):
        return None
    made = channels.make(layer, layer.filters)
    for numbers in (inputs[0], made):  # the same places of every group, which stay of equal size
        rows = numbers.reshape(layer.groups, -1)
        channels.tie(rows, rows[:1])
    return made


@follow.register
def _(layer: layers.DepthwiseConv2D, channels: Channels, inputs: list[np.ndarray], shape: tuple) -> np.ndarray | None:
    known = _last(layer, inputs[0]) and _elementwise(layer)
    return np.repeat(inputs[0], layer.depth_multiplier) if known else None


@follow.register
def _(layer: layers.Dense, channels: Channels, inputs: list[np.ndarray], shape: tuple) -> np.ndarray | None:
    return channels.make(layer, layer.units) if _last(layer, inputs[0]) else None


@follow.register(layers.Add)
@follow.register(layers.Subtract)
@follow.register(layers.Multiply)
@follow.register(layers.Average)
@follow.register(layers.Maximum)
@follow.register(layers.Minimum)
def _(layer: Any, channels: Channels, inputs: list[np.ndarray], shape: tuple) -> np.ndarray | None:
    if len({numbers.shape for numbers in inputs}) > 1:
        return None
    for numbers in inputs[1:]:
        channels.tie(inputs[0], numbers)
    return inputs[0]


@follow.register
def _(layer: layers.Concatenate, channels: Channels, inputs: list[np.ndarray], shape: tuple) -> np.ndarray | None:
    known = layer.axis in (-1, len(shape)) and all(_last(layer, numbers) for numbers in inputs)
    return np.concatenate(inputs) if known else None


@follow.register
def _(layer: ChannelSlice, channels: Channels, inputs: list[np.ndarray], shape: tuple) -> np.ndarray | None:
    if not _last(layer, inputs[0]):
        return None
    channels.aligned.append(inputs[0][layer.start : layer.stop])
    return channels.aligned[-1]


@follow.register(layers.Flatten)
@follow.register(layers.Reshape)
def _(layer: Any, channels: Channels, inputs: list[np.ndarray], shape: tuple) -> np.ndarray | None:
    """Merges positions into channels, or splits channels in two axes as a shuffle does."""
    (numbers,) = inputs
    if getattr(layer, "data_format", "channels_last") != "channels_last" or None in shape:
        return None
    if shape[-1] % numbers.size == 0:
        return np.tile(numbers.ravel(), shape[-1] // numbers.size)
    if numbers.ndim == 1 and math.prod(shape[-2:]) == numbers.size:
        rows = numbers.reshape(shape[-2:])
        channels.tie(rows, rows[:1])
        return rows
    return None


@follow.register
def _(layer: layers.Permute, channels: Channels, inputs: list[np.ndarray], shape: tuple) -> np.ndarray | None:
    """Permutes the axes that the numbers cover, and no others."""
    first = len(shape) - inputs[0].ndim
    axes = np.array(layer.dims) - 1 - first
    return inputs[0].transpose(axes[first:]) if (axes[:first] == np.arange(-first, 0)).all() else None


def _last(layer: Any, numbers: np.ndarray) -> bool:
    """Whether the channels are the last axis alone."""
    return numbers.ndim == 1 and getattr(layer, "data_format", "channels_last") == "channels_last"


ELEMENTWISE = (
    *("linear", "relu", "relu6", "leaky_relu", "silu", "hard_silu", "sigmoid", "hard_sigmoid", "tanh", "hard_tanh"),
    *("gelu", "elu", "selu", "celu", "softplus", "softsign", "mish", "exponential"),
)


def _elementwise(layer: Any) -> bool:
    """Whether the layer's activation works channel by channel, which a softmax does not."""
    return getattr(layer.activation, "__name__", "") in ELEMENTWISE
