"""Multiply-adds of .tflite operators, for one image, as the papers count them: no biases, no activations."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.graph.file_identifier import check_file

Shapes = Sequence[Sequence[int]]  # of all tensors of a graph

COUNTED = (
    "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "BATCH_MATMUL", "CONV_3D", "CONV_3D_TRANSPOSE",
    "SVDF", "UNIDIRECTIONAL_SEQUENCE_LSTM", "Convolution2DTransposeBias",
)  # fmt: skip


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
    if name == "Convolution2DTransposeBias":  # MediaPipe's, which XNNPACK takes
        return math.prod(inputs[0]) * math.prod(inputs[1][:3])
    if name == "BATCH_MATMUL":
        return math.prod(output) * inputs[0][-2 if transposed else -1]
    if name == "CONV_3D":
        return math.prod(output) * math.prod(inputs[1][:4])
    if name == "CONV_3D_TRANSPOSE":
        return math.prod(inputs[2]) * math.prod(inputs[1][:4])
    if name == "SVDF":  # the weights of features and of time
        return inputs[0][0] * sum(math.prod(weights) for weights in inputs[1:3])
    if name == "UNIDIRECTIONAL_SEQUENCE_LSTM":  # every step multiplies by the weights of the gates, and the projection
        steps = math.prod(inputs[0][:2])
        return steps * sum(math.prod(weights) for weights in (*inputs[1:9], inputs[16]) if weights)
    return 0


def operator_macs(graph: flatbuffer.Graph, operator: Any, shapes: Shapes | None = None) -> int:
    """As `multiply_adds`, of an operator of an unpacked graph.

    Args:
        graph: The graph.
        operator: One of its operators.
        shapes: The sizes of its tensors at run time; those in the file when not given.
    """
    name = graph.name(operator)
    if name not in COUNTED:
        return 0

    def shape(tensor: int) -> Sequence[int]:
        return graph.shape(tensor) if shapes is None else shapes[tensor]

    inputs = [shape(int(tensor)) if tensor >= 0 else () for tensor in operator.inputs]
    transposed = bool(getattr(operator.builtinOptions, "adjX", False))
    return multiply_adds(name, inputs, shape(int(operator.outputs[0])), transposed=transposed)


def file_macs(path: str | Path, shapes: Shapes | None = None) -> int | None:
    """Multiply-adds of one inference of a .tflite, of its first graph.

    Args:
        path: The .tflite file.
        shapes: The sizes of the graph's tensors at run time; those in the file when not given.

    Returns:
        Their number; None where it calls graphs that have some (IF, WHILE), whose number of runs no file tells.

    Raises:
        UserError: The file is missing, is no .tflite, or is damaged.
    """
    check_file(path)
    model = flatbuffer.read(Path(path).read_bytes(), path)
    try:
        first, *called = (flatbuffer.Graph(model, number) for number in _reached(model))
        if any(operator_macs(graph, operator) for graph in called for operator in graph.operators):
            return None
        return sum(operator_macs(first, operator, shapes) for operator in first.operators)
    except (IndexError, TypeError) as error:
        raise UserError(f"{path} is damaged: its operators do not fit together; convert it again") from error


def _reached(model: Any) -> list[int]:
    """The first graph and those that operators call on the way."""
    reached = [0]
    for number in reached:
        for operator in model.subgraphs[number].operators:
            for options in (operator.builtinOptions, operator.builtinOptions2):
                named = [] if options is None else [v for name, v in vars(options).items() if "ubgraph" in name]
                reached += [int(n) for value in named for n in np.atleast_1d(value) if int(n) not in reached]
    return reached
