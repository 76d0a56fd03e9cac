"""Scales of what int8 sums read, as XNNPACK's delegate takes them.

A branch behind a layer scale near zero (ConvNeXt and EfficientFormer begin with 1e-6 and 1e-5) has numbers far below a
step of the sum. The delegate refuses an ADD or SUB whose input has less than 2⁻¹⁰ of the output's scale
(xnnpack_delegate.cc, `CheckTensorsInputOutputScale`), and each leaves a partition behind.
"""

import numpy as np

from keras_mobilenets.tflite.graph import flatbuffer

LEAST = 2**-10  # of the output's scale
_SUMS = ("ADD", "SUB")
# Whose output may have any scale.
_FREE = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "BATCH_MATMUL", "MUL", "GELU", "QUANTIZE", *_SUMS)


def widen_branches(graph: flatbuffer.Graph) -> None:
    """Gives a branch that only an int8 sum reads the least scale that is taken: the sum moves by less than a
    thousandth of its step.

    Args:
        graph: Of a .tflite, float or quantized.
    """
    makers, outputs = graph.makers(), graph.outputs
    for operator in reversed(graph.operators):  # what a sum reads may be a sum
        if graph.name(operator) not in _SUMS:
            continue
        least = LEAST * _scale(graph, int(operator.outputs[0]))
        for place in map(int, operator.inputs):
            is_free = place in makers and graph.name(makers[place]) in _FREE and len(graph.readers(place)) == 1
            if is_free and place not in outputs and 0 < _scale(graph, place) < least:
                graph.tensors[place].quantization.scale = np.array([least], np.float32)


def _scale(graph: flatbuffer.Graph, tensor: int) -> float:
    """The scale of an int8 tensor; 0 of any other."""
    stored = graph.tensors[tensor]
    scales, _ = flatbuffer.scales(stored)
    return scales[0] if len(scales) == 1 and flatbuffer.type_name(stored.type) == "int8" else 0.0
