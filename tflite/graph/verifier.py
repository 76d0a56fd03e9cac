"""Whether the tables of a .tflite fit together: what the format's schema asks for and the runtime does not check.

An operator that reads what none before it writes, or a constant of another size than its shape, gives an answer all
the same, but not the model's.
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
    first = model.subgraphs[0]
    _need(bool(_numbers(first.inputs) and _numbers(first.outputs)), "it has no input or no output")
    for graph in model.subgraphs:
        for tensor in _present(graph.tensors, "tensor"):
            _check_tensor(model, tensor)
        _check_order(model, graph)
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
    signature = _numbers(tensor.shapeSignature)
    _need(not signature or len(signature) == len(shape), f"tensor {name} has two numbers of dimensions")
    data = model.buffers[tensor.buffer].data
    bits = _BITS.get(tensor.type)
    if data is not None and len(data) and bits:
        stored = math.prod(shape) if tensor.sparsity is None else _sparse_values(tensor.sparsity, shape, name)
        _need(len(data) == -(-stored * bits // 8), f"constant {name} has another size than its shape")
    _check_quantization(tensor, shape, name)


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
    scales, points = np.asarray(quantization.scale), np.asarray(_numbers(quantization.zeroPoint))
    _need(bool(np.isfinite(scales).all() and (scales >= 0).all()), f"tensor {name} has a scale that is no number")
    _need(len(points) in (0, 1, len(scales)), f"tensor {name} has more zero points than scales")
    if len(scales) > 1:
        axis = quantization.quantizedDimension
        fits = 0 <= axis < len(shape) and shape[axis] == len(scales)
        _need(fits, f"tensor {name} has another number of scales than channels")
    if tensor.type in _RANGES and len(points):
        low, high = _RANGES[tensor.type]
        _need(bool(low <= points.min() and points.max() <= high), f"tensor {name} has a zero point that does not exist")


def _check_order(model: Any, graph: Any) -> None:
    """Every operator reads what is there by then, and what it writes is written once."""
    tensors, operators = graph.tensors, _present(graph.operators, "operator")
    inputs, outputs = _numbers(graph.inputs), _numbers(graph.outputs)
    _check_places((*inputs, *outputs), tensors)
    stored = {place for place, tensor in enumerate(tensors) if _is_stored(model, tensor)}
    _need(stored.isdisjoint(inputs), "an input of the graph is a constant")
    there, fed = stored | set(inputs), set(inputs)
    for place, operator in enumerate(operators):
        _need(0 <= operator.opcodeIndex < len(model.operatorCodes or ()), f"operator {place} has no name")
        reads, writes = _numbers(operator.inputs), _numbers(operator.outputs)
        _check_places((tensor for tensor in reads if tensor != -1), tensors)
        _check_places(writes, tensors)
        _need(there.issuperset(set(reads) - {-1}), f"operator {place} reads what none before it writes")
        _need(len(set(writes)) == len(writes), f"operator {place} writes a tensor twice")
        _need(there.isdisjoint(writes), f"operator {place} writes what is already there")
        there.update(writes)
        fed.update(writes if fed.intersection(reads) else ())
    _need(there.issuperset(outputs), "no operator writes an output of the graph")
    _need(not inputs or not fed.isdisjoint(outputs), "its answer does not depend on its input")


def _check_places(places: Iterable[int], tensors: list[Any]) -> None:
    _need(all(0 <= place < len(tensors) for place in places), "a tensor is not there")


def _is_stored(model: Any, tensor: Any) -> bool:
    empty = tensor.shape is not None and 0 in tensor.shape
    return flatbuffer.is_constant(model, tensor) or bool(tensor.isVariable) or bool(tensor.externalBuffer) or empty


def _numbers(values: Any) -> tuple[int, ...]:
    return tuple(int(value) for value in (values if values is not None else ()))


_TYPES = {number: name for name, number in vars(schema.TensorType).items() if isinstance(number, int)}
_BITS = {number: int(digits[0]) for number, name in _TYPES.items() if (digits := re.search(r"\d+", name))}
_BITS[schema.TensorType.BOOL] = 8
_RANGES = {
    getattr(schema.TensorType, name): (int(np.iinfo(name.lower()).min), int(np.iinfo(name.lower()).max))
    for name in ("INT8", "UINT8", "INT16", "INT32")
}
