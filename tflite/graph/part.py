"""A .tflite of some operators of another, with the constants that they have."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_mobilenets.tflite.graph import flatbuffer


def part(model: Any, graph: Any, operators: Sequence[Any], wanted: Sequence[int]) -> tuple[Any, list[int]]:
    """A model of some operators of a graph; the other stays as it is.

    Args:
        model: The `ModelT` that holds the graph.
        graph: One of its graphs.
        operators: In their order; they are to be run once each.
        wanted: The tensors of the graph that become outputs.

    Returns:
        The `ModelT`, and the tensors of the graph that are its inputs.
    """
    buffers = [schema.BufferT()]
    tensors: list[Any] = []
    places = {-1: -1}
    made = {int(tensor) for operator in operators for tensor in operator.outputs}
    used = list(dict.fromkeys(int(t) for op in operators for t in (*op.inputs, *op.outputs) if t >= 0))
    for tensor in used:
        own = copy.copy(graph.tensors[tensor])
        stored = model.buffers[own.buffer] if flatbuffer.is_constant(model, own) else None
        own.buffer = len(buffers) if stored else 0
        buffers += [stored] if stored else []
        places[tensor] = len(tensors)
        tensors.append(own)
    read = [t for t in used if t not in made and not tensors[places[t]].buffer]
    copies = [copy.copy(operator) for operator in operators]
    for operator in copies:
        operator.inputs, operator.outputs = (
            np.array([places[int(t)] for t in side], np.int32) for side in (operator.inputs, operator.outputs)
        )
    only = schema.SubGraphT(
        tensors=tensors,
        inputs=np.array([places[t] for t in read], np.int32),
        outputs=np.array([places[t] for t in wanted], np.int32),
        operators=copies,
    )
    return schema.ModelT(version=3, operatorCodes=model.operatorCodes, subgraphs=[only], buffers=buffers), read
