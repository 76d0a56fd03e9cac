"""The graph of a .tflite as a delegate sees it: operators with their options, tensors with dtype, shape and scales."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_mobilenets.tflite.graph import flatbuffer


@dataclass(frozen=True)
class Operand:
    """A tensor as the delegate sees it.

    Attributes:
        dtype: Such as "int8".
        shape: Sizes for one image, also where the file leaves the batch open.
        constant: Whether its values are stored in the file.
        scales: Quantization scales: none, one, or one per channel.
        zero_point: The integer that stands for 0.0 (0 without quantization).
        data: The stored bytes of a constant; None of anything else.
    """

    dtype: str
    shape: tuple[int, ...]
    constant: bool
    scales: tuple[float, ...]
    zero_point: int
    data: Any = None

    @property
    def scale(self) -> float:
        """The one scale; 0 without any, and where each channel has its own."""
        return self.scales[0] if len(self.scales) == 1 else 0.0

    @property
    def is_quantized(self) -> bool:
        """Whether the delegate counts it as a quantized tensor, which int16 is not."""
        return self.dtype in ("uint8", "int8")

    @property
    def is_per_channel(self) -> bool:
        """Whether each channel has its own scale."""
        return len(self.scales) > 1

    @property
    def elements(self) -> int:
        """How many values it holds."""
        return math.prod(self.shape)

    def integers(self) -> list[int]:
        """The values of a constant of int32 or int64, first to last; nothing of what is computed at run time."""
        if self.data is None or self.dtype not in ("int32", "int64"):
            return []
        return [int(value) for value in np.asarray(self.data, np.uint8).view(self.dtype)]


@dataclass(frozen=True)
class Node:
    """An operator as the delegate sees it; an optional input that is not given is None."""

    name: str
    version: int
    options: Any
    inputs: tuple[Operand | None, ...]
    outputs: tuple[Operand, ...]

    def option(self, name: str, default: Any = 0) -> Any:
        """An option of the operator; the default where the file gives none."""
        return getattr(self.options, name, default)

    def operand(self, index: int) -> Operand:
        """The input at `index`, which must be there."""
        operand = self.inputs[index]
        if operand is None:
            raise IndexError(f"{self.name} lacks input {index}")
        return operand


@dataclass(frozen=True)
class Graph:
    """The operators, each beside the numbers of the tensors it reads and writes (−1: an optional input not given)."""

    nodes: list[Node]
    reads: list[list[int]]
    writes: list[list[int]]
    operands: list[Operand]
    number: int = 0  # its place among the graphs of the file


def graph_of(model: Any, number: int = 0) -> Graph:
    """A graph of a `ModelT` as a delegate sees it: the first, or one that it calls."""
    graph = model.subgraphs[number]
    operands = [_operand(model, tensor) for tensor in graph.tensors]
    reads = [list(map(int, operator.inputs)) for operator in graph.operators]
    writes = [[int(tensor) for tensor in operator.outputs if tensor >= 0] for operator in graph.operators]
    nodes = [
        Node(
            flatbuffer.operator_name(model, operator),
            model.operatorCodes[operator.opcodeIndex].version,
            operator.builtinOptions,
            tuple(operands[tensor] if tensor >= 0 else None for tensor in read),
            tuple(operands[tensor] for tensor in written),
        )
        for operator, read, written in zip(graph.operators, reads, writes, strict=True)
    ]
    return Graph(nodes, reads, writes, operands, number)


def _operand(model: Any, tensor: Any) -> Operand:
    dtype = flatbuffer.type_name(tensor.type)
    shape = tuple(int(size) for size in (tensor.shape if tensor.shape is not None else ()))
    scales, zero_point = flatbuffer.scales(tensor)
    data = flatbuffer.stored_bytes(model, tensor)
    return Operand(
        dtype,
        shape,
        constant=data is not None,
        scales=scales,
        zero_point=zero_point,
        data=data,
    )
