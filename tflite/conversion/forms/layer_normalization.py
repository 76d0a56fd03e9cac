"""Layer normalization in a float .tflite, in the fewest operators, and what of it stays float in an int8 one.

TensorFlow writes it as ten operators, six of which give a tensor of the input's size. In a float file it is c = x −
mean, times rsqrt(mean of c · c), with factor and offset of the channels in the weights of what reads it, where those
are convolutions or dense layers alone: W(γn + β) = (Wγ)n + Wβ.

For int8 these weights subtract the mean too, since their sums over channels may be made zero: what is left between
the layers is one product of int8, x · rsqrt(mean of x · x − mean²). Squares and root need more than eight bits and
are an island of float operators between DEQUANTIZE and QUANTIZE, which gives one number a position. XNNPACK takes all
of it. On one thread of an x86 with AMX, two 1×1 convolutions of a ConvNeXt block at 56×56×96 take 1.05 of their time
with it, 1.23 with the float form in float, and about 2.3 with the ten operators in float.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_mobilenets.tflite.graph import flatbuffer

_NONE = schema.ActivationFunctionType.NONE
_FLOAT = schema.TensorType.FLOAT32

_MARK = ":float "  # in the names of activations

Step = tuple[str, list[int], int | None]  # an operator, its inputs, its output
# Sums of products of the input x, its mean m and the root r: for each product its factor, one for each channel.
Terms = dict[str, np.ndarray]


@dataclass(frozen=True)
class Normalization:
    """One layer normalization over the last axis.

    Attributes:
        x: Its input, a tensor.
        mean: That of each position.
        island: What is computed from the squares on: these, their mean, with epsilon, and its inverse root.
        output: Its output.
        factor: Of each channel.
        offset: Of each channel.
    """

    x: int
    mean: int
    island: tuple[int, int, int, int]
    output: int
    factor: np.ndarray
    offset: np.ndarray


def simplify(content: bytes, *, for_int8: bool = False) -> bytes:
    """Writes each layer normalization over channels in fewer operators.

    Args:
        content: A float32 .tflite without ranges.
        for_int8: Whether it is to be quantized.

    Returns:
        The .tflite, which computes the same but for rounding; as it was where it has no layer normalization.
    """
    graph = flatbuffer.Graph(flatbuffer.read(content))
    found = _normalizations(graph)
    for normalization in found:
        output = normalization.output
        readers = [] if output in graph.model.subgraphs[0].outputs else graph.readers(output)
        folds = bool(readers) and all(_folds(graph, reader, output) for reader in readers)
        for reader in readers if folds else ():
            _fold(graph, reader, normalization, centers=for_int8)
        if folds and for_int8:
            _write_product(graph, normalization)
        else:
            _write_centered(graph, normalization, folds, for_int8)
    if not found:
        return content
    _remove_unread(graph)
    return flatbuffer.write(graph.model)


def inner_activations(content: bytes) -> list[str]:
    """Names of the activations inside of layer normalizations that stay in float, as `simplify` marked them."""
    graph = flatbuffer.read(content).subgraphs[0]
    return [name for tensor in graph.tensors if _MARK in (name := flatbuffer.text(tensor.name))]


def _normalizations(graph: flatbuffer.Graph) -> list[Normalization]:
    makers = _makers(graph)
    found = [_normalization(graph, makers, operator) for operator in graph.operators if graph.name(operator) == "RSQRT"]
    return [normalization for normalization in found if normalization is not None]


def _normalization(graph: flatbuffer.Graph, makers: dict[int, Any], root: Any) -> Normalization | None:
    """The layer normalization that an RSQRT is of: of the mean of squared differences from the mean, and epsilon."""
    total = makers.get(int(root.inputs[0]))
    if total is None or graph.name(total) != "ADD" or total.builtinOptions.fusedActivationFunction != _NONE:
        return None
    variance = next((makers[int(i)] for i in total.inputs if int(i) in makers), None)
    squares = makers.get(int(variance.inputs[0])) if variance is not None and _is_mean(graph, variance) else None
    source = _centered(graph, makers, squares) if squares is not None else None
    if source is None or squares is None or variance is None:
        return None
    x, mean = source
    island = (int(squares.outputs[0]), int(variance.outputs[0]), int(total.outputs[0]), int(root.outputs[0]))
    channels, deviation = graph.shape(x)[-1], island[-1]
    known: dict[int, Terms] = {x: _one("x"), mean: _one("m"), deviation: _one("r")}
    result = None
    for operator in graph.operators[graph.place(makers[mean]) :]:
        terms = _terms(graph, operator, known, channels)
        if terms is None or int(operator.outputs[0]) in known:
            continue
        output = int(operator.outputs[0])
        known[output] = terms
        factor, negative = terms.get("rx"), terms.get("mr")
        if factor is not None and negative is not None and set(terms) <= {"rx", "mr", ""} and _same(factor, -negative):
            offset = np.broadcast_to(terms.get("", np.zeros(())), (channels,))
            result = Normalization(x, mean, island, output, np.broadcast_to(factor, (channels,)), offset)
    return result


def _centered(graph: flatbuffer.Graph, makers: dict[int, Any], squares: Any) -> tuple[int, int] | None:
    """Of what an operator squares the difference: a tensor and its mean; None where it does something else."""
    name, inputs = graph.name(squares), list(map(int, squares.inputs))
    if name in ("MUL", "SQUARE") and len(set(inputs)) == 1 and inputs[0] in makers:
        squares = makers[inputs[0]]
        name, inputs = graph.name(squares), list(map(int, squares.inputs))
        if name != "SUB":
            return None
    elif name != "SQUARED_DIFFERENCE":
        return None
    for x, mean in (inputs, inputs[::-1]):
        if mean in makers and _is_mean(graph, makers[mean]) and int(makers[mean].inputs[0]) == x:
            return x, mean
    return None


def _terms(graph: flatbuffer.Graph, operator: Any, known: dict[int, Terms], channels: int) -> Terms | None:
    """What an operator gives as a sum of products; None where it is none."""
    name = graph.name(operator)
    if name not in ("ADD", "SUB", "MUL", "NEG"):
        return None
    if name != "NEG" and operator.builtinOptions.fusedActivationFunction != _NONE:
        return None
    operands = [known.get(int(i)) or _number(graph, int(i), channels) for i in operator.inputs]
    if any(operand is None for operand in operands) or not any(int(i) in known for i in operator.inputs):
        return None
    if name == "NEG":
        return {product: -factor for product, factor in operands[0].items()}  # type: ignore[union-attr]
    first, second = operands
    result: Terms = {}
    if name == "MUL":
        for one, factor in first.items():  # type: ignore[union-attr]
            for other, times in second.items():  # type: ignore[union-attr]
                product = "".join(sorted(one + other))
                result[product] = result.get(product, np.zeros(())) + factor * times
    else:
        sign = -1 if name == "SUB" else 1
        result = dict(first)  # type: ignore[arg-type]
        for product, factor in second.items():  # type: ignore[union-attr]
            result[product] = result.get(product, np.zeros(())) + sign * factor
    return result if all(len(product) <= 2 for product in result) else None


def _number(graph: flatbuffer.Graph, tensor: int, channels: int) -> Terms | None:
    """A constant number, or one for each channel."""
    if not _is_constant(graph, tensor) or graph.tensors[tensor].type != _FLOAT:
        return None
    values = graph.constant(tensor).astype(np.float64)
    if values.size == 1:
        return {"": values.reshape(())}
    return {"": values.reshape(-1)} if values.size == channels == graph.shape(tensor)[-1] else None


def _write_centered(graph: flatbuffer.Graph, found: Normalization, folds: bool, in_float: bool) -> None:
    """Writes c · rsqrt(mean of c · c), c = x − mean, with factor and offset behind it where they are not folded."""
    shape, output, name = graph.shape(found.x), found.output, flatbuffer.text(graph.tensors[found.output].name)
    makers = _makers(graph)
    mark = _MARK if in_float else ":"
    centered = _add(graph, shape, f"{name}{mark}centered")
    _replace(graph, makers[found.island[0]], ("SUB", [found.x, found.mean], centered), ("MUL", [centered] * 2, None))
    normal = output if folds else _add(graph, shape, f"{name}{mark}normal")
    steps: list[Step] = [("MUL", [centered, found.island[-1]], normal)]
    if not folds:
        factor, offset = (
            graph.add_tensor(kind, (shape[-1],), _FLOAT, None, np.ascontiguousarray(values, np.float32))
            for kind, values in (("factor", found.factor), ("offset", found.offset))
        )
        scaled = _add(graph, shape, f"{name}{mark}scaled")
        steps += [("MUL", [normal, factor], scaled), ("ADD", [scaled, offset], output)]
    _replace(graph, makers[output], *steps)
    if in_float:
        inner = [found.mean, *found.island]
        if output not in graph.model.subgraphs[0].outputs:  # the graph's own names stay
            inner.append(output)
        _mark(graph, inner, name)


def _write_product(graph: flatbuffer.Graph, found: Normalization) -> None:
    """Writes x · rsqrt(mean of x · x − mean²); all but the product stays in float."""
    shape, name = graph.shape(found.x), flatbuffer.text(graph.tensors[found.output].name)
    makers = _makers(graph)
    squares, variance, total, root = found.island
    mean_square, square = (
        _add(graph, (*shape[:-1], 1), f"{name}{_MARK}{word}") for word in ("mean of squares", "square")
    )
    _replace(graph, makers[squares], ("MUL", [found.x, found.x], squares))
    makers[variance].outputs = np.array([mean_square], np.int32)
    steps: list[Step] = [
        ("MUL", [found.mean, found.mean], square),
        ("SUB", [mean_square, square], variance),
        ("ADD", list(map(int, makers[total].inputs)), total),
    ]
    _replace(graph, makers[total], *steps)
    difference = next(operator for operator in graph.operators if variance in operator.outputs)
    difference.builtinOptions.fusedActivationFunction = schema.ActivationFunctionType.RELU  # rounding may go below 0
    _replace(graph, makers[found.output], ("MUL", [found.x, root], found.output))
    _mark(graph, [found.mean, *found.island], name)


def _add(graph: flatbuffer.Graph, shape: tuple[int, ...], name: str) -> int:
    tensor = graph.add_tensor("inner", shape, _FLOAT)
    graph.tensors[tensor].name = name.encode()
    return tensor


def _mark(graph: flatbuffer.Graph, tensors: Sequence[int], name: str) -> None:
    """Names tensors as those of a normalization that are computed in float."""
    for place, tensor in enumerate(tensors):
        graph.tensors[tensor].name = f"{name}{_MARK}{place}".encode()


def _replace(graph: flatbuffer.Graph, old: Any, *steps: Step) -> None:
    """Puts operators into the place of one, whose output is that of a step that names none."""
    place = graph.place(old)
    graph.operators.pop(place)
    for step, (kind, inputs, output) in enumerate(steps):
        graph.insert(kind, inputs, int(old.outputs[0]) if output is None else output, place + step)


def _folds(graph: flatbuffer.Graph, reader: Any, tensor: int) -> bool:
    """Whether an operator computes with constant weights and a bias, and sees no zeros around the tensor."""
    name = graph.name(reader)
    if name not in ("CONV_2D", "FULLY_CONNECTED") or int(reader.inputs[0]) != tensor or len(reader.inputs) != 3:
        return False
    if not all(i >= 0 and _is_constant(graph, int(i)) for i in reader.inputs[1:]):
        return False
    weights = graph.tensors[int(reader.inputs[1])]
    shape = graph.shape(int(reader.inputs[1]))
    if weights.type != _FLOAT or shape[-1] != graph.shape(tensor)[-1]:
        return False
    return name == "FULLY_CONNECTED" or shape[1:3] == (1, 1) or reader.builtinOptions.padding == schema.Padding.VALID


def _fold(graph: flatbuffer.Graph, reader: Any, found: Normalization, centers: bool) -> None:
    """Gives an operator constants of its own, since layers with equal ones share them."""
    source, *constants = map(int, reader.inputs)
    weights, bias = (graph.constant(index).astype(np.float64) for index in constants)
    scaled = weights * found.factor
    if centers:
        scaled -= scaled.mean(axis=-1, keepdims=True)
    folded = scaled, bias + (weights * found.offset).sum(axis=tuple(range(1, weights.ndim)))
    own = []
    for index, values in zip(constants, folded, strict=True):
        own.append(graph.add_tensor("folded", values.shape, _FLOAT, None, values.astype(np.float32)))
        graph.tensors[own[-1]].name = graph.tensors[index].name
    reader.inputs = np.array([source, *own], np.int32)


def _remove_unread(graph: flatbuffer.Graph) -> None:
    """Removes the operators whose results nothing reads any more."""
    while True:
        read = {int(i) for operator in graph.operators for i in operator.inputs}
        read |= set(map(int, graph.model.subgraphs[0].outputs))
        kept = [operator for operator in graph.operators if read.intersection(map(int, operator.outputs))]
        if len(kept) == len(graph.operators):
            return
        graph.operators[:] = kept


def _makers(graph: flatbuffer.Graph) -> dict[int, Any]:
    return {int(tensor): operator for operator in graph.operators for tensor in operator.outputs}


def _is_constant(graph: flatbuffer.Graph, tensor: int) -> bool:
    return flatbuffer.is_constant(graph.model, graph.tensors[tensor])


def _is_mean(graph: flatbuffer.Graph, operator: Any) -> bool:
    """Whether an operator takes the mean over the last axis and keeps it."""
    if graph.name(operator) != "MEAN" or not operator.builtinOptions.keepDims:
        return False
    rank = len(graph.shape(int(operator.inputs[0])))
    axes = int(operator.inputs[1])
    return _is_constant(graph, axes) and [axis % rank for axis in graph.constant(axes).reshape(-1)] == [rank - 1]


def _one(product: str) -> Terms:
    return {product: np.ones(())}


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    return bool(np.allclose(one, other, rtol=1e-6, atol=0))
