"""16-bit activations with 8-bit weights (TensorFlow Lite's "16x8"), made of an int8 .tflite, for Qualcomm's NPU.

TensorFlow's quantizer refuses hard-sigmoid's product with a constant at 16 bits, and TensorFlow Lite has no int16
HARD_SWISH. Here the int8 graph keeps its weights, and only the steps of activations become finer: symmetric about zero,
as TensorFlow Lite's quantization specification asks for int16, and biases int64. Two forms are the NPU's: its compiler
(LiteRT 2.2) refuses int16 DEPTHWISE_CONV_2D, of which it takes the same as a CONV_2D of as many groups as channels, and
a clamp at 6, for which int16's own upper limit stands in.
"""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.graph import flatbuffer

_INT8, _INT16, _INT32, _INT64, _FLOAT32 = (
    getattr(schema.TensorType, name) for name in ("INT8", "INT16", "INT32", "INT64", "FLOAT32")
)
_RELU, _RELU6 = schema.ActivationFunctionType.RELU, schema.ActivationFunctionType.RELU6
_TOP = 32767

# The operators that TensorFlow Lite computes on int16 activations, and the version from which each does.
_VERSIONS = {
    **{"ADD": 3, "SUB": 5, "MUL": 4, "MEAN": 3, "SUM": 3, "LOGISTIC": 3, "TANH": 3, "SOFTMAX": 3, "QUANTIZE": 2},
    **{"CONV_2D": 6, "FULLY_CONNECTED": 7, "AVERAGE_POOL_2D": 3, "MAX_POOL_2D": 3, "PAD": 3, "CONCATENATION": 3},
    **{"RESHAPE": 1, "SQUEEZE": 1, "TRANSPOSE": 4, "RELU": 3, "RELU6": 3, "STRIDED_SLICE": 4},
}
_LAYERS = ("CONV_2D", "FULLY_CONNECTED")
_TO_ONE = ("LOGISTIC", "TANH", "SOFTMAX")  # whose int16 output has a step of 1/32768


def with_hard_swish_in_parts(content: bytes) -> bytes:
    """A float .tflite with x · ReLU6(x + 3) · 1/6 in the place of HARD_SWISH, before it is calibrated."""
    graph = flatbuffer.Graph(flatbuffer.read(content))
    for operator in [operator for operator in graph.operators if graph.name(operator) == "HARD_SWISH"]:
        x, result, shape = int(operator.inputs[0]), int(operator.outputs[0]), graph.shape(int(operator.inputs[0]))
        three, sixth = (_number(graph, value, len(shape)) for value in (3, 1 / 6))
        clamped, gate = (graph.add_tensor(name, shape, _FLOAT32) for name in ("clamped", "gate"))
        place = graph.place(operator)
        graph.insert("ADD", [x, three], clamped, place).builtinOptions.fusedActivationFunction = _RELU6
        graph.insert("MUL", [clamped, sixth], gate, place + 1)
        graph.insert("MUL", [x, gate], result, place + 2)
        del graph.operators[graph.place(operator)]
    return flatbuffer.write(graph.model)


def with_int16_activations(content: bytes) -> bytes:
    """Widens the activations of an int8 .tflite.

    Args:
        content: A .tflite all in int8, its input and output too.

    Returns:
        The .tflite: int16 input and output, the same weights.

    Raises:
        UserError: TensorFlow Lite has no int16 kernel for one of its operators.
    """
    graph = flatbuffer.Graph(flatbuffer.read(content))
    for operator in graph.operators:
        if graph.name(operator) == "DEPTHWISE_CONV_2D":
            _as_grouped_convolution(graph, operator)
    layers = [operator for operator in graph.operators if graph.name(operator) in _LAYERS]
    biases = [_real_bias(graph, layer) for layer in layers]
    weights = {int(layer.inputs[1]) for layer in layers}
    to_one = {int(op.outputs[0]) for op in graph.operators if graph.name(op) in _TO_ONE}
    for tensor, stored in enumerate(graph.tensors):
        if stored.type == _INT8 and tensor not in weights:
            _widen(graph, tensor, 1 / 32768 if tensor in to_one else None)
    for layer, bias in zip(layers, biases, strict=True):
        if bias is not None:
            _set_bias(graph, layer, bias)
    for operator in graph.operators:
        _adapt(graph, operator)
    return flatbuffer.write(graph.model)


def _number(graph: flatbuffer.Graph, value: float, rank: int) -> int:
    return graph.add_tensor("number", (1,) * rank, _FLOAT32, None, np.array([value], np.float32))


def _as_grouped_convolution(graph: flatbuffer.Graph, operator: Any) -> None:
    """A depthwise convolution as a convolution of as many groups as there are channels."""
    image, kernel, *bias = map(int, operator.inputs)
    stored, old = graph.tensors[kernel], operator.builtinOptions
    values = np.ascontiguousarray(graph.constant(kernel).transpose(3, 1, 2, 0))  # filters × height × width × 1
    scales = np.array(flatbuffer.scales(stored)[0], np.float32)
    by_filter = schema.QuantizationParametersT(
        scale=scales, zeroPoint=np.zeros(len(scales), np.int64), quantizedDimension=0
    )
    kernel = graph.add_tensor("filters", values.shape, _INT8, by_filter, values)
    new = graph.insert("CONV_2D", [image, kernel, *bias], int(operator.outputs[0]), graph.place(operator), 6)
    for option in ("padding", "strideW", "strideH", "dilationWFactor", "dilationHFactor", "fusedActivationFunction"):
        setattr(new.builtinOptions, option, getattr(old, option))
    del graph.operators[graph.place(operator)]


def _real_bias(graph: flatbuffer.Graph, layer: Any) -> np.ndarray | None:
    if len(layer.inputs) < 3 or layer.inputs[2] < 0:
        return None
    bias = int(layer.inputs[2])
    return graph.constant(bias) * np.array(flatbuffer.scales(graph.tensors[bias])[0])


def _widen(graph: flatbuffer.Graph, tensor: int, step: float | None) -> None:
    """Gives a tensor int16, symmetric over all that its int8 could hold, or with a given step."""
    stored = graph.tensors[tensor]
    (scale, *_), zero_point = flatbuffer.scales(stored)
    step = step or scale * max(127 - zero_point, 128 + zero_point) / _TOP
    if flatbuffer.is_constant(graph.model, stored):
        real = (graph.constant(tensor).astype(np.float64) - zero_point) * scale
        _store(graph, stored, np.rint(real / step).astype(np.int16))
    stored.type, stored.quantization = _INT16, _quantization([step])


def _set_bias(graph: flatbuffer.Graph, layer: Any, bias: np.ndarray) -> None:
    """Gives a layer an int64 bias of its own, in steps of its input times those of its weights."""
    source, weights = (np.array(flatbuffer.scales(graph.tensors[int(i)])[0], np.float64) for i in layer.inputs[:2])
    steps = np.broadcast_to(source * weights, bias.shape) if len(weights) > 1 else source * weights
    values = np.rint(bias / steps).astype(np.int64)
    tensor = graph.add_tensor("bias", values.shape, _INT64, _quantization(steps), values)
    layer.inputs = np.array([*layer.inputs[:2], tensor], np.int32)


def _adapt(graph: flatbuffer.Graph, operator: Any) -> None:
    """Gives an operator the version and the options that int16 asks for."""
    name = graph.name(operator)
    if name not in _VERSIONS:
        raise UserError(f'TensorFlow Lite has no {name} of 16-bit activations: convert with quantize="int8"')
    code = graph.model.operatorCodes[operator.opcodeIndex]
    code.version = max(code.version, _VERSIONS[name])
    options = operator.builtinOptions
    if name in ("ADD", "SUB"):
        options.potScaleInt16 = False  # scales need be no powers of two
    (step, *_), _ = flatbuffer.scales(graph.tensors[int(operator.outputs[0])])
    if getattr(options, "fusedActivationFunction", None) == _RELU6 and step * _TOP <= 6 * (1 + 1e-3):
        options.fusedActivationFunction = _RELU


def _store(graph: flatbuffer.Graph, tensor: Any, values: np.ndarray) -> None:
    graph.model.buffers.append(schema.BufferT(data=np.frombuffer(values.tobytes(), np.uint8)))
    tensor.buffer = len(graph.model.buffers) - 1


def _quantization(steps: Any) -> Any:
    steps = np.asarray(steps, np.float32)
    return schema.QuantizationParametersT(scale=steps, zeroPoint=np.zeros(len(steps), np.int64))
