"""What no operator of a .tflite reads or gives, taken out of it."""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema


def drop_unused(model: Any) -> None:
    """Takes tensors of the first graph that nothing uses, and buffers that no tensor has, out of a `ModelT`."""
    graph = model.subgraphs[0]
    used = {int(t) for operator in graph.operators for t in (*operator.inputs, *operator.outputs)}
    used |= {int(t) for t in (*graph.inputs, *graph.outputs)}
    kept = [place for place in range(len(graph.tensors)) if place in used]
    new = {place: number for number, place in enumerate(kept)} | {-1: -1}
    graph.tensors[:] = [graph.tensors[place] for place in kept]
    for item in (graph, *graph.operators):
        item.inputs, item.outputs = (
            np.array([new[int(t)] for t in side], np.int32) for side in (item.inputs, item.outputs)
        )
    for signature in model.signatureDefs or ():
        if signature.subgraphIndex == 0:
            for end in (*(signature.inputs or ()), *(signature.outputs or ())):
                end.tensorIndex = new[end.tensorIndex]
    held = {tensor.buffer for each in model.subgraphs for tensor in each.tensors}
    held |= {each.buffer for each in model.metadata or ()}
    for number in range(1, len(model.buffers)):
        if number not in held:
            model.buffers[number] = schema.BufferT()
