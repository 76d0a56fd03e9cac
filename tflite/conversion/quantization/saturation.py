"""Ranges of activations that end where what reads them no longer changes: steps beyond would tell nothing apart.

h-swish of anything below −3 is 0. In networks trained for a short time its inputs go down to −300 where they go up to
80: such a range spends four steps in five on values that all become 0. The same holds for hard-sigmoid, for sigmoid and
tanh at both ends, for GELU and SiLU far below zero.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from scipy import special

from keras_mobilenets.tflite.graph import flatbuffer

Function = Callable[[np.ndarray], np.ndarray]

_TELLS = 1 / 8  # of an int8 step of the result, that a value must change it by to be told apart
_POINTS = 4097  # at which a function is looked at, over the range of its input
_FUNCTIONS: dict[str, Function] = {
    "HARD_SWISH": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "LOGISTIC": special.expit,
    "TANH": np.tanh,
    "GELU": lambda x: x * special.ndtr(x),
    "ELU": lambda x: np.where(x > 0, x, np.expm1(x)),
    "RELU": lambda x: np.maximum(x, 0),
    "RELU6": lambda x: np.clip(x, 0, 6),
}
_FUSED = {schema.ActivationFunctionType.RELU: "RELU", schema.ActivationFunctionType.RELU6: "RELU6"}


def cut(model: Any) -> None:
    """Narrows the range of every activation that only such functions read to where their results differ.

    Args:
        model: A float .tflite as `ModelT` with the range of every activation; changed in place.
    """
    graph = flatbuffer.Graph(model)
    readers: dict[int, list[Any]] = {}
    for operator in graph.operators:
        for tensor in map(int, operator.inputs):
            readers.setdefault(tensor, []).append(operator)
    kept = {*map(int, graph.inputs), *map(int, graph.outputs)}
    for tensor, found in readers.items():
        known = flatbuffer.range_of(graph.tensors[tensor])
        functions = _functions(graph, tensor, found, readers)
        if tensor in kept or known is None or not functions:
            continue
        ends = [_ends(known, function, graph.tensors[result]) for function, result in functions]
        low, high = min(low for low, _ in ends), max(high for _, high in ends)
        flatbuffer.set_range(graph.tensors[tensor], min(low, 0.0), max(high, 0.0))


def _functions(
    graph: flatbuffer.Graph, tensor: int, found: Sequence[Any], readers: dict[int, list[Any]]
) -> list[tuple[Function, int]]:
    """What is computed of a tensor, element by element, and the tensors of the results; none where anything else is."""
    names = {graph.name(operator): operator for operator in found}
    if names.keys() == {"LOGISTIC", "MUL"} and len(found) == 2:  # SiLU
        gate = int(names["LOGISTIC"].outputs[0])
        if readers.get(gate) == [names["MUL"]] and gate in names["MUL"].inputs:
            return [(lambda x: x * special.expit(x), int(names["MUL"].outputs[0]))]
    functions = [_function(graph, tensor, operator) for operator in found]
    if None in functions:
        return []
    return [(function, int(reader.outputs[0])) for function, reader in zip(functions, found, strict=True) if function]


def _function(graph: flatbuffer.Graph, tensor: int, operator: Any) -> Function | None:
    """What an operator computes of each element; None where it is not one of these functions."""
    if graph.name(operator) != "ADD":
        return _FUNCTIONS.get(graph.name(operator))
    other = next((int(place) for place in operator.inputs if int(place) != tensor), tensor)
    fused = _FUSED.get(operator.builtinOptions.fusedActivationFunction)
    if fused is None or not graph.is_constant(other) or graph.constant(other).size != 1:
        return None
    added = float(graph.constant(other).reshape(()))
    return lambda x: _FUNCTIONS[fused](x + added)  # hard-sigmoid's


def _ends(known: tuple[float, float], function: Function, result: Any) -> tuple[float, float]:
    """The part of a range outside of which a function hardly changes, by the int8 steps of its result."""
    given = flatbuffer.range_of(result)
    if given is None:
        return known
    least, greatest = min(given[0], 0.0), max(given[1], 0.0)
    told = _TELLS * (greatest - least) / 255
    values = np.linspace(*known, _POINTS)
    results = np.clip(function(values), least, greatest)
    return _first_change(values, results, told), _first_change(values[::-1], results[::-1], told)


def _first_change(values: np.ndarray, results: np.ndarray, told: float) -> float:
    """The last value before the results, in their order, have changed by so much."""
    changed = np.maximum.accumulate(results) - np.minimum.accumulate(results) > told
    return float(values[max(int(changed.argmax()) - 1, 0) if changed.any() else 0])
