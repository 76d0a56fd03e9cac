"""Multiply-adds of .tflite operators, for one image, as the papers count them: no biases, no activations."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.graph.file_identifier import check_file

COUNTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "BATCH_MATMUL")


def multiply_adds(
    name: str, inputs: Sequence[Sequence[int]], output: Sequence[int], *, transposed: bool = False
) -> int:
    """Counts one operator.

    Args:
        name: Such as "CONV_2D".
        inputs: Shape of each input; of one left out, none.
        output: Shape of the output.
        transposed: Whether a BATCH_MATMUL reads its first input transposed (the option adjX).

    Returns:
        Its multiply-adds; 0 for what has none worth counting.
    """
    if name == "CONV_2D":
        return math.prod(output) * math.prod(inputs[1][1:])
    if name == "DEPTHWISE_CONV_2D":
        return math.prod(output) * math.prod(inputs[1][1:3])
    if name == "FULLY_CONNECTED":
        return math.prod(output) * inputs[1][-1]
    if name == "TRANSPOSE_CONV":
        return math.prod(inputs[2]) * math.prod(inputs[1][:3])
    if name == "BATCH_MATMUL":
        return math.prod(output) * inputs[0][-2 if transposed else -1]
    return 0


def operator_macs(graph: flatbuffer.Graph, operator: Any) -> int:
    """As `multiply_adds`, of an operator of an unpacked graph."""
    name = graph.name(operator)
    if name not in COUNTED:
        return 0
    inputs = [graph.shape(int(tensor)) if tensor >= 0 else () for tensor in operator.inputs]
    transposed = bool(getattr(operator.builtinOptions, "adjX", False))
    return multiply_adds(name, inputs, graph.shape(int(operator.outputs[0])), transposed=transposed)


def file_macs(path: str | Path) -> int:
    """Multiply-adds of one inference of a .tflite.

    Raises:
        UserError: The file is missing, is no .tflite, or is damaged.
    """
    check_file(path)
    graph = flatbuffer.Graph(flatbuffer.read(Path(path).read_bytes(), path))
    try:
        return sum(operator_macs(graph, operator) for operator in graph.operators)
    except (IndexError, TypeError) as error:
        raise UserError(f"{path} is damaged: its operators do not fit together; convert it again") from error
