"""Scales of channels behind a convolution or a dense layer of a float .tflite, folded into its weights.

A layer scale (ConvNeXt, MobileNetV4's hybrids) or the scale of a wavelet's bands is a depthwise 1×1 convolution here:
one operator more, which rounds once more in int8. TensorFlow's converter folds only those that are a MUL.
"""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_mobilenets.tflite.graph import flatbuffer

_NONE = schema.ActivationFunctionType.NONE
_FLOAT = schema.TensorType.FLOAT32


def fold_channel_scales(graph: flatbuffer.Graph) -> None:
    """Folds depthwise 1×1 convolutions into the convolution or dense layer before them.

    Args:
        graph: Of a float32 .tflite, with ranges in it or without; it computes the same afterwards but for rounding.
    """
    for scale in list(graph.operators):
        source = _foldable(graph, scale)
        if source is not None:
            _fold(graph, source, scale)


def _foldable(graph: flatbuffer.Graph, scale: Any) -> Any:
    """The operator into whose weights a depthwise 1×1 convolution can be folded; None where there is none."""
    if graph.name(scale) != "DEPTHWISE_CONV_2D" or not _has_float_constants(graph, scale):
        return None
    options, shape, x = scale.builtinOptions, graph.shape(int(scale.inputs[1])), int(scale.inputs[0])
    if shape[1:3] != (1, 1) or (options.strideH, options.strideW, options.depthMultiplier) != (1, 1, 1):
        return None
    source = next((operator for operator in graph.operators if x in operator.outputs), None)
    if source is None or graph.name(source) not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
        return None
    alone = len(graph.readers(x)) == 1 and x not in graph.outputs
    linear = source.builtinOptions.fusedActivationFunction == _NONE
    return source if alone and linear and _has_float_constants(graph, source) else None


def _has_float_constants(graph: flatbuffer.Graph, operator: Any) -> bool:
    tensors = [graph.tensors[int(i)] for i in operator.inputs[1:] if i >= 0]
    return len(tensors) == 2 and all(t.type == _FLOAT and flatbuffer.is_constant(graph.model, t) for t in tensors)


def _fold(graph: flatbuffer.Graph, source: Any, scale: Any) -> None:
    weights, bias = (graph.constant(int(i)).astype(np.float64) for i in source.inputs[1:])
    factor, offset = (graph.constant(int(i)).astype(np.float64).reshape(-1) for i in scale.inputs[1:])
    depthwise = graph.name(source) == "DEPTHWISE_CONV_2D"  # whose channels are the last axis of its weights
    scaled = weights * (factor if depthwise else factor.reshape(-1, *[1] * (weights.ndim - 1)))
    own = [
        graph.add_tensor("scaled", values.shape, _FLOAT, None, values.astype(np.float32))
        for values in (scaled, bias * factor + offset)
    ]
    for index, old in zip(own, source.inputs[1:], strict=True):
        graph.tensors[index].name = graph.tensors[int(old)].name
    source.inputs = np.array([int(source.inputs[0]), *own], np.int32)
    output, inner = (graph.tensors[int(operator.outputs[0])] for operator in (scale, source))
    if int(scale.outputs[0]) not in graph.outputs:  # the graph's own names stay
        output.name = inner.name.split(b":")[0] + b";" + output.name
    source.outputs = scale.outputs
    source.builtinOptions.fusedActivationFunction = scale.builtinOptions.fusedActivationFunction
    del graph.operators[graph.place(scale)]
