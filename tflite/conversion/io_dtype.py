"""Other ends of an int8 .tflite: MediaPipe's tasks and ML Kit take uint8 or float, and LiteRT.js takes no int8."""

from collections.abc import Callable
from typing import Any

import numpy as np

from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.graph.flatbuffer import schema

_Twin = Callable[[flatbuffer.Graph, int], int]


def with_uint8_ends(content: bytes) -> bytes:
    """Puts QUANTIZE between uint8 ends and the int8 graph: the same scales, zero points 128 higher, the same answers.

    Args:
        content: A .tflite of one int8 input and one int8 output; of several outputs, as a detector has, none
            is changed.
    """
    return _with_ends(content, _uint8, "QUANTIZE")


def with_float_ends(content: bytes) -> bytes:
    """Puts QUANTIZE behind a float32 input and DEQUANTIZE before a float32 output, where they are int8.

    Args:
        content: A .tflite of one input and one output.

    Returns:
        A .tflite that answers (q − zero point) · scale where the given one answers q, to inputs dequantized likewise;
        the content itself where neither end is int8.
    """
    return _with_ends(content, _float32, "DEQUANTIZE")


def _with_ends(content: bytes, twin: _Twin, last: str) -> bytes:
    model = flatbuffer.read(content)
    graph, places = flatbuffer.Graph(model), model.subgraphs[0]
    image, scores = int(places.inputs[0]), int(places.outputs[0])
    signatures = model.signatureDefs or []
    is_int8 = [graph.tensors[place].type == schema.TensorType.INT8 for place in (image, scores)]
    is_int8[1] &= len(places.outputs) == 1
    if not any(is_int8):
        return content
    if is_int8[0]:
        outer = twin(graph, image)
        graph.insert("QUANTIZE", [outer], image, 0)
        places.inputs = np.array([outer], np.int32)
        for signature in signatures:
            signature.inputs[0].tensorIndex = outer
    if is_int8[1]:
        outer = twin(graph, scores)
        version = 2 if last == "DEQUANTIZE" else 1  # the first to take int8
        graph.insert(last, [scores], outer, len(graph.operators), version)
        places.outputs = np.array([outer], np.int32)
        for signature in signatures:
            signature.outputs[0].tensorIndex = outer
    return flatbuffer.write(model)


def _uint8(graph: flatbuffer.Graph, place: int) -> int:
    """A uint8 tensor of the same values, which takes the name over."""
    (scale, *_), zero_point = flatbuffer.scales(graph.tensors[place])
    quantization = schema.QuantizationParametersT(
        scale=np.array([scale], np.float32), zeroPoint=np.array([zero_point + 128], np.int64)
    )
    return _twin(graph, place, schema.TensorType.UINT8, quantization)


def _float32(graph: flatbuffer.Graph, place: int) -> int:
    """A float32 tensor of the same values, which takes the name over."""
    return _twin(graph, place, schema.TensorType.FLOAT32, None)


def _twin(graph: flatbuffer.Graph, place: int, dtype: int, quantization: Any) -> int:
    tensor: Any = graph.tensors[place]
    twin = graph.add_tensor("", graph.shape(place), dtype, quantization)
    graph.tensors[twin].name = tensor.name
    tensor.name = tensor.name + b"_int8"
    return twin
