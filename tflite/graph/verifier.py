"""Whether the tables of a .tflite fit together: what the format's schema asks for and the runtime does not check.

An operator that reads what none before it writes, or a constant of another size than its shape, gives an answer all
the same, but not the model's. What the runtime runs as it is meant, however unusual, is none of this: an operator that
writes nothing or an empty tensor, a graph without inputs, a branch that does not look at its input.
"""

import math
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.graph.flatbuffer import schema


class InvalidModelError(ValueError):
    """What does not fit, in a few words."""


def check(model: Any) -> None:
    """Checks every graph of a model.

    Args:
        model: A .tflite as `flatbuffer.read` gives it.

    Raises:
        InvalidModelError: Something does not fit.
    """
    _need(len(model.buffers or ()) > 0, "it has no buffers")
    for graph in model.subgraphs:
        for tensor in _present(graph.tensors, "tensor"):
            _check_tensor(model, tensor)
        _check_order(model, graph)
    _check_answer(model.subgraphs[0])
    for entry in _present(model.metadata, "metadata entry"):
        _need(0 <= entry.buffer < len(model.buffers), "its metadata is not there")


def _need(holds: bool, otherwise: str) -> None:
    if not holds:
        raise InvalidModelError(otherwise)


def _present(items: Any, what: str) -> list[Any]:
    items = [] if items is None else list(items)
    _need(all(item is not None for item in items), f"a {what} is not there")
    return items


def _check_tensor(model: Any, tensor: Any) -> None:
    name = _text(tensor.name)
    shape = _numbers(tensor.shape)
    _need(0 <= tensor.buffer < len(model.buffers), f"the values of tensor {name} are not there")
    _need(tensor.type in _TYPES, f"tensor {name} has a data type that does not exist")
    _need(all(size >= 0 for size in shape), f"tensor {name} has a negative size")
    _need(math.prod(shape) < 1 << 40, f"tensor {name} is larger than any memory")
    data, bits = flatbuffer.stored_bytes(model, tensor), _BITS.get(tensor.type)
    if data is not None and tensor.type == schema.TensorType.STRING:
        _need(_are_strings(data), f"the texts of constant {name} do not fit into it")
    elif data is not None and bits:
        stored = math.prod(shape) if tensor.sparsity is None else _sparse_values(tensor.sparsity, shape, name)
        _need(len(data) == -(-stored * bits // 8), f"constant {name} has another size than its shape")
    _check_quantization(tensor, shape, name)


def _are_strings(data: np.ndarray) -> bool:
    """Whether the offsets of texts, behind their number, rise and stay within the bytes."""
    words = data[: len(data) // 4 * 4].view("<i4")
    if not len(words) or not 0 <= words[0] <= len(words) - 2:
        return False
    offsets = words[1 : words[0] + 2]
    return bool(offsets[0] == 4 * len(offsets) + 4 and (np.diff(offsets) >= 0).all() and offsets[-1] <= len(data))


def _sparse_values(sparsity: Any, shape: tuple[int, ...], name: str) -> int:
    """How many values a sparse tensor stores: levels of dense or compressed (CSR) dimensions, blocks last."""
    order, blocks = _numbers(sparsity.traversalOrder), _numbers(sparsity.blockMap)
    levels = _present(sparsity.dimMetadata, "dimension")
    is_complete = len(shape) + len(blocks) == len(order) == len(levels) and sorted(order) == list(range(len(order)))
    _need(is_complete and all(0 <= axis < len(shape) for axis in blocks), f"sparse tensor {name} lacks a dimension")
    extents = [*shape, *(0 for _ in blocks)]
    for dimension, level in zip(order, levels, strict=True):
        if dimension >= len(shape):
            axis = blocks[dimension - len(shape)]
            _need(
                level.denseSize > 0 and extents[axis] % level.denseSize == 0, f"sparse tensor {name} has no such block"
            )
            extents[axis] //= level.denseSize
            extents[dimension] = level.denseSize
    stored = 1
    for dimension, level in zip(order, levels, strict=True):
        if level.format == schema.DimensionType.DENSE:
            _need(level.denseSize == extents[dimension], f"sparse tensor {name} has another shape")
            stored *= level.denseSize
        else:
            segments, indices = _vector(level.arraySegments), _vector(level.arrayIndices)
            fits = _are_rows(segments, indices, stored, extents[dimension])
            _need(fits, f"sparse tensor {name} has values outside of it")
            stored = len(indices)
    return stored


def _are_rows(segments: np.ndarray, indices: np.ndarray, rows: int, size: int) -> bool:
    """Whether compressed rows begin and end within the indices, which rise within a row and stay below the size."""
    if len(segments) != rows + 1 or segments[0] != 0 or segments[-1] != len(indices) or (np.diff(segments) < 0).any():
        return False
    row = np.repeat(np.arange(rows), np.diff(segments))
    return bool((indices >= 0).all() and (indices < size).all() and (np.diff(row * size + indices) > 0).all())


def _vector(vector: Any) -> np.ndarray:
    return np.asarray(_numbers(None if vector is None else vector.values), np.int64)


def _text(name: bytes | None) -> str:
    try:
        return repr((name or b"").decode())
    except UnicodeDecodeError:
        raise InvalidModelError("the name of a tensor is no text") from None


def _check_quantization(tensor: Any, shape: tuple[int, ...], name: str) -> None:
    quantization = tensor.quantization
    if quantization is None or quantization.scale is None or len(quantization.scale) == 0:
        return
    if tensor.type not in _RANGES:
        return  # the scales of a float mean nothing
    scales, points = np.asarray(quantization.scale), np.asarray(_numbers(quantization.zeroPoint))
    _need(bool(np.isfinite(scales).all() and (scales >= 0).all()), f"tensor {name} has a scale that is no number")
    _need(len(points) in (0, 1, len(scales)), f"tensor {name} has more zero points than scales")
    if len(scales) > 1:
        axis = quantization.quantizedDimension
        fits = not shape or (0 <= axis < len(shape) and shape[axis] == len(scales))
        _need(fits, f"tensor {name} has another number of scales than channels")
    if len(points):
        low, high = _RANGES[tensor.type]
        _need(bool(low <= points.min() and points.max() <= high), f"tensor {name} has a zero point that does not exist")


def _check_order(model: Any, graph: Any) -> None:
    """Every operator reads what is there by then, and what it writes is written once."""
    tensors, operators = graph.tensors, _present(graph.operators, "operator")
    inputs, outputs = _numbers(graph.inputs), _numbers(graph.outputs)
    _check_places((*inputs, *outputs), tensors)
    constants = {place for place, tensor in enumerate(tensors) if flatbuffer.is_constant(model, tensor)}
    _need(constants.isdisjoint(inputs), "an input of the graph is a constant")
    there = constants | set(inputs) | {place for place, tensor in enumerate(tensors) if _needs_no_value(tensor)}
    written: set[int] = set()
    for place, operator in enumerate(operators):
        _need(0 <= operator.opcodeIndex < len(model.operatorCodes or ()), f"operator {place} has no name")
        sides = operator.inputs, operator.outputs
        reads, writes = ([tensor for tensor in _numbers(side) if tensor != -1] for side in sides)
        _check_places((*reads, *writes), tensors)
        _need(there.issuperset(reads), f"operator {place} reads what none before it writes")
        _need(len(set(writes)) == len(writes), f"operator {place} writes a tensor twice")
        _need(written.isdisjoint(writes), f"operator {place} writes what is already there")
        written.update(writes)
        there.update(writes)
    _need(there.issuperset(outputs), "no operator writes an output of the graph")


def _check_answer(graph: Any) -> None:
    """What the operators of the first graph compute from its inputs reaches an output, or a variable."""
    fed, outputs, operators = set(_numbers(graph.inputs)), _numbers(graph.outputs), graph.operators
    if not (fed and outputs and operators) or any(not _numbers(operator.outputs) for operator in operators):
        return
    for operator in operators:
        fed.update(_numbers(operator.outputs) if fed.intersection(_numbers(operator.inputs)) else ())
    _need(not fed.isdisjoint(outputs), "its answer does not depend on its input")


def _check_places(places: Iterable[int], tensors: list[Any]) -> None:
    _need(all(0 <= place < len(tensors) for place in places), "a tensor is not there")


def _needs_no_value(tensor: Any) -> bool:
    """Whether a tensor may be read before it is written: a variable, one kept elsewhere, an empty one."""
    return bool(tensor.isVariable) or bool(tensor.externalBuffer) or 0 in _numbers(tensor.shape)


def _numbers(values: Any) -> tuple[int, ...]:
    return tuple(int(value) for value in (values if values is not None else ()))


_TYPES = {number: name for name, number in vars(schema.TensorType).items() if isinstance(number, int)}
_BITS = {number: int(digits[0]) for number, name in _TYPES.items() if (digits := re.search(r"\d+", name))}
_BITS[schema.TensorType.BOOL] = 8
_RANGES = {
    getattr(schema.TensorType, name): (int(np.iinfo(name.lower()).min), int(np.iinfo(name.lower()).max))
    for name in ("INT8", "UINT8", "INT16", "INT32")
}
