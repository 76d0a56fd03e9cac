"""QDQ as TensorRT takes it: symmetric scales of all activations, float ends, float biases and other constants."""

from dataclasses import replace
from typing import Any

import numpy as np

from keras_mobilenets.tflite.exports.onnx_graph import drop_unread
from keras_mobilenets.tflite.runtime.export_record import ExportRecord, Quantization

_ZERO = "zero_point__symmetric"
_QDQ = ("QuantizeLinear", "DequantizeLinear")


def make_symmetric(model: Any, record: ExportRecord) -> None:
    """Changes the int8 ONNX model of a .tflite: its answers move by the rounding of wider steps.

    An activation's range −128…127 with a zero point becomes the smallest symmetric one that holds it, at most twice as
    wide; weights keep their scales. The input becomes float and is quantized inside, the output stays float.

    Args:
        model: As `onnx_graph.read_graph` gives it.
        record: What the .tflite says of its ends.
    """
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    source = graph.input[0]

    def constant(name: str, values: np.ndarray) -> str:
        if name not in constants:
            constants[name] = values
            graph.initializer.append(numpy_helper.from_array(values, name))
        return name

    nodes = []
    for node in graph.node:
        if node.op_type not in _QDQ:
            nodes.append(node)
            continue
        scale, zero_point = (constants[name] for name in node.input[1:3])
        # A bias, or a constant that operators add or multiply by: weights have no zero point.
        if node.input[0] in constants and (zero_point.dtype == np.int32 or zero_point.any()):
            values = (constants[node.input[0]].astype(np.float32) - zero_point.astype(np.float32)) * scale
            constant(node.output[0], values.astype(np.float32))
            continue
        if node.input[0] not in constants:
            node.input[1] = constant(f"{node.input[1]}__symmetric", np.array(_step(float(scale), int(zero_point))))
            node.input[2] = constant(_ZERO, np.array(0, np.int8))
        nodes.append(node)

    def quantizer(kind: str, name: str, given: str, made: str, quantization: Quantization) -> Any:
        scale = constant(f"{name}__scale", np.array(_step(*quantization)))
        return helper.make_node(kind, [given, scale, constant(_ZERO, np.array(0, np.int8))], [made])

    if record.input[0]:
        inside = f"{source.name}__int8"
        _rename(nodes, source.name, inside)
        nodes.insert(0, quantizer("QuantizeLinear", source.name, source.name, inside, record.input))
    targets = list(zip(graph.output, record.outputs, strict=True))
    for target, quantization in targets:
        if quantization[0]:
            inside = f"{target.name}__int8"
            _rename(nodes, target.name, inside)
            nodes.append(quantizer("DequantizeLinear", target.name, inside, target.name, quantization))
    for end, quantization in ((source, record.input), *targets):
        if quantization[0]:  # a history of items stays one of integers
            end.type.tensor_type.elem_type = TensorProto.FLOAT
    helper.set_model_props(model, replace(record, input=(0.0, 0), outputs=((0.0, 0),) * len(targets)).entries())
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]
    drop_unread(model)


def _step(scale: float, zero_point: int) -> np.float32:
    """One step of the smallest symmetric range that holds the given one."""
    return np.float32(max(128 + zero_point, 127 - zero_point) * scale / 127)


def _rename(nodes: list[Any], name: str, other: str) -> None:
    for node in nodes:
        for names in (node.input, node.output):
            for place, each in enumerate(names):
                if each == name:
                    names[place] = other
