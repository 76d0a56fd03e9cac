"""An int8 .tflite with uint8 input and output: MediaPipe's tasks and ML Kit take uint8 or float, and no int8."""

from typing import Any

import numpy as np

from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.graph.flatbuffer import schema


def with_uint8_ends(content: bytes) -> bytes:
    """Puts QUANTIZE between uint8 ends and the int8 graph: the same scales, zero points 128 higher, the same answers.

    Args:
        content: A .tflite of one int8 input and one int8 output.
    """
    model = flatbuffer.read(content)
    graph, places = flatbuffer.Graph(model), model.subgraphs[0]
    image, scores = int(places.inputs[0]), int(places.outputs[0])
    outer = _twin(graph, image)
    graph.insert("QUANTIZE", [outer], image, 0)
    places.inputs = np.array([outer], np.int32)
    outer = _twin(graph, scores)
    graph.insert("QUANTIZE", [scores], outer, len(graph.operators))
    places.outputs = np.array([outer], np.int32)
    for signature in model.signatureDefs or []:
        signature.inputs[0].tensorIndex, signature.outputs[0].tensorIndex = int(places.inputs[0]), outer
    return flatbuffer.write(model)


def _twin(graph: flatbuffer.Graph, place: int) -> int:
    """A uint8 tensor of the same values, which takes the name over."""
    tensor: Any = graph.tensors[place]
    (scale, *_), zero_point = flatbuffer.scales(tensor)
    quantization = schema.QuantizationParametersT(
        scale=np.array([scale], np.float32), zeroPoint=np.array([zero_point + 128], np.int64)
    )
    twin = graph.add_tensor("", graph.shape(place), schema.TensorType.UINT8, quantization)
    graph.tensors[twin].name = tensor.name
    tensor.name = tensor.name + b"_int8"
    return twin
