"""What the forms of operators do to an int8 .tflite: scales moved into weights, constants, operators of int8."""

import copy
import math
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.graph.layer_names import TIMES

_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_NONE, _RELU, _RELU6 = (getattr(schema.ActivationFunctionType, name) for name in ("NONE", "RELU", "RELU6"))


class Int8Graph(flatbuffer.Graph):
    """The graph of an int8 .tflite, with what changes of it look up and do."""

    def is_int8(self, operator: Any) -> bool:
        """Whether an operator takes and gives int8."""
        return all(self.tensors[int(i)].type == schema.TensorType.INT8 for i in (operator.inputs[0], *operator.outputs))

    def maker(self, tensor: int) -> Any:
        """What gives a tensor; None of a constant or an input."""
        return next((operator for operator in self.operators if tensor in operator.outputs), None)

    def quantization(self, tensor: int) -> tuple[float, int]:
        """Scale and zero point of an activation."""
        quantization = self.tensors[tensor].quantization
        return float(quantization.scale[0]), int(quantization.zeroPoint[0])

    def number(self, tensor: int) -> float | None:
        """The one number that a constant stands for; None when it is no constant or has several."""
        if not self.is_constant(tensor) or math.prod(self.shape(tensor)) != 1:
            return None
        scale, zero_point = self.quantization(tensor)
        return scale * (int(self.constant(tensor).flat[0]) - zero_point)

    def scale_output(self, tensor: int, factor: float) -> bool:
        """Lets a convolution or dense layer give `factor` times its values, in the same integers.

        Returns:
            Whether that can be: no other operator reads the tensor, and the fused activation is indifferent to it.
        """
        maker = self.maker(tensor)
        if maker is None or self.name(maker) not in _WEIGHTED or len(self.readers(tensor)) > 1:
            return False
        scale, zero_point = self.quantization(tensor)
        activation = maker.builtinOptions.fusedActivationFunction
        never_clips = activation == _RELU6 and scale * (127 - zero_point) <= 6 + scale / 2
        if tensor in self.outputs or not (activation in (_NONE, _RELU) or never_clips):
            return False
        if never_clips:
            maker.builtinOptions.fusedActivationFunction = _RELU
        constants = [self._own(index) for index in maker.inputs[1:] if index >= 0]
        maker.inputs = np.array([maker.inputs[0], *constants, *maker.inputs[1 + len(constants) :]], np.int32)
        for index in (tensor, *constants):
            quantization = self.tensors[index].quantization
            quantization.scale = (quantization.scale * np.float64(factor)).astype(np.float32)
        self.tensors[tensor].name += f"{TIMES}{factor:.9g}".encode()
        return True

    def _own(self, tensor: int) -> int:
        """A constant that no second operator reads: itself, or a copy of what stands for it."""
        if len(self.readers(tensor)) == 1:
            return int(tensor)
        shared = copy.copy(self.tensors[tensor])
        shared.quantization = copy.copy(shared.quantization)
        self.tensors.append(shared)
        return len(self.tensors) - 1

    def add_activation(self, name: str, shape: tuple[int, ...], scale: float, zero_point: int) -> int:
        """Adds an int8 tensor."""
        return self.add_tensor(name, shape, schema.TensorType.INT8, parameters([scale], zero_point))

    def add_number(self, value: float, rank: int) -> int:
        """A positive number as a constant of the rank of what it is combined with.

        Of a higher rank than the operator's output it is read wrongly by LiteRT's GPU delegate, which says nothing, and
        refused by Qualcomm's NPU.
        """
        data = np.array([127], np.int8)
        return self.add_tensor("number", (1,) * rank, schema.TensorType.INT8, parameters([value / 127], 0), data)

    def add_repeated_number(self, value: int, scale: float, shape: tuple[int, ...], kind: int, *, axis: int) -> int:
        """A constant of one number, with a scale for each place of an axis."""
        data = np.full(shape, value, np.int8 if kind == schema.TensorType.INT8 else np.int32)
        scales = parameters(np.full(shape[axis], scale), 0)
        scales.quantizedDimension = axis
        return self.add_tensor("equal", shape, kind, scales, data)

    def add_repeated(self, tensor: int, values: np.ndarray, times: int) -> int:
        """A constant with the scales of another, each output channel so many times."""
        stored = self.tensors[tensor]
        scales = np.resize(stored.quantization.scale, times * len(stored.quantization.scale))
        return self.add_tensor("wide", values.shape, stored.type, parameters(scales, 0), values)

    def insert_int8(self, name: str, inputs: list[int], output: int, place: int, activation: int = _NONE) -> None:
        """Makes an ADD or MUL, in the version that has int8, the operator at a place."""
        self.insert(name, inputs, output, place, version=2).builtinOptions.fusedActivationFunction = activation

    def remove(self, operator: Any) -> None:
        """Takes an operator out."""
        del self.operators[self.place(operator)]

    def reshape_before(self, operator: Any, tensor: int, shape: tuple[int, ...]) -> int:
        """The tensor in another shape, made before an operator."""
        reshaped = self.add_activation("grouped", shape, *self.quantization(tensor))
        self.insert("RESHAPE", [tensor, self._add_shape(shape)], reshaped, self.place(operator))
        return reshaped

    def reshape_after(self, operator: Any, shape: tuple[int, ...]) -> None:
        """Lets an operator give its output in another shape, and gives it back its own behind."""
        output = int(operator.outputs[0])
        if shape == self.shape(output):
            return
        given = self.add_activation("results", shape, *self.quantization(output))
        operator.outputs = np.array([given], np.int32)
        self.insert("RESHAPE", [given, self._add_shape(self.shape(output))], output, self.place(operator) + 1)

    def _add_shape(self, shape: tuple[int, ...]) -> int:
        return self.add_tensor("shape", (len(shape),), schema.TensorType.INT32, None, np.array(shape, np.int32))


def parameters(scales: Any, zero_point: int) -> Any:
    """Scales, one or one for each channel, with one zero point."""
    scales = np.asarray(scales, np.float32)
    return schema.QuantizationParametersT(scale=scales, zeroPoint=np.full(len(scales), zero_point, np.int64))
