"""A ReLU behind operators that only move values, fused into the operator that computes them.

TensorFlow's converter fuses a ReLU into what stands directly before it. Behind a reshape, a slice or a pooling it stays
an operator of its own, which takes as long in int8 as the convolution; and the range of what it cuts off is spent.
"""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.graph.unused_tensors import drop_unused

_FUSED = schema.ActivationFunctionType
_CLAMPS = {"RELU": _FUSED.RELU, "RELU6": _FUSED.RELU6, "RELU_N1_TO_1": _FUSED.RELU_N1_TO_1}
_COMPUTE = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD", "SUB", "MUL")
# A clamp of what they give is what they give of a clamp: they take some of the values, or the largest, or add zeros.
_MOVE = (
    *("RESHAPE", "EXPAND_DIMS", "SQUEEZE", "TRANSPOSE", "SLICE", "STRIDED_SLICE", "GATHER", "REVERSE_V2"),
    *("SPACE_TO_DEPTH", "DEPTH_TO_SPACE", "SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND", "PAD", "MAX_POOL_2D"),
)


def fuse_activations(graph: flatbuffer.Graph) -> None:
    """Fuses ReLU, ReLU6 and the clamp to −1..1 into the operator before, past those that only move values.

    Args:
        graph: Of a float .tflite without ranges; it computes the same afterwards.
    """
    makers, count = graph.makers(), len(graph.operators)
    for clamp in [operator for operator in graph.operators if graph.name(operator) in _CLAMPS]:
        x, output = int(clamp.inputs[0]), int(clamp.outputs[0])
        source = _source(graph, makers, x)
        if source is not None:
            source.builtinOptions.fusedActivationFunction = _CLAMPS[graph.name(clamp)]
            makers[output] = makers[x]
            makers[output].outputs = np.array([output], np.int32)
            del graph.operators[graph.place(clamp)]
    if len(graph.operators) < count:
        drop_unused(graph.model)


def _source(graph: flatbuffer.Graph, makers: dict[int, Any], tensor: int) -> Any:
    """The operator that computes a tensor's values, if nothing else reads them on the way and it has no activation."""
    while tensor not in graph.outputs and len(graph.readers(tensor)) == 1:
        maker = makers.get(tensor)
        if maker is None:
            return None
        if getattr(maker.builtinOptions, "fusedActivationFunction", _FUSED.NONE) != _FUSED.NONE:
            return None
        if graph.name(maker) in _COMPUTE:
            return maker
        if graph.name(maker) not in _MOVE:
            return None
        tensor = int(maker.inputs[0])
    return None
