"""Factor and offset of a normalization, folded into the weights that read it: W(γn + β) = (Wγ)n + Wβ."""

import math
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_mobilenets.tflite.graph import flatbuffer

_FLOAT = schema.TensorType.FLOAT32


def folding_readers(graph: flatbuffer.Graph, tensor: int) -> list[Any]:
    """The convolutions and dense layers that read a tensor; none where anything else does too.

    Between them and the tensor there may be what moves positions or takes their mean, channel by channel.
    """
    readers = _readers(graph, tensor, graph.shape(tensor)[-1])
    return [] if readers is None else readers


def fold(
    graph: flatbuffer.Graph, reader: Any, factor: np.ndarray, offset: np.ndarray, *, centers: bool = False
) -> None:
    """Gives an operator constants of its own, since layers with equal ones share them.

    Args:
        graph: Of the operator.
        reader: Of `folding_readers`.
        factor: Of each channel that it reads.
        offset: Of each channel, behind the factor.
        centers: Whether the weights of each output get the sum 0, so that it does not matter what mean is subtracted.
    """
    source, *constants = map(int, reader.inputs)
    weights = graph.constant(constants[0]).astype(np.float64)
    bias = graph.constant(constants[1]).astype(np.float64) if constants[1] >= 0 else np.zeros(len(weights))
    scaled = weights * factor
    if centers:
        scaled -= scaled.mean(axis=-1, keepdims=True)
    own = []
    for index, values in zip(
        constants, (scaled, bias + (weights * offset).sum(axis=tuple(range(1, weights.ndim)))), strict=True
    ):
        own.append(graph.add_tensor("folded", values.shape, _FLOAT, None, values.astype(np.float32)))
        if index >= 0:
            graph.tensors[own[-1]].name = graph.tensors[index].name
    reader.inputs = np.array([source, *own], np.int32)


def _readers(graph: flatbuffer.Graph, tensor: int, channels: int) -> list[Any] | None:
    """All readers behind moves; None where one cannot be folded into."""
    readers = graph.readers(tensor)
    if tensor in graph.outputs or not readers:
        return None
    found: list[Any] = []
    for reader in readers:
        if _passes(graph, reader, tensor, channels):
            behind = _readers(graph, int(reader.outputs[0]), channels)
            if behind is None:
                return None
            found += behind
        elif _folds(graph, reader, tensor, channels):
            found.append(reader)
        else:
            return None
    return found


def _passes(graph: flatbuffer.Graph, reader: Any, tensor: int, channels: int) -> bool:
    """Whether an operator keeps every channel for itself, in the last axis or as the innermost part of it."""
    name, shape = graph.name(reader), graph.shape(tensor)
    if name == "RESHAPE":
        return graph.shape(int(reader.outputs[0]))[-1] % channels == 0
    if name == "TRANSPOSE" and graph.is_constant(int(reader.inputs[1])):
        return int(graph.constant(int(reader.inputs[1]))[-1]) == len(shape) - 1
    if name == "MEAN" and graph.is_constant(int(reader.inputs[1])):
        axes = graph.constant(int(reader.inputs[1])).reshape(-1) % len(shape)
        return len(shape) - 1 not in axes and 0 not in axes
    return False


def _folds(graph: flatbuffer.Graph, reader: Any, tensor: int, channels: int) -> bool:
    """Whether an operator computes with constant weights and a bias, and sees no zeros around the tensor."""
    name = graph.name(reader)
    if name not in ("CONV_2D", "FULLY_CONNECTED") or int(reader.inputs[0]) != tensor or len(reader.inputs) != 3:
        return False
    weights, bias = map(int, reader.inputs[1:])
    if not graph.is_constant(weights) or not (graph.is_constant(bias) if bias >= 0 else name == "FULLY_CONNECTED"):
        return False
    shape = graph.shape(weights)
    if graph.tensors[weights].type != _FLOAT or shape[-1] != channels or graph.shape(tensor)[-1] != channels:
        return False
    return (
        name == "FULLY_CONNECTED" or math.prod(shape[1:3]) == 1 or reader.builtinOptions.padding == schema.Padding.VALID
    )
