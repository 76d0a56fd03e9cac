"""Layer and group normalization in a float .tflite, in the fewest operators, and what of it stays float in int8.

TensorFlow writes a layer normalization as ten operators, six of which give a tensor of the input's size, and a group
normalization as thirteen, in five dimensions. In a float file both are c = x − mean, times rsqrt(mean of c · c), with
factor and offset of the channels in the weights of what reads it, where those are convolutions or dense layers alone.

For int8 these weights subtract the mean of channels too, since their sums over channels may be made zero: what is left
between the layers is one product of int8, x · rsqrt(mean of x · x − mean²); at the end of a network, in front of the
mean of all positions, the float form stays. The mean of a whole map is an int8
difference behind it: before it, images of little contrast would lose what there is. Squares and root need more than
eight bits and are an island of float operators between DEQUANTIZE and QUANTIZE, which gives one number a position, or
one a map. XNNPACK takes all of it. On one thread of an x86 with AMX, two 1×1 convolutions of a ConvNeXt block at
56×56×96 take 1.05 of their time with it, 1.23 with the float form in float, and about 2.3 with the ten operators in
float.

PoolFormer subtracts a normalized map from its average (arXiv:2111.11418, section 3.3): there mean and offset cancel,
and the factors go into the scale of channels behind.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_mobilenets.tflite.conversion.folds.factor_fold import fold, folding_readers
from keras_mobilenets.tflite.conversion.forms.normalization_pattern import Normalization, normalizations
from keras_mobilenets.tflite.graph import flatbuffer

_NONE, _RELU = schema.ActivationFunctionType.NONE, schema.ActivationFunctionType.RELU
_FLOAT = schema.TensorType.FLOAT32
_MARK = ":float "  # in the names of activations


def simplify(graph: flatbuffer.Graph, *, for_int8: bool = False, folds: bool = True) -> None:
    """Writes each layer normalization over channels, and each group normalization of one group, in fewer operators.

    Args:
        graph: Of a float32 .tflite, with ranges where nothing folds; it computes the same afterwards but for rounding.
        for_int8: Whether it is to be quantized.
        folds: Whether factor and offset may go into weights, which are then others than a network was trained for.
    """
    found = normalizations(graph)
    for normalization in found:
        _write(graph, normalization, for_int8, folds)
    if found:
        _remove_unread(graph)


def inner_activations(content: bytes) -> list[str]:
    """Names of the activations inside of normalizations that stay in float, as `simplify` marked them."""
    graph = flatbuffer.read(content).subgraphs[0]
    return [name for tensor in graph.tensors if _MARK in (name := flatbuffer.text(tensor.name))]


def _write(graph: flatbuffer.Graph, found: Normalization, for_int8: bool, folds: bool) -> None:
    x, output = _ends(graph, found)
    shape, name = graph.shape(x), flatbuffer.text(graph.tensors[output].name)
    steps = _Steps(graph, graph.place(graph.makers()[output]), name, _MARK if for_int8 else ":")
    del graph.operators[steps.place]
    scale = _scale_of_difference(graph, output) if found.of_map and folds else None
    readers = folding_readers(graph, output) if scale is None and folds else []
    is_folded = bool(readers) or scale is not None
    # In front of the mean of all positions, at the end of a network, the finest product costs nothing.
    direct = for_int8 and is_folded and all(graph.name(reader) != "MEAN" for reader in graph.readers(output))
    for reader in readers:
        fold(graph, reader, found.factor, found.offset, centers=direct and not found.of_map)
    if scale is not None:
        _scale(graph, scale, found.factor)
    mean, root, centered = _statistics(steps, found, x, direct)
    if centered is None:
        if scale is not None or not found.of_map:
            steps.add("MUL", [x, root], shape, output=output)
        else:
            shift = steps.add("MUL", [mean, root], graph.shape(root), "shift")
            steps.mark = ":"
            steps.add("SUB", [steps.add("MUL", [x, root], shape, "product"), shift], shape, output=output)
        return
    normal = steps.add("MUL", [centered, root], shape, "normal", output if is_folded else -1)
    if not is_folded:
        factor, offset = (
            graph.add_tensor("constant", (shape[-1],), _FLOAT, None, np.ascontiguousarray(values, np.float32))
            for values in (found.factor, found.offset)
        )
        scaled = steps.add("MUL", [normal, factor], shape, "scaled")
        steps.add("ADD", [scaled, offset], shape, output=output)
    if for_int8 and output not in graph.outputs:  # the graph's own names stay
        graph.tensors[output].name = f"{name}{_MARK}whole".encode()


@dataclass
class _Steps:
    """Writes operators one behind the other.

    Attributes:
        graph: Where.
        place: Of the next.
        name: Of the normalization.
        mark: Between that and what is particular to an activation.
    """

    graph: flatbuffer.Graph
    place: int
    name: str
    mark: str

    def add(self, kind: str, inputs: list[int], shape: tuple[int, ...], word: str = "", output: int = -1) -> int:
        """Writes an operator that gives a new tensor of that name, or the one that is given."""
        if output < 0:
            output = self.graph.add_tensor("inner", shape, _FLOAT)
            self.graph.tensors[output].name = f"{self.name}{self.mark}{word}".encode()
        self.graph.insert(kind, inputs, output, self.place)
        self.place += 1
        return output


def _statistics(steps: _Steps, found: Normalization, x: int, direct: bool) -> tuple[int, int, int | None]:
    """Writes mean and inverse root of the variance, from squares of x itself or of its difference from the mean."""
    graph, shape, rank = steps.graph, steps.graph.shape(x), len(steps.graph.shape(x))
    axes = np.arange(1 if found.of_map else rank - 1, rank, dtype=np.int32)
    narrow = tuple(1 if axis in axes else size for axis, size in enumerate(shape))
    over = graph.add_tensor("axes", axes.shape, schema.TensorType.INT32, None, axes)

    def mean_of(tensor: int, word: str) -> int:
        result = steps.add("MEAN", [tensor, over], narrow, word)
        graph.operators[steps.place - 1].builtinOptions.keepDims = True
        return result

    mean, centered = mean_of(x, "mean"), None
    if direct:
        mean_square = mean_of(steps.add("MUL", [x, x], shape, "squares"), "mean of squares")
        square = steps.add("MUL", [mean, mean], narrow, "square")
        variance = steps.add("SUB", [mean_square, square], narrow, "variance")
        graph.operators[steps.place - 1].builtinOptions.fusedActivationFunction = _RELU  # rounding may go below 0
    else:
        centered = steps.add("SUB", [x, mean], shape, "centered")
        variance = mean_of(steps.add("MUL", [centered, centered], shape, "squares"), "variance")
    total = steps.add("ADD", [variance, found.epsilon], narrow, "total")
    return mean, steps.add("RSQRT", [total], narrow, "root"), centered


def _ends(graph: flatbuffer.Graph, found: Normalization) -> tuple[int, int]:
    """Input and output, before and behind an axis of groups that is put into a map for it."""
    before = graph.makers().get(found.x)
    readers = graph.readers(found.output)
    if not found.of_map or before is None or graph.name(before) != "RESHAPE" or len(readers) != 1:
        return found.x, found.output
    source, behind = int(before.inputs[0]), int(readers[0].outputs[0])
    shape = graph.shape(source)
    fits = shape[:1] == (1,) and shape[-1] == graph.shape(found.x)[-1] and shape == graph.shape(behind)
    if graph.name(readers[0]) != "RESHAPE" or not fits or found.output in graph.outputs:
        return found.x, found.output
    return source, behind


def _scale_of_difference(graph: flatbuffer.Graph, tensor: int) -> Any:
    """The depthwise 1×1 convolution of an average of a map minus the map, where all else reads neither."""
    readers = {graph.name(reader): reader for reader in graph.readers(tensor)}
    pool, difference = readers.get("AVERAGE_POOL_2D"), readers.get("SUB")
    if pool is None or difference is None or len(graph.readers(tensor)) != 2:
        return None
    average, result = int(pool.outputs[0]), int(difference.outputs[0])
    if set(map(int, difference.inputs)) != {average, tensor} or graph.shape(average) != graph.shape(tensor):
        return None
    if any(reader.builtinOptions.fusedActivationFunction != _NONE for reader in (pool, difference)):
        return None
    behind = graph.readers(result)
    if len(graph.readers(average)) != 1 or len(behind) != 1 or graph.name(behind[0]) != "DEPTHWISE_CONV_2D":
        return None
    if {average, tensor, result}.intersection(map(int, graph.outputs)):
        return None
    weights = int(behind[0].inputs[1])
    plain = graph.shape(weights)[1:3] == (1, 1) and behind[0].builtinOptions.depthMultiplier == 1
    return behind[0] if plain and graph.is_constant(weights) and graph.tensors[weights].type == _FLOAT else None


def _scale(graph: flatbuffer.Graph, convolution: Any, factor: np.ndarray) -> None:
    """Multiplies the channels that a depthwise 1×1 convolution reads, by weights of its own."""
    source, weights, *bias = map(int, convolution.inputs)
    values = (graph.constant(weights) * factor).astype(np.float32)
    own = graph.add_tensor("scaled", values.shape, _FLOAT, None, values)
    graph.tensors[own].name = graph.tensors[weights].name
    convolution.inputs = np.array([source, own, *bias], np.int32)


def _remove_unread(graph: flatbuffer.Graph) -> None:
    """Removes the operators whose results nothing reads any more."""
    while True:
        read = {int(i) for operator in graph.operators for i in operator.inputs}
        read |= set(map(int, graph.outputs))
        kept = [operator for operator in graph.operators if read.intersection(map(int, operator.outputs))]
        if len(kept) == len(graph.operators):
            return
        graph.operators[:] = kept
