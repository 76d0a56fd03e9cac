"""Feature maps of a float .tflite whose channels can be scaled together without a change of what the model computes.

Between layers with weights, a channel may be divided by a number and the weights that read it multiplied by it. What
works on each channel alone passes the number on: a sum of two maps, a padding, a mean over places, ReLU.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.graph.weights import WeightedGraph

_ACTIVATION = schema.ActivationFunctionType
_PASSING = {"ADD", "PAD", "MEAN", "RELU", "RELU6", "MAX_POOL_2D", "AVERAGE_POOL_2D"}


@dataclass
class ChannelGroup:
    """Tensors that share the scale of their channels.

    Attributes:
        tensors: Their places in the graph.
        writers: The layers with weights that give them.
        readers: The layers with weights that read them, and which tensor.
        clipped: Whether ReLU6 ends any of them.
    """

    tensors: set[int] = field(default_factory=set)
    writers: list[Any] = field(default_factory=list)
    readers: list[tuple[Any, int]] = field(default_factory=list)
    clipped: bool = False

    def divide(self, graph: WeightedGraph, factors: np.ndarray) -> None:
        """Divides the channels by factors, and multiplies the weights that read them."""
        for writer in self.writers:
            given, biases = graph.by_output_channel(writer), graph.biases(writer)
            given /= _along_first(factors, given)
            biases /= factors.astype(np.float32)
        for reader, _ in self.readers:
            read = graph.by_input_channel(reader)
            read *= _along_first(factors, read)


def channel_groups(graph: WeightedGraph) -> list[ChannelGroup]:
    """The groups, in the order of their first tensors; tensors that something else reads or writes are in none."""
    writers = {int(tensor): operator for operator in graph.operators for tensor in operator.outputs}
    groups: list[ChannelGroup] = []
    seen: set[int] = set()
    for operator in graph.operators:
        tensor = int(operator.outputs[0])
        if tensor in seen or not graph.has_own_weights(operator):
            continue
        group = _grown(graph, tensor, writers)
        seen |= group.tensors if group else {tensor}
        if group and group.readers:
            groups.append(group)
    return groups


def _grown(graph: WeightedGraph, tensor: int, writers: dict[int, Any]) -> ChannelGroup | None:
    """All that shares the channels of a tensor; None where anything does not pass them."""
    group, waiting, channels = ChannelGroup(), [tensor], graph.shape(tensor)[-1:]
    while waiting:
        tensor = waiting.pop()
        if tensor in group.tensors:
            continue
        writer = writers.get(tensor)
        if writer is None or tensor in graph.outputs or graph.shape(tensor)[-1:] != channels:
            return None
        group.tensors.add(tensor)
        if graph.has_own_weights(writer):
            if len(graph.by_output_channel(writer)) != channels[0]:
                return None
            group.writers.append(writer)
        elif not _passes(graph, writer):
            return None
        else:
            waiting += _maps(graph, writer)
        activation = getattr(writer.builtinOptions, "fusedActivationFunction", _ACTIVATION.NONE)
        if activation not in (_ACTIVATION.NONE, _ACTIVATION.RELU, _ACTIVATION.RELU6):
            return None
        group.clipped |= activation == _ACTIVATION.RELU6 or graph.name(writer) == "RELU6"
        for reader in graph.readers(tensor):
            if graph.has_own_weights(reader) and len(graph.by_input_channel(reader)) == channels[0]:
                group.readers.append((reader, tensor))
            elif _passes(graph, reader):
                waiting.append(int(reader.outputs[0]))
            else:
                return None
    return group


def _maps(graph: WeightedGraph, operator: Any) -> list[int]:
    """What an operator reads that the file does not store."""
    return [
        int(tensor) for tensor in operator.inputs if not flatbuffer.is_constant(graph.model, graph.tensors[int(tensor)])
    ]


def _passes(graph: WeightedGraph, operator: Any) -> bool:
    """Whether an operator does the same to every channel, such that a scale passes it."""
    name = graph.name(operator)
    if name not in _PASSING:
        return False
    if name == "ADD":
        return len(_maps(graph, operator)) == 2 and len({graph.shape(int(t)) for t in operator.inputs}) == 1
    if name == "MEAN":
        rank = len(graph.shape(int(operator.inputs[0])))
        return (rank - 1) not in graph.constant(int(operator.inputs[1])) % rank
    return True


def _along_first(factors: np.ndarray, array: np.ndarray) -> np.ndarray:
    return factors.reshape(-1, *[1] * (array.ndim - 1)).astype(np.float32)
