"""A float .tflite as a TensorFlow function that computes as its int8 file does, and that can be trained.

Rounding passes the gradient on as it is, values beyond a range pass none: Jacob et al. 2018, arXiv:1712.05877.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema

from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.conversion.output_error import without_softmax
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.graph.weights import WeightedGraph

_FUSED: dict[int, Callable[[Any], Any]] = {
    schema.ActivationFunctionType.NONE: lambda x: x,
    schema.ActivationFunctionType.RELU: tf.nn.relu,
    schema.ActivationFunctionType.RELU6: tf.nn.relu6,
    schema.ActivationFunctionType.RELU_N1_TO_1: lambda x: tf.clip_by_value(x, -1.0, 1.0),
}


class Constant(NamedTuple):
    """Weights or biases of a layer.

    Attributes:
        tensor: Their place in the float graph.
        stored: Their place in the int8 graph.
        variable: Float32, what they stand for; training changes it.
        step: What one step of the integers stands for, in a shape that spreads over the variable.
        size: Likewise, how large they are: the largest weight of each output channel; for biases, a twelfth of the
            range of the layer's output, which is 0.5 behind ReLU6.
    """

    tensor: int
    stored: int
    variable: Any
    step: np.ndarray
    size: Any


class FakeQuantized:
    """The model, computed as int8.

    Attributes:
        constants: Weights and biases of its int8 layers; those of the int8 file at first.
    """

    def __init__(self, floats: bytes, int8: bytes) -> None:
        """Takes a float32 .tflite and what was made of it, not yet rewritten for a target.

        Raises:
            UserError: The model has operators that are not known here.
        """
        self._graph, self._int8 = WeightedGraph(floats), WeightedGraph(int8)
        lacks = sorted({name for op in self._graph.operators if (name := self._graph.name(op)) not in _OPERATORS})
        if lacks:
            raise UserError(f'effort="high" cannot train through {", ".join(lacks)}; use the default effort')
        self._outputs = [int(tensor) for tensor in flatbuffer.read(without_softmax(floats)).subgraphs[0].outputs]
        self._ranges = self._find_ranges()
        self._own = {constant.tensor: constant for constant in self._constants()}
        self.constants = list(self._own.values())

    def __call__(self, inputs: Sequence[Any]) -> list[Any]:
        """What the model gives, before a softmax, for float32 N×… of each input."""
        graph = self._graph.model.subgraphs[0]
        values = {
            int(tensor): self._rounded(int(tensor), array) for tensor, array in zip(graph.inputs, inputs, strict=True)
        }
        for operator in self._graph.operators:
            given = [self._read(int(tensor), values) for tensor in operator.inputs]
            result = _OPERATORS[self._graph.name(operator)](operator, *given)
            fused = getattr(operator.builtinOptions, "fusedActivationFunction", schema.ActivationFunctionType.NONE)
            output = int(operator.outputs[0])
            if result.shape[1:].num_elements() != np.prod(self._graph.shape(output)):  # of a batch of 1
                layer = self._graph.tensors[output].name.decode()
                raise UserError(f'effort="high" cannot train {layer} in batches; use the default effort')
            values[output] = self._rounded(output, _FUSED[fused](result))
        return [values[tensor] for tensor in self._outputs]

    def write(self) -> bytes:
        """The int8 .tflite with the weights and biases as they are now; scales are as before."""
        for constant in self.constants:
            stored = self._int8.array(constant.stored)
            steps = np.rint(constant.variable.numpy().astype(np.float64) / constant.step)
            limits = np.iinfo(stored.dtype)
            stored[:] = np.clip(steps, -limits.max, limits.max).reshape(stored.shape).astype(stored.dtype)
        return self._int8.write()

    def _constants(self) -> Iterator[Constant]:
        layers = {self._int8.tensors[op.outputs[0]].name: op for op in self._int8.operators}
        for operator in self._graph.operators:
            layer = layers.get(self._graph.tensors[operator.outputs[0]].name)
            if layer is None or not self._graph.has_own_weights(operator) or not self._int8.has_own_weights(layer):
                continue
            weights, biases = self._int8.weights(layer), self._int8.biases(layer)
            if weights.dtype == np.int8:
                step, unit = (self._int8.steps(layer, place) for place in (1, 2))
                low, high = self._ranges.get(int(operator.outputs[0]), (-1.0, 1.0))
                tensors = [(int(operator.inputs[place]), int(layer.inputs[place])) for place in (1, 2)]
                yield Constant(*tensors[0], tf.Variable(weights * step), step, 127 * step)
                yield Constant(*tensors[1], tf.Variable((biases * unit).astype(np.float32)), unit, (high - low) / 12)

    def _find_ranges(self) -> dict[int, tuple[float, float]]:
        """The ends of what int8 can hold, of each activation that is int8."""
        stored = {tensor.name: tensor for tensor in self._int8.tensors}
        found = {index: stored.get(tensor.name) for index, tensor in enumerate(self._graph.tensors)}
        ends = self._graph.model.subgraphs[0], self._int8.model.subgraphs[0]
        for ours, theirs in zip(ends[0].inputs, ends[1].inputs, strict=True):
            found[int(ours)] = self._int8.tensors[int(theirs)]
        ranges = {}
        for index, tensor in found.items():
            if tensor is not None and tensor.type == schema.TensorType.INT8 and not self._is_constant(index):
                (scale, *_), zero_point = flatbuffer.scales(tensor)
                ranges[index] = (-128 - zero_point) * scale, (127 - zero_point) * scale
        return ranges

    def _is_constant(self, tensor: int) -> bool:
        return flatbuffer.is_constant(self._graph.model, self._graph.tensors[tensor])

    def _read(self, tensor: int, values: dict[int, Any]) -> Any:
        if tensor in values:
            return values[tensor]
        if tensor not in self._own:
            return self._graph.constant(tensor) if tensor >= 0 else None
        constant = self._own[tensor]
        if constant.variable.shape.rank == 1:
            return constant.variable  # biases have 32 bits
        limited = tf.clip_by_value(constant.variable / constant.step, -127.0, 127.0)
        return (limited + tf.stop_gradient(tf.round(limited) - limited)) * constant.step

    def _rounded(self, tensor: int, values: Any) -> Any:
        if tensor not in self._ranges:
            return values
        return tf.quantization.fake_quant_with_min_max_args(values, *self._ranges[tensor])


def _padding(operator: Any) -> str:
    return "SAME" if operator.builtinOptions.padding == schema.Padding.SAME else "VALID"


def _convolution(operator: Any, x: Any, weights: Any, biases: Any) -> Any:
    o = operator.builtinOptions
    kernel = tf.transpose(weights, [1, 2, 3, 0])
    return (
        tf.nn.conv2d(
            x, kernel, [o.strideH, o.strideW], _padding(operator), dilations=[o.dilationHFactor, o.dilationWFactor]
        )
        + biases
    )


def _depthwise(operator: Any, x: Any, weights: Any, biases: Any) -> Any:
    o = operator.builtinOptions
    kernel = tf.reshape(weights, [*weights.shape[1:3], x.shape[-1], -1])
    strides = [1, o.strideH, o.strideW, 1]
    dilations = [o.dilationHFactor, o.dilationWFactor]
    return tf.nn.depthwise_conv2d(x, kernel, strides, _padding(operator), dilations=dilations) + biases


def _dense(operator: Any, x: Any, weights: Any, biases: Any) -> Any:
    result = tf.matmul(tf.reshape(x, [-1, weights.shape[1]]), weights, transpose_b=True)
    return result if biases is None else result + biases


def _reshape(operator: Any, x: Any, shape: Any = None) -> Any:
    sizes = [int(size) for size in np.ravel(operator.builtinOptions.newShape if shape is None else shape)]
    return tf.reshape(x, [-1, *(sizes[1:] if len(sizes) > 1 else sizes)])  # the batch of 1 may be left out


def _binary(compute: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """An operator of two values, whose last axes belong together behind that of the batch."""

    def run(_: Any, *values: Any) -> Any:
        rank = max(value.ndim if isinstance(value, np.ndarray) else value.shape.rank for value in values)
        return compute(*(value if isinstance(value, np.ndarray) else _of_rank(value, rank) for value in values))

    return run


def _of_rank(values: Any, rank: int) -> Any:
    missing = rank - values.shape.rank
    return tf.reshape(values, [-1, *[1] * missing, *values.shape[1:]]) if missing else values


def _pool(pool: Callable[..., Any]) -> Callable[..., Any]:
    def run(operator: Any, x: Any) -> Any:
        o = operator.builtinOptions
        return pool(x, [o.filterHeight, o.filterWidth], [o.strideH, o.strideW], _padding(operator))

    return run


def _mean(operator: Any, x: Any, axes: Any) -> Any:
    return tf.reduce_mean(x, [int(axis) for axis in np.ravel(axes)], keepdims=operator.builtinOptions.keepDims)


def _concatenation(operator: Any, *parts: Any) -> Any:
    count = next(tf.shape(part)[0] for part in parts if not isinstance(part, np.ndarray))
    whole = [tf.repeat(tf.constant(part), count, axis=0) if isinstance(part, np.ndarray) else part for part in parts]
    return tf.concat(whole, operator.builtinOptions.axis)


_OPERATORS: dict[str, Callable[..., Any]] = {
    "ADD": _binary(lambda x, y: x + y),
    "AVERAGE_POOL_2D": _pool(tf.nn.avg_pool2d),
    "CONCATENATION": _concatenation,
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "DIV": _binary(lambda x, y: x / y),
    "FULLY_CONNECTED": _dense,
    "HARD_SWISH": lambda _, x: x * tf.nn.relu6(x + 3) / 6,
    "LOGISTIC": lambda _, x: tf.sigmoid(x),
    "MAX_POOL_2D": _pool(tf.nn.max_pool2d),
    "MEAN": _mean,
    "MUL": _binary(lambda x, y: x * y),
    "PAD": lambda _, x, sizes: tf.pad(x, sizes),
    "RELU": lambda _, x: tf.nn.relu(x),
    "RELU6": lambda _, x: tf.nn.relu6(x),
    "RESHAPE": _reshape,
    "SOFTMAX": lambda _, x: tf.nn.softmax(x),
    "SUB": _binary(lambda x, y: x - y),
}
