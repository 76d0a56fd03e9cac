"""Weights that a .tflite stores in float16, or without their zeros, as the float32 constants that it makes of them."""

from typing import Any

import numpy as np

from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.graph.unused_tensors import drop_unused
from keras_mobilenets.tflite.runtime.activations import interpreter_of


def unpack(model: Any) -> None:
    """Puts the results of DENSIFY, and of DEQUANTIZE of float16, of constants in their place: changes a `ModelT`."""
    graph, ends = flatbuffer.Graph(model), model.subgraphs[0]
    unpacking, made = [], set()
    for operator in graph.operators:
        if _unpacks(graph, operator) and (
            int(operator.inputs[0]) in made or graph.is_constant(int(operator.inputs[0]))
        ):
            unpacking.append(operator)
            made.add(int(operator.outputs[0]))
    if not unpacking:
        return
    operators, outputs, signatures = ends.operators, ends.outputs, model.signatureDefs
    ends.operators, ends.outputs, model.signatureDefs = unpacking, np.array(sorted(made), np.int32), None
    runtime = interpreter_of(flatbuffer.write(model), delegate=False)
    runtime.invoke()
    ends.operators, ends.outputs, model.signatureDefs = operators, outputs, signatures
    for place in made:
        values, stored = runtime.get_tensor(place), graph.tensors[place]
        stored.buffer = graph.tensors[graph.add_tensor("unpacked", values.shape, stored.type, values=values)].buffer
    operators[:] = [each for each in operators if not any(each is other for other in unpacking)]
    drop_unused(model)


def _unpacks(graph: flatbuffer.Graph, operator: Any) -> bool:
    """Whether an operator widens float16, or writes the zeros of a sparse tensor."""
    if graph.name(operator) == "DEQUANTIZE":
        return flatbuffer.type_name(graph.tensors[int(operator.inputs[0])].type) == "float16"
    return graph.name(operator) == "DENSIFY"
