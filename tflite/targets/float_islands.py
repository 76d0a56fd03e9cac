"""Tensors and operators as `inspect` gives them, and what of an int8 model computes in float, and at what cost."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from keras_mobilenets.plurals import count, listed
from keras_mobilenets.tflite.graph.sparsity import Zeros

_CONVERSIONS = ("DEQUANTIZE", "QUANTIZE")


@dataclass(frozen=True)
class Tensor:
    """A tensor of the graph.

    Attributes:
        name: Its name in the file.
        dtype: Such as "int8".
        shape: Sizes; −1 where it is known at run time only.
        constant: Whether its values are stored in the file (weights, biases).
        scales: Quantization scales: none, one, or one per channel.
        zero_point: The integer that stands for 0.0 (0 without quantization).
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    constant: bool
    scales: tuple[float, ...]
    zero_point: int


@dataclass(frozen=True)
class Operator:
    """An operator of the graph: its name, version and tensors, in the order of execution.

    Attributes:
        index: Its place in the graph.
        zeros: How many of its weights are zero; None when it has none.
        graph: Which of the file's graphs it belongs to; the first is the model, others hold branches, loops, the
            initial values of variables, or other signatures.
    """

    index: int
    name: str
    version: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    zeros: Zeros | None = None
    graph: int = 0

    @property
    def is_float(self) -> bool:
        """Whether it computes in floating point."""
        return any(tensor.dtype.startswith(("float", "bfloat")) for tensor in self.outputs)


def runs(operators: Sequence[Operator]) -> tuple[tuple[Operator, ...], ...]:
    """Runs of operators that compute in float among others that do not; none where all do."""
    if all(operator.is_float for operator in operators):
        return ()
    found = itertools.groupby(operators, key=lambda operator: (operator.is_float, operator.graph))
    return tuple(tuple(run) for (is_float, _), run in found if is_float)


def describe(operators: Sequence[Operator]) -> str:
    """The islands by what they compute, and their cost: conversions, and the share of all values that is in float.

    That share is of the numbers that operators give, which is what elementwise operators take their time for.
    """
    islands = runs(operators)
    if not islands:
        return "none"
    kinds: dict[str, list[str]] = {}
    for island in islands:
        names = sorted({operator.name for operator in island} - {"DEQUANTIZE"}) or ["DEQUANTIZE"]
        first, last = island[0].index, island[-1].index
        kinds.setdefault(", ".join(names), []).append(f"{first}–{last}" if first < last else str(first))
    parts = [f"{len(places)} of {kind} ({listed(places, 3)})" for kind, places in kinds.items()]
    conversions = [operator for operator in operators if _converts(operator)]
    values, passed = _values(operators), _values(conversions)
    computed = _values([operator for operator in operators if operator.is_float and not _converts(operator)])
    cost = f"{count(len(conversions), 'conversion')} of {passed / values:.1%} of all values"
    return f"{'; '.join(parts)}; cost: {cost}, {computed / values:.1%} of them computed in float"


def _converts(operator: Operator) -> bool:
    """Whether an operator turns integers into floats or back."""
    if operator.name not in _CONVERSIONS:  # others may have no inputs
        return False
    return operator.inputs[0].dtype.startswith("float") != operator.outputs[0].dtype.startswith("float")


def _values(operators: Sequence[Operator]) -> int:
    return max(sum(math.prod(map(abs, tensor.shape)) for operator in operators for tensor in operator.outputs), 1)
