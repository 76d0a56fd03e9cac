"""Channel shuffles and splits of a .tflite, folded into the weights of the convolutions that read them.

A dense or a depthwise convolution takes its channels in any order, if its weights have the same. So what a chain of
RESHAPE, TRANSPOSE, slices and concatenations gives to one is put together from as few runs of channels as it is made
of, and no channel is moved alone. Of ShuffleNetV2 (Ma et al. 2018, arXiv:1807.11164) no shuffle is left. Grouped
convolutions want certain channels in each group: a shuffle in front of one goes into the weights of a dense convolution
that makes the channels, and one between two of them stays (`grouped_shuffle.py`).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.graph.routes import Routes
from keras_mobilenets.tflite.graph.unused_tensors import drop_unused

MOST_RUNS = 16  # of channels in one map; those of a shuffle that nothing can absorb are one for each channel
_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D")
MOST_JOINED = 5  # inputs of a CONCATENATION that XNNPACK takes

_ONE_BY_ONE = (
    *("RELU", "RELU6", "RELU_N1_TO_1", "LEAKY_RELU", "ELU", "LOGISTIC", "TANH", "HARD_SWISH", "GELU", "ABS"),
    *("QUANTIZE", "DEQUANTIZE", "AVERAGE_POOL_2D", "MAX_POOL_2D", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"),
)


def fold_shuffles(graph: flatbuffer.Graph) -> None:
    """Folds permutations of channels into the weights of what reads them.

    Args:
        graph: Of a .tflite, float or quantized; it computes the same afterwards, but for the order of sums in float. It
            stays as it is where no channels are permuted, or where something needs them in their order.
    """
    if not {graph.name(operator) for operator in graph.operators} & {"TRANSPOSE", "GATHER"}:
        return
    routes = Routes(graph)
    maps = [_Map.of(graph, routes, tensor) for tensor in routes.permuted if _is_wanted(graph, routes, tensor)]
    foldable = [each for region in _regions(maps) if _is_foldable(region) for each in region]
    if not foldable:
        return
    slices: dict[tuple[int, int, int], int] = {}
    for each in sorted(foldable, key=lambda each: each.place(graph)):  # so that a slice stands before all its readers
        each.fold(graph, slices)
    for operator in reversed(list(graph.operators)):
        if id(operator) in {id(maker) for each in foldable for maker in each.makers} and not any(
            graph.readers(int(tensor)) or tensor in graph.outputs for tensor in operator.outputs
        ):
            del graph.operators[graph.place(operator)]
    drop_unused(graph.model)


def _is_foldable(region: list["_Map"]) -> bool:
    """Whether all maps of a region can be had in an order; what makes one in its order must have no other reader."""
    return all(each.order is not None for each in region) and (
        len(region) == 1 or not any(isinstance(each, _MadeInOrder) for each in region)
    )


def _is_wanted(graph: flatbuffer.Graph, routes: Routes, tensor: int) -> bool:
    """Whether a tensor leaves the operators that only move numbers."""
    readers = graph.readers(tensor)
    return tensor in graph.outputs or any(
        int(output) not in routes.places for reader in readers for output in reader.outputs
    )


@dataclass(frozen=True)
class _Map:
    """A map of permuted channels.

    Attributes:
        tensor: The map.
        makers: The operators that permute them.
        runs: (source, first channel, how many) of what it is made of.
        order: The channel of the map that each channel of these runs is; None where no such order will do.
        readers: What reads it, but for what only moves its numbers on.
    """

    tensor: int
    makers: list[Any]
    runs: list[tuple[int, int, int]]
    order: np.ndarray | None
    readers: list[Any]

    @classmethod
    def of(cls, graph: flatbuffer.Graph, routes: Routes, tensor: int) -> "_Map":
        """The map of a tensor that `routes` knows."""
        makers, channels = routes.makers[tensor], routes.of_channels(tensor)
        readers = [each for each in graph.readers(tensor) if int(each.outputs[0]) not in routes.places]
        if channels is None or tensor in graph.outputs:
            return cls(tensor, makers, [], None, readers)
        order = sorted(range(len(channels)), key=channels.__getitem__)
        runs: list[tuple[int, int, int]] = []
        for source, channel in (channels[place] for place in order):
            if runs and runs[-1][0] == source and sum(runs[-1][1:]) == channel:
                runs[-1] = (source, runs[-1][1], runs[-1][2] + 1)
            else:
                runs.append((source, channel, 1))
        same = _of_one_scale(graph, [tensor, *(source for source, *_ in runs)])
        if same and len(runs) <= MOST_RUNS and all(_absorbs(graph, each, tensor, len(order)) for each in readers):
            return cls(tensor, makers, runs, np.array(order), readers)
        source = runs[0][0]
        alone = len(readers) == len(graph.readers(tensor)) and _makes_any_order(graph, source, makers)
        if same and alone and runs == [(source, 0, graph.shape(source)[3])]:
            return _MadeInOrder(tensor, makers, runs, np.array([channel for _, channel in channels]), readers)
        return cls(tensor, makers, runs, None, readers)

    def place(self, graph: flatbuffer.Graph) -> int:
        """Where the first of the readers stands."""
        return min(graph.place(reader) for reader in self.readers)

    def fold(self, graph: flatbuffer.Graph, slices: dict[tuple[int, int, int], int]) -> None:
        """Makes the map of its runs, and gives the readers their weights in that order."""
        assert self.order is not None
        place = self.place(graph)
        parts = []
        for run in self.runs:
            source, _, count = run
            if count == graph.shape(source)[3]:
                parts.append(source)
                continue
            if run not in slices:
                slices[run] = _slice(graph, run, place)
                place += 1
            parts.append(slices[run])
        joined = _joined(graph, parts, self.tensor, place)
        for reader in self.readers:
            reader.inputs = np.array([joined if i == self.tensor else i for i in reader.inputs], np.int32)
            _permute(graph, reader, self.order)


class _MadeInOrder(_Map):
    """A map whose channels are made in the order that is wanted."""

    def fold(self, graph: flatbuffer.Graph, slices: dict[tuple[int, int, int], int]) -> None:
        """Gives what makes the source its weights in that order, and the source to the readers."""
        assert self.order is not None
        ((source, *_),) = self.runs
        for reader in self.readers:
            reader.inputs = np.array([source if i == self.tensor else i for i in reader.inputs], np.int32)
        for operator in channelwise_chain(graph, source):
            if graph.name(operator) == "CONV_2D":
                _replace(graph, operator, 1, self.order, axis=0)
            for index in range(1, len(operator.inputs)) if graph.name(operator) in _WEIGHTED else ():
                if operator.inputs[index] >= 0 and (index > 1 or graph.name(operator) != "CONV_2D"):
                    _replace(graph, operator, index, self.order)


def _makes_any_order(graph: flatbuffer.Graph, source: int, makers: list[Any]) -> bool:
    """Whether a dense convolution makes a source, which nothing but the permutation reads."""
    chain = channelwise_chain(graph, source)
    if not chain or any(id(reader) not in {id(maker) for maker in makers} for reader in graph.readers(source)):
        return False
    kernel = graph.shape(int(chain[0].inputs[1]))
    return kernel[3] == graph.shape(int(chain[0].inputs[0]))[3]


def channelwise_chain(graph: flatbuffer.Graph, tensor: int) -> list[Any]:
    """The convolution that makes a tensor and what does the same to every channel on the way, in their order.

    Empty where something else is on the way, or reads what is in between.
    """
    chain: list[Any] = []
    channels = graph.shape(tensor)[-1]
    while not chain or graph.name(chain[0]) != "CONV_2D":
        maker = _maker(graph, tensor)
        if maker is None or not keeps_channels(graph, maker, channels) or (chain and len(graph.readers(tensor)) > 1):
            return []
        if tensor in graph.outputs:
            return []
        chain.insert(0, maker)
        tensor = int(maker.inputs[0])
    return chain


def keeps_channels(graph: flatbuffer.Graph, operator: Any, channels: int) -> bool:
    """Whether an operator is a convolution of constant weights, or does the same to each of so many channels."""
    name, inputs = graph.name(operator), list(map(int, operator.inputs))
    if not all(_is_plain(graph, i) for i in inputs[1:] if i >= 0):
        return False
    return (
        name == "CONV_2D"
        or name in _ONE_BY_ONE
        or (name == "DEPTHWISE_CONV_2D" and graph.shape(inputs[0])[3] == channels)
        or (name == "PAD" and not graph.constant(inputs[1])[-1].any())
    )


def _regions(maps: list[_Map]) -> list[list[_Map]]:
    """The maps that have operators in common, directly or through others."""
    regions: list[tuple[set[int], list[_Map]]] = []
    for each in maps:
        makers, members = {id(maker) for maker in each.makers}, [each]
        apart = []
        for others, found in regions:
            if others & makers:
                makers |= others
                members = found + members
            else:
                apart.append((others, found))
        regions = [*apart, (makers, members)]
    return [members for _, members in regions]


def _of_one_scale(graph: flatbuffer.Graph, tensors: list[int]) -> bool:
    return len({flatbuffer.scales(graph.tensors[tensor]) for tensor in tensors}) == 1


def _absorbs(graph: flatbuffer.Graph, reader: Any, tensor: int, channels: int) -> bool:
    """Whether an operator gives the same with its channels in another order, or gives them in that order to such."""
    name, inputs = graph.name(reader), list(map(int, reader.inputs))
    if inputs[0] != tensor or tensor in inputs[1:]:
        return False
    constants = [i for i in inputs[1:] if i >= 0]
    if not all(_is_plain(graph, i) for i in constants):
        return False
    if name == "CONV_2D":
        return graph.shape(inputs[1])[3] == channels
    if name == "FULLY_CONNECTED":
        return graph.shape(inputs[1])[1:] == graph.shape(tensor)[1:] == (channels,)
    output = int(reader.outputs[0])
    passes = (
        name in _ONE_BY_ONE
        or (name == "DEPTHWISE_CONV_2D" and graph.shape(inputs[1])[3] == channels)
        or (name == "PAD" and not graph.constant(inputs[1])[-1].any())
        or (name == "MEAN" and -1 not in graph.constant(inputs[1]) and 3 not in graph.constant(inputs[1]))
    )
    readers = graph.readers(output)
    return (
        passes
        and bool(readers)
        and output not in graph.outputs
        and graph.shape(output)[-1] == channels
        and all(_absorbs(graph, each, output, channels) for each in readers)
    )


def _is_plain(graph: flatbuffer.Graph, tensor: int) -> bool:
    """Whether a tensor is a constant that is stored in full."""
    constant = _constant(graph, tensor)
    return constant is not None and graph.tensors[constant].sparsity is None


def _constant(graph: flatbuffer.Graph, tensor: int) -> int | None:
    """The constant that a tensor is, or of which a DEQUANTIZE makes it for one operator, as in files of float16."""
    if flatbuffer.is_constant(graph.model, graph.tensors[tensor]):
        return tensor
    maker = _maker(graph, tensor)
    if maker is None or graph.name(maker) != "DEQUANTIZE" or len(graph.readers(tensor)) != 1:
        return None
    source = int(maker.inputs[0])
    return source if flatbuffer.is_constant(graph.model, graph.tensors[source]) else None


def _maker(graph: flatbuffer.Graph, tensor: int) -> Any:
    return next((operator for operator in graph.operators if tensor in operator.outputs), None)


def _permute(graph: flatbuffer.Graph, operator: Any, order: np.ndarray) -> None:
    """Gives an operator that `_absorbs` its weights, and those behind it theirs, in another order of channels."""
    name = graph.name(operator)
    if name in ("CONV_2D", "FULLY_CONNECTED"):
        _replace(graph, operator, 1, order)
        return
    if name == "DEPTHWISE_CONV_2D":
        for index in range(1, len(operator.inputs)):
            if operator.inputs[index] >= 0:
                _replace(graph, operator, index, order)
    for reader in graph.readers(int(operator.outputs[0])):
        _permute(graph, reader, order)


def _replace(graph: flatbuffer.Graph, operator: Any, index: int, order: np.ndarray, axis: int = -1) -> None:
    """Puts a constant with an axis, the last, in another order in an input's place; scales and zeros as `reordered`."""
    tensor = int(operator.inputs[index])
    constant = _constant(graph, tensor)
    assert constant is not None
    new = reordered(graph, constant, graph.constant(constant), order, axis)
    if constant == tensor:
        operator.inputs = np.array([*operator.inputs[:index], new, *operator.inputs[index + 1 :]], np.int32)
    else:
        _maker(graph, tensor).inputs = np.array([new], np.int32)


def reordered(graph: flatbuffer.Graph, tensor: int, values: np.ndarray, order: np.ndarray, axis: int = -1) -> int:
    """A constant with the name and the type of another, and values in another order along an axis.

    Args:
        graph: The graph; it gets the constant.
        tensor: The other constant, whose scales are reordered too where they are of that axis.
        values: To be reordered.
        order: Where each comes from; zero where it is −1.
        axis: Of the values.
    """
    old, axis = graph.tensors[tensor], axis % values.ndim
    taken = np.ascontiguousarray(np.take(values, order, axis))
    np.moveaxis(taken, axis, 0)[order < 0] = 0
    quantization = old.quantization
    if len(flatbuffer.scales(old)[0]) > 1 and quantization.quantizedDimension == axis:
        quantization = schema.QuantizationParametersT(
            scale=quantization.scale[order], zeroPoint=quantization.zeroPoint[order], quantizedDimension=axis
        )
    new = graph.add_tensor("", taken.shape, old.type, quantization, taken)
    graph.tensors[new].name = old.name
    return new


def _slice(graph: flatbuffer.Graph, run: tuple[int, int, int], place: int) -> int:
    source, first, count = run
    shape, stored = graph.shape(source), graph.tensors[source]
    limits = ([0, 0, 0, first], [*shape[:3], first + count], [1, 1, 1, 1])
    settings = [
        graph.add_tensor("limits", (4,), schema.TensorType.INT32, None, np.array(limit, np.int32)) for limit in limits
    ]
    output = graph.add_tensor("part", (*shape[:3], count), stored.type, stored.quantization)
    graph.tensors[output].name = stored.name + f":{first}-{first + count - 1}".encode()
    graph.insert("STRIDED_SLICE", [source, *settings], output, place, version=2)
    return output


def _joined(graph: flatbuffer.Graph, parts: list[int], like: int, place: int) -> int:
    """The parts as one map; the first of them are joined before, where they are too many for one operator."""
    shape, stored = graph.shape(like), graph.tensors[like]
    while len(parts) > MOST_JOINED:
        count = min(MOST_JOINED, len(parts) - MOST_JOINED + 1)
        parts = [_concatenation(graph, parts[:count], shape, stored, place), *parts[count:]]
        place += 1
    return parts[0] if len(parts) == 1 else _concatenation(graph, parts, shape, stored, place)


def _concatenation(graph: flatbuffer.Graph, parts: list[int], shape: Any, like: Any, place: int) -> int:
    channels = sum(graph.shape(part)[3] for part in parts)
    output = graph.add_tensor("joined", (*shape[:3], channels), like.type, like.quantization)
    graph.tensors[output].name = like.name + f":{output}".encode()
    graph.insert("CONCATENATION", parts, output, place, version=2).builtinOptions.axis = 3
    return output
