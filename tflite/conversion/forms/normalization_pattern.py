"""Layer and group normalizations in a float .tflite, in whatever operators a library wrote them.

They are found by what is computed: sums of products of the input x, its mean m and the root r of the variance, of which
only γrx − γmr + β is a normalization.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_mobilenets.tflite.graph import flatbuffer

_NONE = schema.ActivationFunctionType.NONE
_FLOAT = schema.TensorType.FLOAT32

# Sums of products of x, m and r: for each product its factor, one for each channel.
Terms = dict[str, np.ndarray]


@dataclass(frozen=True)
class Normalization:
    """One normalization: of the channels of each position, or of a whole map, as of groups that are one.

    Attributes:
        x: Its input, a tensor.
        epsilon: A constant that is added to the variance.
        output: Its output.
        factor: Of each channel.
        offset: Of each channel.
        of_map: Whether mean and variance are those of all channels and positions together.
    """

    x: int
    epsilon: int
    output: int
    factor: np.ndarray
    offset: np.ndarray
    of_map: bool


def normalizations(graph: flatbuffer.Graph) -> list[Normalization]:
    """All of a graph, in the order of their roots."""
    makers = graph.makers()
    found = [_normalization(graph, makers, operator) for operator in graph.operators if graph.name(operator) == "RSQRT"]
    return [normalization for normalization in found if normalization is not None]


def _normalization(graph: flatbuffer.Graph, makers: dict[int, Any], root: Any) -> Normalization | None:
    """The normalization that an RSQRT is of: of the mean of squared differences from the mean, and epsilon."""
    total = makers.get(int(root.inputs[0]))
    if total is None or graph.name(total) != "ADD" or total.builtinOptions.fusedActivationFunction != _NONE:
        return None
    variance = next((makers[int(i)] for i in total.inputs if int(i) in makers), None)
    of_map = None if variance is None else _is_of_map(graph, variance)
    squares = None if variance is None or of_map is None else makers.get(int(variance.inputs[0]))
    source = _centered(graph, makers, squares) if squares is not None else None
    if source is None or squares is None or variance is None or of_map is None:
        return None
    x, mean = source
    if _is_of_map(graph, makers[mean]) != of_map:
        return None
    epsilon = next(int(i) for i in total.inputs if int(i) not in variance.outputs)
    channels = graph.shape(x)[-1]
    known: dict[int, Terms] = {x: _one("x"), mean: _one("m"), int(root.outputs[0]): _one("r")}
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
            factor = np.broadcast_to(factor, (channels,))
            result = Normalization(x, epsilon, output, factor, offset, of_map)
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
        if mean in makers and graph.name(makers[mean]) == "MEAN" and int(makers[mean].inputs[0]) == x:
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
    if not graph.is_constant(tensor) or graph.tensors[tensor].type != _FLOAT:
        return None
    values = graph.constant(tensor).astype(np.float64)
    if values.size == 1:
        return {"": values.reshape(())}
    return {"": values.reshape(-1)} if values.size == channels == graph.shape(tensor)[-1] else None


def _is_of_map(graph: flatbuffer.Graph, operator: Any) -> bool | None:
    """Whether an operator takes the mean of all there is, False for that over the last axis, None for any other."""
    if graph.name(operator) != "MEAN" or not operator.builtinOptions.keepDims:
        return None
    shape, axes = graph.shape(int(operator.inputs[0])), int(operator.inputs[1])
    if not graph.is_constant(axes):
        return None
    found = {axis % len(shape) for axis in graph.constant(axes).reshape(-1)}
    if found == {len(shape) - 1}:
        return False
    return True if all(axis in found or size == 1 for axis, size in enumerate(shape)) else None


def _one(product: str) -> Terms:
    return {product: np.ones(())}


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    return bool(np.allclose(one, other, rtol=1e-6, atol=0))
