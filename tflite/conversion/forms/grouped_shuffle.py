"""A channel shuffle between two grouped convolutions, in runs of channels instead of one by one.

The convolution before it may give the channels of each group in any order, the one behind it take them in any order. So
the channels that go from one group to another are made neighbours, as many for every pair of groups, with channels that
are always zero where they are not: a TRANSPOSE of four bytes at a time, where that costs few of those.
ShuffleNet: Zhang et al. 2017, arXiv:1707.01083, section 3.1. On XNNPACK (x86, int8) a shuffle of three groups takes
0.35 (28×28×60), 0.26 (14×14×120) and 0.22 (7×7×240) of the time that it takes one by one.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_mobilenets.tflite.conversion.folds.shuffle_fold import channelwise_chain, keeps_channels, reordered
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.graph.routes import Routes

MOST_PADDED = 1.25  # channels with those that are zero, of those without
WORD = 4  # bytes that XNNPACK transposes at once; two and three it does as well


def shuffle_in_runs(graph: flatbuffer.Graph) -> None:
    """Gives shuffles between grouped convolutions of an int8 .tflite that form, where it does not cost too much.

    Weights, biases and activations keep their integers, but for their order.
    """
    if "TRANSPOSE" not in {graph.name(operator) for operator in graph.operators}:
        return
    routes = Routes(graph)
    for tensor in list(routes.permuted):
        shuffle = _Shuffle.of(graph, routes, tensor)
        if shuffle is not None:
            shuffle.move_in_runs(graph)


def fill_groups(graph: flatbuffer.Graph) -> None:
    """Gives grouped convolutions of an int8 .tflite groups of a multiple of four channels, as the GPU delegate wants.

    The channels added are zero; they are made by the convolution in front, so that there must be one. Where they would
    be too many, the convolution stays as it is.
    """
    for operator in graph.operators:
        if graph.name(operator) != "CONV_2D" or not _has_constants(graph, operator):
            continue
        source, groups = int(operator.inputs[0]), _groups(graph, operator)
        channels = graph.shape(source)[3]
        share = -(-channels // groups // WORD) * WORD
        if groups in (1, channels) or share * groups == channels or share * groups > MOST_PADDED * channels:
            continue
        chain = channelwise_chain(graph, source)
        if not chain or len(graph.readers(source)) > 1 or _groups(graph, chain[0]) not in (1, groups):
            continue
        if graph.tensors[source].type != schema.TensorType.INT8:
            continue
        order = np.full((groups, share), -1)
        order[:, : channels // groups] = np.arange(channels).reshape(groups, -1)
        for each in chain:
            _make(graph, each, order.reshape(-1))
        _read(graph, operator, order)


@dataclass(frozen=True)
class _Shuffle:
    """A shuffle.

    Attributes:
        source: What is shuffled.
        shuffled: The result.
        makers: The operators that do it.
        before: A grouped convolution and what does the same to every channel behind it, up to the source.
        behind: What does the same to every channel of the result, up to the next.
        after: The grouped convolution that reads what they give.
        channels: The channel of the source that each of the result is.
        groups: Of the convolution before it and of the one behind it.
    """

    source: int
    shuffled: int
    makers: list[Any]
    before: list[Any]
    behind: list[Any]
    after: Any
    channels: np.ndarray
    groups: tuple[int, int]

    @classmethod
    def of(cls, graph: flatbuffer.Graph, routes: Routes, tensor: int) -> "_Shuffle | None":
        """The shuffle that gives a tensor, if it is one between two grouped convolutions in int8."""
        makers, found = routes.makers[tensor], routes.of_channels(tensor)
        if graph.tensors[tensor].type != schema.TensorType.INT8 or not found:
            return None
        source, channels = found[0][0], np.array([channel for _, channel in found])
        whole = {each for each, _ in found} == {source} and sorted(channels) == list(range(graph.shape(source)[3]))
        before, behind = channelwise_chain(graph, source), _behind(graph, tensor)
        between = [source, *(int(maker.outputs[0]) for maker in makers)]
        if not whole or not before or not behind or any(len(graph.readers(each)) != 1 for each in between):
            return None
        *behind, after = behind
        groups = (_groups(graph, before[0]), _groups(graph, after))
        return cls(source, tensor, makers, before, behind, after, channels, groups) if min(groups) > 1 else None

    def move_in_runs(self, graph: flatbuffer.Graph) -> None:
        """Moves the channels in runs, unless too many would be added."""
        (first, second), count = self.groups, len(self.channels)
        destinations = np.argsort(self.channels)  # of the source's channels
        pairs = [
            [
                [
                    c
                    for c in range(a * count // first, (a + 1) * count // first)
                    if destinations[c] * second // count == b
                ]
                for b in range(second)
            ]
            for a in range(first)
        ]
        run = _run(max(len(pair) for row in pairs for pair in row), first * second, count)
        if run is None:
            return
        length, word = run
        padded = np.full((first, second, length // word, word), -1)
        for a, row in enumerate(pairs):
            for b, pair in enumerate(row):
                padded[a, b].reshape(-1)[: len(pair)] = pair
        made = padded.transpose(0, 2, 1, 3).reshape(-1)  # by group, row of words, destination
        for operator in self.before:
            _make(graph, operator, made)
        taken = padded.transpose(1, 0, 2, 3).reshape(second, -1)
        taken = np.where(taken < 0, -1, destinations[taken])
        for operator in self.behind:
            _make(graph, operator, taken.reshape(-1))
        _read(graph, self.after, taken)
        self._transpose(graph, first * (length // word), second, word)

    def _transpose(self, graph: flatbuffer.Graph, rows: int, columns: int, word: int) -> None:
        """Puts a reshape, a transpose and a reshape in the place of the shuffle's operators."""
        _, height, width, _ = graph.shape(self.source)
        places = height * width
        place = min(graph.place(maker) for maker in self.makers)
        for maker in self.makers:
            del graph.operators[graph.place(maker)]
        _resize(graph, self.shuffled, rows * columns * word)
        stored = graph.tensors[self.shuffled]
        words, moved = (
            graph.add_tensor("words", (places, *sizes, word), stored.type, stored.quantization)
            for sizes in ((rows, columns), (columns, rows))
        )
        settings = [
            graph.add_tensor("setting", (4,), schema.TensorType.INT32, None, np.array(each, np.int32))
            for each in ((places, rows, columns, word), (0, 2, 1, 3), graph.shape(self.shuffled))
        ]
        steps = zip(("RESHAPE", "TRANSPOSE", "RESHAPE"), (self.source, words, moved), settings, strict=True)
        for offset, ((name, tensor, setting), output) in enumerate(
            zip(steps, (words, moved, self.shuffled), strict=True)
        ):
            graph.insert(name, [tensor, setting], output, place + offset, version=2 if name == "TRANSPOSE" else 1)


def _make(graph: flatbuffer.Graph, operator: Any, order: np.ndarray) -> None:
    """Lets an operator give its channels in an order, zeros where it is −1."""
    name, inputs = graph.name(operator), list(map(int, operator.inputs))
    for index, tensor in enumerate(inputs[1:], 1) if name in ("CONV_2D", "DEPTHWISE_CONV_2D") else ():
        if tensor >= 0:
            axis = 0 if name == "CONV_2D" and index == 1 else -1
            inputs[index] = reordered(graph, tensor, graph.constant(tensor), order, axis)
    operator.inputs = np.array(inputs, np.int32)
    _resize(graph, int(operator.outputs[0]), len(order))


def _read(graph: flatbuffer.Graph, convolution: Any, taken: np.ndarray) -> None:
    """Lets a grouped convolution read certain channels in each group, zeros where it is −1."""
    kernel = int(convolution.inputs[1])
    values = graph.constant(kernel)
    share = values.shape[3]
    groups = np.split(values, len(taken))
    parts = [np.where(order < 0, 0, np.take(part, order % share, 3)) for part, order in zip(groups, taken, strict=True)]
    wide = np.concatenate(parts).astype(values.dtype)
    new = reordered(graph, kernel, wide, np.arange(len(wide)), 0)
    convolution.inputs = np.array([convolution.inputs[0], new, *convolution.inputs[2:]], np.int32)


def _run(longest: int, pairs: int, count: int) -> tuple[int, int] | None:
    """Length of the runs, and how many channels of one are moved at once; None where too many would be zero."""
    words = [(-(-longest // WORD) * WORD, WORD)]
    words += [(longest, next((word for word in (3, 2) if longest % word == 0), longest))]
    return next(((length, word) for length, word in words if word > 1 and pairs * length <= MOST_PADDED * count), None)


def _groups(graph: flatbuffer.Graph, convolution: Any) -> int:
    return graph.shape(int(convolution.inputs[0]))[3] // graph.shape(int(convolution.inputs[1]))[3]


def _behind(graph: flatbuffer.Graph, tensor: int) -> list[Any]:
    """What does the same to every channel of a tensor, one behind the other, and the convolution that ends it."""
    chain: list[Any] = []
    while not chain or graph.name(chain[-1]) != "CONV_2D":
        readers = graph.readers(tensor)
        if tensor in graph.outputs or len(readers) != 1 or int(readers[0].inputs[0]) != tensor:
            return []
        if not keeps_channels(graph, readers[0], graph.shape(tensor)[3]):
            return []
        chain.append(readers[0])
        tensor = int(readers[0].outputs[0])
    return chain


def _has_constants(graph: flatbuffer.Graph, convolution: Any) -> bool:
    return all(flatbuffer.is_constant(graph.model, graph.tensors[int(i)]) for i in convolution.inputs[1:] if i >= 0)


def _resize(graph: flatbuffer.Graph, tensor: int, channels: int) -> None:
    stored = graph.tensors[tensor]
    stored.shape = np.array([*stored.shape[:-1], channels], np.int32)
    if stored.shapeSignature is not None and len(stored.shapeSignature):
        stored.shapeSignature = np.array([*stored.shapeSignature[:-1], channels], np.int32)
