"""A .tflite of one operator several times over, in int8 and in the form that a target runs best, to be timed."""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_mobilenets.costs.operators import IMAGE, Operator
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.targets.operator_forms import Forms

_VERSIONS = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 4}  # of int8; 2 of the others
_RELU = schema.ActivationFunctionType.RELU


def operator_model(operator: Operator, copies: int, forms: Forms) -> bytes:
    """Writes the operator `copies` times, all on one input; each convolution has weights of its own.

    Args:
        operator: What is to be timed.
        copies: How often, 1 or more.
        forms: The target's row of `FORMS`.
    """
    return _Model(operator, forms).content(copies)


class _Model:
    """The graph while it is written."""

    def __init__(self, operator: Operator, forms: Forms) -> None:
        self._operator, self._forms = operator, forms
        self._model = schema.ModelT(
            version=3,
            buffers=[schema.BufferT()],
            operatorCodes=[],
            subgraphs=[schema.SubGraphT(tensors=[], operators=[])],
        )
        self._graph = flatbuffer.Graph(self._model)
        self._random = np.random.default_rng(0)

    def content(self, copies: int) -> bytes:
        operator, ends = self._operator, self._model.subgraphs[0]
        maps = 1, operator.side, operator.side, operator.inputs
        inputs = [
            self._activation((1, operator.inputs) if operator.kind in ("dense", "softmax") else self._image(maps))
        ]
        if operator.kind in ("scale", "add"):
            inputs.append(self._activation((1, 1, 1, operator.inputs) if operator.kind == "scale" else maps))
        outputs = [self._add(inputs) for _ in range(copies)]
        ends.inputs, ends.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
        return flatbuffer.write(self._model)

    def _add(self, inputs: list[int]) -> int:
        """Adds the operator; returns its output."""
        operator = self._operator
        maps = 1, operator.output_side, operator.output_side, operator.outputs
        if operator.kind == "conv":
            return self._convolution(inputs[0])
        if operator.kind == "depthwise":
            kernel = (1, operator.kernel_size, operator.kernel_size, operator.outputs)
            return self._strided("DEPTHWISE_CONV_2D", inputs[0], kernel, maps, operator.strides, 3)
        if operator.kind == "dense":
            weights = self._weights((operator.outputs, operator.inputs), 0)
            return self._insert("FULLY_CONNECTED", [*inputs, *weights], (1, operator.outputs))
        if operator.kind == "pool":
            axes = self._graph.add_tensor("axes", (2,), schema.TensorType.INT32, values=np.array([1, 2], np.int32))
            result = self._insert("MEAN", [*inputs, axes], maps)
            self._last.keepDims = True
            return result
        if operator.kind == "softmax":
            result = self._insert("SOFTMAX", inputs, (1, operator.outputs), 1 / 256, -128)
            self._last.beta = 1.0
            return result
        if operator.kind in ("hard_silu", "silu"):
            return self._gated(inputs[0], maps)
        return self._insert("ADD" if operator.kind == "add" else "MUL", inputs, maps)

    def _gated(self, x: int, maps: tuple[int, ...]) -> int:
        """x times a gate of x."""
        if self._operator.kind == "silu":
            return self._insert("MUL", [x, self._insert("LOGISTIC", [x], maps, 1 / 256, -128)], maps)
        if self._forms.h_swish == "native":
            return self._insert("HARD_SWISH", [x], maps)
        number = np.array([100], np.int8).reshape(1, 1, 1, 1)
        three = self._graph.add_tensor("three", number.shape, schema.TensorType.INT8, _scales(0.03), number)
        gate = self._insert("ADD", [x, three], maps, 0.025, -128)
        self._last.fusedActivationFunction = _RELU
        return self._insert("MUL", [x, gate], maps)

    def _convolution(self, x: int) -> int:
        operator, wide = self._operator, self._results()
        side, columns = operator.output_side, operator.output_side // wide
        if wide == 1:
            kernel = (operator.outputs, operator.kernel_size, operator.kernel_size, operator.inputs)
            maps = 1, side, side, operator.outputs
            return self._strided("CONV_2D", x, kernel, maps, operator.strides, 0)
        kernel = (wide * operator.outputs, operator.kernel_size, 2, 2 * wide * operator.inputs)
        result = self._strided("CONV_2D", x, kernel, (1, side, columns, wide * operator.outputs), 2, 0)
        self._last.strideW = 1
        return result

    def _results(self) -> int:
        """How many neighbouring results the first convolution computes as one (`Forms.stem_filters`)."""
        operator = self._operator
        if operator.inputs != IMAGE or operator.strides != 2 or operator.side % 2:
            return 1
        fits = (n for n in (8, 4, 2) if n * operator.outputs <= self._forms.stem_filters)
        return next((n for n in fits if operator.output_side % n == 0), 1)

    def _image(self, maps: tuple[int, ...]) -> tuple[int, ...]:
        wide = self._results()
        return maps if wide == 1 else (1, maps[1], maps[2] // (2 * wide), 2 * wide * maps[3])

    def _strided(
        self, name: str, x: int, kernel: tuple[int, ...], maps: tuple[int, ...], strides: int, axis: int
    ) -> int:
        result = self._insert(name, [x, *self._weights(kernel, axis)], maps)
        options = self._last
        options.strideW = options.strideH = strides
        options.dilationWFactor = options.dilationHFactor = 1
        if name == "DEPTHWISE_CONV_2D":
            options.depthMultiplier = 1
        return result

    def _weights(self, kernel: tuple[int, ...], axis: int) -> list[int]:
        """A kernel and a bias."""
        count = kernel[axis]
        values = self._random.integers(-127, 128, kernel).astype(np.int8)
        weights = self._graph.add_tensor(
            "weights", kernel, schema.TensorType.INT8, _scales(*[0.01] * count, axis=axis), values
        )
        zeros = np.zeros(count, np.int32)
        bias = self._graph.add_tensor("bias", (count,), schema.TensorType.INT32, _scales(*[0.0002] * count), zeros)
        return [weights, bias]

    def _activation(self, shape: tuple[int, ...], scale: float = 0.02, zero_point: int = 0) -> int:
        return self._graph.add_tensor("map", shape, schema.TensorType.INT8, _scales(scale, zero_point=zero_point))

    def _insert(
        self, name: str, inputs: list[int], shape: tuple[int, ...], scale: float = 0.02, zero_point: int = 0
    ) -> int:
        output = self._activation(shape, scale, zero_point)
        made = self._graph.insert(name, inputs, output, len(self._graph.operators), _VERSIONS.get(name, 2))
        self._last: Any = made.builtinOptions
        return output


def _scales(*scales: float, axis: int = 0, zero_point: int = 0) -> Any:
    return schema.QuantizationParametersT(
        scale=np.array(scales, np.float32),
        zeroPoint=np.full(len(scales), zero_point, np.int64),
        quantizedDimension=axis,
    )
