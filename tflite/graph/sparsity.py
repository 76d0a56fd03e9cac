"""The zeros of a .tflite's weights, and what XNNPACK asks of a float graph before it skips them.

Its sparse kernels and their layout are those of "Fast Sparse ConvNets" (1911.09723): activations channel by channel,
from a 3×3 convolution at stride 2 to the global mean. It uses them on Arm; on x86 with AVX it computes dense.
"""

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.graph.flatbuffer import schema

WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
WORTHWHILE = 2 / 3  # of the 1×1 weights between stem and mean must be zeros, or XNNPACK computes dense
ELEMENTWISE = {
    "ABS", "ADD", "CEIL", "ELU", "FLOOR", "HARD_SWISH", "LEAKY_RELU", "LOGISTIC", "MEAN", "MUL", "NEG", "RELU",
    "RELU6", "RELU_N1_TO_1", "RESIZE_BILINEAR", "ROUND", "SQUARE",
}  # fmt: skip


@dataclass(frozen=True)
class Zeros:
    """How many of an operator's weights stand for exactly 0.0."""

    zeros: int
    weights: int

    @property
    def share(self) -> float:
        """0..1."""
        return self.zeros / self.weights if self.weights else 0.0

    def __add__(self, other: "Zeros") -> "Zeros":
        return Zeros(self.zeros + other.zeros, self.weights + other.weights)


def zeros(model: Any) -> dict[int, Zeros]:
    """Counts the zeros of convolutions, depthwise and dense layers, by the operator's place in the graph.

    An int8 weight is zero when it equals its zero point; a sparse tensor leaves zeros out of the file.

    Args:
        model: A .tflite as `flatbuffer.read` gives it.
    """
    graph = _Graph(model)
    weighted = {i: operator for i, operator in enumerate(graph.operators) if graph.name(operator) in WEIGHTED}
    counted = {i: graph.zeros(operator) for i, operator in weighted.items()}
    return {i: count for i, count in counted.items() if count.weights}


def fit_sparse_kernels(content: bytes) -> bytes:
    """Makes a float model with sparse tensors run on XNNPACK's sparse kernels, without changing what it answers.

    They take a stride of 2 only with as much padding before the image as after it. "same" padding is such for odd
    sizes; there it becomes a PAD operator, which XNNPACK folds back into the convolution. Constants of ADD and MUL get
    four dimensions.

    Args:
        content: A .tflite of float32, converted with `tf.lite.Optimize.EXPERIMENTAL_SPARSITY`.

    Returns:
        The .tflite to write.

    Raises:
        UserError: XNNPACK would compute this graph dense; the message says why.
    """
    model = flatbuffer.read(content)
    graph = _Graph(model)
    part = graph.up_to_the_mean()
    convolutions = [operator for operator in part if graph.name(operator) in WEIGHTED]
    if not convolutions or not graph.is_stem(convolutions[0]):
        raise _refusal("its first convolution is not 3×3 on 3 channels at stride 2")
    part = part[
        [id(operator) for operator in part].index(id(convolutions[0])) :
    ]  # what scales the image in front of it may be anything
    for operator in part:
        reason = graph.objection(operator, convolutions[0])
        if reason:
            raise _refusal(f"{graph.name(operator)} {graph.label(operator)} {reason}")
    pointwise = [graph.zeros(operator) for operator in convolutions[1:] if graph.name(operator) == "CONV_2D"]
    found = sum(pointwise, Zeros(0, 0))
    if found.share <= WORTHWHILE:
        raise _refusal(f"{found.share:.0%} of the weights of its 1×1 convolutions are zeros and 67% are needed")
    for operator in part:
        if graph.name(operator) in ("ADD", "MUL"):
            graph.lift_constants(operator)
        elif graph.pads_at_stride_2(operator):
            graph.pad_before(operator)
    return flatbuffer.write(model)


def _refusal(reason: str) -> UserError:
    return UserError(f"sparse=True: XNNPACK would compute this model dense, since {reason}")


class _Graph(flatbuffer.Graph):
    """The graph of a .tflite with the look-ups that the questions above need."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.maker = {int(tensor): operator for operator in self.operators for tensor in operator.outputs}

    def label(self, operator: Any) -> str:
        """The layer's name: the converter writes model/layer/operation;model/layer/…"""
        path = (self.tensors[operator.outputs[0]].name or b"").decode("utf-8", "replace").split(";")[0].split("/")
        return path[1] if len(path) > 2 else path[-1]

    def strides(self, operator: Any) -> tuple[int, int]:
        return operator.builtinOptions.strideH, operator.builtinOptions.strideW

    def values(self, index: int) -> np.ndarray | None:
        """The values that the file stores of a tensor; None when there are none or NumPy lacks their type."""
        tensor = self.tensors[index]
        data = self.model.buffers[tensor.buffer].data
        try:
            return None if data is None else np.frombuffer(bytes(data), flatbuffer.type_name(tensor.type))
        except TypeError:
            return None

    def zeros(self, operator: Any) -> Zeros:
        """Of the operator's weights, behind the DENSIFY or DEQUANTIZE that unpacks them."""
        index = int(operator.inputs[1])
        while index in self.maker and self.name(self.maker[index]) in ("DENSIFY", "DEQUANTIZE"):
            index = int(self.maker[index].inputs[0])
        stored, tensor = self.values(index), self.tensors[index]
        if stored is None:
            return Zeros(0, 0)
        points = tensor.quantization.zeroPoint if tensor.quantization is not None else None
        zero = points[0] if points is not None and len(points) else 0
        weights = int(np.prod(self.shape(index)))
        return Zeros(weights - int(np.count_nonzero(stored != zero)), weights)

    def up_to_the_mean(self) -> list[Any]:
        """What the last global mean is computed from and the mean itself, in the order of execution."""
        means = [operator for operator in self.operators if self.name(operator) == "MEAN" and self._is_global(operator)]
        if not means:
            raise _refusal("it has no global mean, with which the sparse part ends")
        needed, todo = set[int](), means[-1:]
        while todo:
            operator = todo.pop()
            if id(operator) not in needed:
                needed.add(id(operator))
                todo += [self.maker[int(i)] for i in operator.inputs if int(i) in self.maker]
        return [operator for operator in self.operators if id(operator) in needed]

    def _is_global(self, mean: Any) -> bool:
        axes = self.values(mean.inputs[1])
        return len(self.shape(mean.inputs[0])) == 4 and axes is not None and set(axes.tolist()) == {1, 2}

    def is_stem(self, operator: Any) -> bool:
        kernel = self.shape(operator.inputs[1])
        return self.name(operator) == "CONV_2D" and kernel[1:] == (3, 3, 3) and self.strides(operator) == (2, 2)

    def objection(self, operator: Any, stem: Any) -> str | None:
        """Why XNNPACK does not take an operator channel by channel; None when it does."""
        name = self.name(operator)
        if name == "DENSIFY":
            return None
        if self.tensors[operator.outputs[0]].type != schema.TensorType.FLOAT32:
            return "does not compute in float32"
        if name == "PAD":
            readers = {self.name(reader) for reader in self.operators if operator.outputs[0] in reader.inputs}
            return None if readers <= {"CONV_2D", "DEPTHWISE_CONV_2D"} else "pads something else than a convolution"
        if name in ("ADD", "MUL") and any(self._is_large_constant(index) for index in operator.inputs):
            return "has a constant that is neither one number nor one a channel"
        if name not in WEIGHTED:
            return None if name in ELEMENTWISE else "is no operator of its sparse inference"
        _, height, width, depth = self.shape(operator.inputs[1])
        if name == "CONV_2D" and operator is not stem:
            plain = (height, width, *self.strides(operator), depth) == (1, 1, 1, 1, self.shape(operator.inputs[0])[3])
            return None if plain else f"is {height}×{width}: only 1×1 at stride 1 and depthwise are supported"
        if name == "DEPTHWISE_CONV_2D" and (
            (height, width) not in ((3, 3), (5, 5))
            or self.strides(operator) not in ((1, 1), (2, 2))
            or (operator.builtinOptions.dilationHFactor, operator.builtinOptions.dilationWFactor) != (1, 1)
        ):
            return f"is {height}×{width}: only 3×3 and 5×5 at stride 1 or 2 are supported"
        return self._padding_objection(operator, height)

    def _padding_objection(self, operator: Any, kernel: int) -> str | None:
        half, source = kernel // 2, self.maker.get(int(operator.inputs[0]))
        if operator.builtinOptions.padding == schema.Padding.SAME:
            sizes = self.shape(operator.inputs[0])[1:3]
            if self.strides(operator) == (1, 1) or all(size % 2 for size in sizes):
                return None
            good = self.shape(self.inputs[0])[1] // 32 * 32 + 1
            return f"pads {sizes[0]}×{sizes[1]} on one side only: build the model for images of 32n + 1, such as {good}"
        padding = self.values(source.inputs[1]) if source is not None and self.name(source) == "PAD" else None
        even = padding is not None and padding.tolist() == [0, 0, half, half, half, half, 0, 0]
        return None if even else f"is not padded by {half} on each side"

    def _is_large_constant(self, index: int) -> bool:
        return index not in self.maker and sum(size > 1 for size in self.shape(index)) > 1

    def lift_constants(self, operator: Any) -> None:
        """Gives a number or a vector the four dimensions without which XNNPACK takes no operand."""
        inputs = []
        for index in map(int, operator.inputs):
            shape = self.shape(index)
            if index not in self.maker and len(shape) < 4:
                self.tensors.append(copy.copy(self.tensors[index]))
                index = len(self.tensors) - 1
                self.tensors[index].shape = np.array((1,) * (4 - len(shape)) + shape, np.int32)
            inputs.append(index)
        operator.inputs = np.array(inputs, np.int32)

    def pads_at_stride_2(self, operator: Any) -> bool:
        is_convolution = self.name(operator) in ("CONV_2D", "DEPTHWISE_CONV_2D")
        return (
            is_convolution
            and self.strides(operator) == (2, 2)
            and operator.builtinOptions.padding == schema.Padding.SAME
        )

    def pad_before(self, operator: Any) -> None:
        """Writes "same" padding of an odd size as an operator of its own."""
        source, half = int(operator.inputs[0]), self.shape(operator.inputs[1])[1] // 2
        one, height, width, channels = self.shape(source)
        paddings = np.array([[0, 0], [half, half], [half, half], [0, 0]], np.int32)
        amounts = self.add_tensor("paddings", paddings.shape, schema.TensorType.INT32, values=paddings)
        padded_shape = (one, height + 2 * half, width + 2 * half, channels)
        padded = self.add_tensor("padded", padded_shape, self.tensors[source].type)
        self.insert("PAD", [source, amounts], padded, self.place(operator))
        operator.inputs = np.array([padded, *operator.inputs[1:]], np.int32)
        operator.builtinOptions.padding = schema.Padding.VALID
