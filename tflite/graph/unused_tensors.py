"""What no operator of a .tflite reads or gives, taken out of it."""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema


def drop_unused(model: Any) -> None:
    """Takes tensors of the first graph that nothing uses, and buffers that no tensor has, out of a `ModelT`."""
    graph = model.subgraphs[0]
    inside = [operator for operator in graph.operators if operator.intermediates is not None]
    used = {int(t) for item in (graph, *graph.operators) for t in (*item.inputs, *item.outputs)}
    used |= {int(t) for operator in inside for t in operator.intermediates}
    kept = [place for place in range(len(graph.tensors)) if place in used]
    new = {place: number for number, place in enumerate(kept)} | {-1: -1}
    graph.tensors[:] = [graph.tensors[place] for place in kept]
    for item in (graph, *graph.operators):
        item.inputs, item.outputs = (
            np.array([new[int(t)] for t in side], np.int32) for side in (item.inputs, item.outputs)
        )
    for operator in inside:
        operator.intermediates = np.array([new[int(t)] for t in operator.intermediates], np.int32)
    for signature in model.signatureDefs or ():
        if signature.subgraphIndex == 0:
            for end in (*(signature.inputs or ()), *(signature.outputs or ())):
                end.tensorIndex = new[end.tensorIndex]
    held = {tensor.buffer for each in model.subgraphs for tensor in each.tensors}
    held |= {each.buffer for each in model.metadata or ()}
    held |= set(map(int, model.metadataBuffer if model.metadataBuffer is not None else ()))
    for number in range(1, len(model.buffers)):
        if number not in held:
            model.buffers[number] = schema.BufferT()
