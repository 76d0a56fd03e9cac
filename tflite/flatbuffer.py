"""A .tflite as Python objects and back, by the schema that ships with the runtime."""

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_mobilenets.errors import UserError


def read(content: bytes, path: object = "the model") -> Any:
    """Unpacks a .tflite into the schema's `ModelT`.

    Raises:
        UserError: The bytes are no .tflite, or are damaged.
    """
    if content[4:8] != b"TFL3":
        raise UserError(f"{path} is not a .tflite file: it lacks the TFL3 identifier")
    try:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
        model.subgraphs[0].tensors[0]  # a model without a tensor is no model
    except Exception as error:  # offsets of a damaged file lead anywhere
        raise UserError(f"{path} is damaged: its tables cannot be read; convert it again") from error
    return model


def write(model: Any) -> bytes:
    """Packs a `ModelT` into the bytes of a .tflite."""
    weights = sum(len(buffer.data) for buffer in model.buffers if buffer.data is not None)
    builder = flatbuffers.Builder(weights + (1 << 16))
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def set_range(tensor: Any, low: float, high: float) -> None:
    """Writes the range of an activation where TensorFlow Lite's quantizer looks for it."""
    tensor.quantization = schema.QuantizationParametersT(
        min=np.array([low], np.float32), max=np.array([high], np.float32)
    )


def operator_name(model: Any, operator: Any) -> str:
    """The operator's name as TensorFlow Lite writes it, such as "CONV_2D"; a custom operator's own name."""
    code = model.operatorCodes[operator.opcodeIndex]
    number = max(code.builtinCode, code.deprecatedBuiltinCode)  # codes above 127 stand in the newer field only
    if number == schema.BuiltinOperator.CUSTOM:
        return (code.customCode or b"CUSTOM").decode("utf-8", "replace")
    return _OPERATORS.get(number, f"operator {number}")


def type_name(number: int) -> str:
    """The name of a tensor type, such as "int8"."""
    return _TYPES.get(number, f"type {number}").lower()


def is_constant(model: Any, tensor: Any) -> bool:
    """Whether a tensor's values are stored in the file."""
    buffer = model.buffers[tensor.buffer]
    return (buffer.data is not None and len(buffer.data) > 0) or bool(buffer.size)


def _names(enum: type) -> dict[int, str]:
    return {number: name for name, number in vars(enum).items() if isinstance(number, int)}


_OPERATORS = _names(schema.BuiltinOperator)
_TYPES = _names(schema.TensorType)
