"""A .tflite cut in two behind its front end, which int8 leaves in float, and the two put together again."""

import copy
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_mobilenets.tflite.graph import flatbuffer, signature
from keras_mobilenets.tflite.graph.part import part


def cut(content: bytes, activation: str) -> tuple[bytes, bytes]:
    """What computes an activation, and what computes the output from it.

    Args:
        content: A .tflite of one graph, with one input and one output.
        activation: Its name; nothing behind it reads what is computed before it.
    """
    model = flatbuffer.read(content)
    graph = model.subgraphs[0]
    names = [graph.tensors[operator.outputs[0]].name.decode() for operator in graph.operators]
    end = names.index(activation) + 1
    border = int(graph.operators[end - 1].outputs[0])
    halves = []
    for operators, tensor, ends in (
        (graph.operators[:end], border, ("waveform", activation)),
        (graph.operators[end:], int(graph.outputs[0]), (activation, "output")),
    ):
        half, read = part(model, graph, operators, [tensor])
        assert len(read) == 1, "something else crosses the border"
        signature.name_ends(half, *([name] for name in ends))
        halves.append(flatbuffer.write(half))
    return halves[0], halves[1]


def joined(head: bytes, tail: bytes) -> bytes:
    """The second .tflite on what the first one gives; where it takes integers, a QUANTIZE stands between them.

    Args:
        head: A .tflite of one graph with one float output.
        tail: A .tflite of one graph with one input of that shape; its name and its other ends are kept.
    """
    first, second = flatbuffer.read(head), flatbuffer.read(tail)
    before, after = first.subgraphs[0], second.subgraphs[0]
    source, border = int(after.inputs[0]), int(before.outputs[0])
    codes, buffers, tensors = len(second.operatorCodes), len(second.buffers), len(after.tensors)
    second.operatorCodes = [*second.operatorCodes, *first.operatorCodes]
    second.buffers = [*second.buffers, *first.buffers]
    moved = list(map(copy.copy, before.tensors))
    for tensor in moved:
        tensor.buffer = tensor.buffer + buffers if tensor.buffer else 0
    after.tensors = [*after.tensors, *moved]
    for operator in before.operators:
        operator.opcodeIndex += codes
        operator.inputs, operator.outputs = (
            np.array([t + tensors if t >= 0 else t for t in map(int, side)], np.int32)
            for side in (operator.inputs, operator.outputs)
        )
    border += tensors
    after.operators = [*before.operators, *after.operators]
    graph = flatbuffer.Graph(second)
    if after.tensors[source].type == schema.TensorType.FLOAT32:
        for operator in after.operators:
            operator.inputs = np.array([border if t == source else t for t in map(int, operator.inputs)], np.int32)
    else:
        graph.insert("QUANTIZE", [border], source, len(before.operators))
    after.inputs = np.array([int(before.inputs[0]) + tensors], np.int32)
    ends = [[_name(after.tensors[int(side[0])])] for side in (after.inputs, after.outputs)]
    signature.name_ends(second, *ends)
    return flatbuffer.write(second)


def _name(tensor: Any) -> str:
    return flatbuffer.text(tensor.name)
