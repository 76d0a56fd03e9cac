"""Operators that only move numbers, and where each number of what they give comes from."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_mobilenets.tflite.graph import flatbuffer

LARGEST = 1 << 22  # numbers of a tensor that is followed; larger ones count as sources

_NONE = schema.ActivationFunctionType.NONE


class Routes:
    """What the operators of a graph do that only move numbers: reshapes, transposes, slices, concatenations, gathers.

    Attributes:
        places: By a tensor that such an operator gives, the number of the place each of its numbers is taken from, in
            the tensor's shape. Places of a source begin at `starts`.
        starts: By a source, a tensor that something else gives, its first place; they lie one behind the other.
        makers: By a tensor as in `places`, all operators that moved its numbers.
        permuted: Those tensors where one of these operators is a TRANSPOSE or a GATHER.
    """

    def __init__(self, graph: flatbuffer.Graph) -> None:
        """Follows the operators of a graph in their order."""
        self._graph = graph
        self._next = 0
        self.places: dict[int, np.ndarray] = {}
        self.starts: dict[int, int] = {}
        self.makers: dict[int, list[Any]] = {}
        self.permuted: set[int] = set()
        for operator in graph.operators:
            self._follow(operator)

    def of_channels(self, tensor: int) -> list[tuple[int, int]] | None:
        """By the channel of a map 1×H×W×C, source and channel it is taken from; None if it is not at every place."""
        shape, places = self._graph.shape(tensor), self.places[tensor]
        if len(shape) != 4 or shape[0] != 1 or not places.size:
            return None
        sources, firsts = list(self.starts), np.array(list(self.starts.values()))
        found = []
        for column in range(shape[3]):
            values = places[..., column].ravel()
            source = sources[int(np.searchsorted(firsts, values[0], "right")) - 1]
            *size, channels = self._graph.shape(source)
            first = int(values[0]) - self.starts[source]
            if tuple(size) != shape[:3] or first >= channels:
                return None
            if not np.array_equal(values, values[0] + channels * np.arange(len(values))):
                return None
            found.append((source, first))
        return found

    def _follow(self, operator: Any) -> None:
        name = self._graph.name(operator)
        move = _MOVES.get(name)
        outputs = [int(tensor) for tensor in operator.outputs]
        if move is None or any(-1 in flatbuffer.shape_of(self._graph.tensors[tensor]) for tensor in outputs):
            return
        ends = [int(tensor) for tensor in (*operator.inputs, *operator.outputs) if tensor >= 0]
        if max(math.prod(self._graph.shape(tensor)) for tensor in ends) > LARGEST:
            return
        constant = {
            int(t): self._graph.constant(int(t))
            for t in operator.inputs
            if t >= 0 and flatbuffer.is_constant(self._graph.model, self._graph.tensors[int(t)])
        }
        moved = [int(t) for t in operator.inputs if t >= 0 and int(t) not in constant]
        settings = [constant[int(t)] for t in operator.inputs if int(t) in constant]
        if len(moved) != (len(operator.inputs) if name in ("CONCATENATION", "PACK") else 1):
            return
        if name == "GATHER" and int(operator.inputs[0]) in constant:  # a table: what is computed are its indices
            return
        try:
            results = move(operator.builtinOptions, [self._of(t) for t in moved], settings)
        except _UnknownError:
            return
        shapes = [self._graph.shape(tensor) for tensor in outputs]
        if len(results) != len(shapes) or [math.prod(s) for s in shapes] != [each.size for each in results]:
            return
        makers = [operator, *(maker for tensor in moved for maker in self.makers.get(tensor, ()))]
        for tensor, shape, places in zip(outputs, shapes, results, strict=True):
            self.places[tensor] = places.reshape(shape)
            self.makers[tensor] = list({id(maker): maker for maker in makers}.values())
            if name in ("TRANSPOSE", "GATHER") or self.permuted & set(moved):
                self.permuted.add(tensor)

    def _of(self, tensor: int) -> np.ndarray:
        if tensor in self.places:
            return self.places[tensor]
        shape = self._graph.shape(tensor)
        if tensor not in self.starts:
            self.starts[tensor] = self._next
            self._next += math.prod(shape)
        return self.starts[tensor] + np.arange(math.prod(shape)).reshape(shape)


class _UnknownError(Exception):
    """An operator whose inputs or options are others than those followed here."""


def _one(settings: list[np.ndarray], count: int) -> list[np.ndarray]:
    if len(settings) < count:
        raise _UnknownError
    return settings


def _concatenation(options: Any, moved: list[np.ndarray], settings: list[np.ndarray]) -> list[np.ndarray]:
    if options.fusedActivationFunction != _NONE:
        raise _UnknownError
    return [np.concatenate(moved, options.axis)]


def _transpose(options: Any, moved: list[np.ndarray], settings: list[np.ndarray]) -> list[np.ndarray]:
    (order,) = _one(settings, 1)
    return [moved[0].transpose(order)]


def _slice(options: Any, moved: list[np.ndarray], settings: list[np.ndarray]) -> list[np.ndarray]:
    begin, size = _one(settings, 2)
    ends = [None if n == -1 else int(b + n) for b, n in zip(begin, size, strict=True)]
    return [moved[0][tuple(slice(int(b), end) for b, end in zip(begin, ends, strict=True))]]


def _strided_slice(options: Any, moved: list[np.ndarray], settings: list[np.ndarray]) -> list[np.ndarray]:
    begin, end, strides = _one(settings, 3)
    if options.ellipsisMask or options.newAxisMask or (strides < 1).any():
        raise _UnknownError
    axes: list[Any] = []
    for axis, (first, last, step) in enumerate(zip(begin.tolist(), end.tolist(), strides.tolist(), strict=True)):
        if options.shrinkAxisMask >> axis & 1:
            axes.append(first)
        else:
            start = None if options.beginMask >> axis & 1 else first
            axes.append(slice(start, None if options.endMask >> axis & 1 else last, step))
    return [moved[0][tuple(axes)]]


def _split(options: Any, moved: list[np.ndarray], settings: list[np.ndarray]) -> list[np.ndarray]:
    (axis,) = _one(settings, 1)
    return np.split(moved[0], options.numSplits, int(axis.ravel()[0]))


def _split_v(options: Any, moved: list[np.ndarray], settings: list[np.ndarray]) -> list[np.ndarray]:
    sizes, axis = _one(settings, 2)
    return np.split(moved[0], np.cumsum(sizes)[:-1], int(axis.ravel()[0]))


def _gather(options: Any, moved: list[np.ndarray], settings: list[np.ndarray]) -> list[np.ndarray]:
    (indices,) = _one(settings, 1)
    if options.batchDims:
        raise _UnknownError
    return [np.take(moved[0], indices, options.axis)]


def _unpack(options: Any, moved: list[np.ndarray], settings: list[np.ndarray]) -> list[np.ndarray]:
    return list(np.moveaxis(moved[0], options.axis, 0))


def _as_it_is(options: Any, moved: list[np.ndarray], settings: list[np.ndarray]) -> list[np.ndarray]:
    return moved


def _pack(options: Any, moved: list[np.ndarray], settings: list[np.ndarray]) -> list[np.ndarray]:
    return [np.stack(moved, options.axis)]


_MOVES: Mapping[str, Callable[[Any, list[np.ndarray], list[np.ndarray]], list[np.ndarray]]] = {
    "CONCATENATION": _concatenation,
    "EXPAND_DIMS": _as_it_is,
    "GATHER": _gather,
    "PACK": _pack,
    "RESHAPE": _as_it_is,
    "SLICE": _slice,
    "SPLIT": _split,
    "SPLIT_V": _split_v,
    "SQUEEZE": _as_it_is,
    "STRIDED_SLICE": _strided_slice,
    "TRANSPOSE": _transpose,
    "UNPACK": _unpack,
}
