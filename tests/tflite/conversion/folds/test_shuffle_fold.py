"""Channel shuffles folded into weights, against the same graphs with their shuffles."""

import numpy as np
import pytest
from built_graphs import BuiltGraph, input_shapes, outputs

from keras_mobilenets.tflite.conversion.folds.shuffle_fold import MOST_JOINED, fold_shuffles
from keras_mobilenets.tflite.graph import flatbuffer


def four_dimensions(graph, x):
    """As `blocks.channel_shuffle` is written."""
    _, height, width, channels = graph.shape(x)
    x = graph.transpose(graph.reshape(x, 1, height * width, 2, channels // 2), 0, 1, 3, 2)
    return graph.reshape(x, 1, height, width, channels)


def five_dimensions(graph, x):
    """As most code has it."""
    _, height, width, channels = graph.shape(x)
    x = graph.transpose(graph.reshape(x, 1, height, width, 2, channels // 2), 0, 1, 2, 4, 3)
    return graph.reshape(x, 1, height, width, channels)


def channels_first(graph, x):
    """As code has it that comes from PyTorch."""
    _, height, width, channels = graph.shape(x)
    x = graph.reshape(graph.transpose(x, 0, 3, 1, 2), 1, 2, channels // 2, height, width)
    x = graph.reshape(graph.transpose(x, 0, 2, 1, 3, 4), 1, channels, height, width)
    return graph.transpose(x, 0, 2, 3, 1)


def gather(graph, x):
    return graph.gather(x, np.arange(graph.shape(x)[3]).reshape(2, -1).T.ravel())


def units(kind, shuffle, count):
    """Units of ShuffleNetV2, figure 3 (c), between convolutions; two read the last."""
    graph = BuiltGraph((1, 6, 5, 8), kind)
    x = graph.convolution(graph.input, 20)
    for _ in range(count):
        first, second = graph.channels(x, 0, 10), graph.channels(x, 10, 20)
        x = shuffle(graph, graph.concatenate(first, graph.convolution(second, 10)))
    return graph.written(graph.convolution(x, 7), graph.convolution(graph.depthwise(x), 5))


@pytest.mark.parametrize("kind", ["int8", "float32", "float16"])
@pytest.mark.parametrize("shuffle", [four_dimensions, five_dimensions, channels_first, gather])
def test_shuffles_of_every_writing_are_gone(kind, shuffle):
    before = units(kind, shuffle, 3)
    after = flatbuffer.changed(before, fold_shuffles)
    assert not any(input_shapes(after, name) for name in ("TRANSPOSE", "GATHER", "RESHAPE"))
    for found, expected in zip(outputs(after), outputs(before), strict=True):
        np.testing.assert_allclose(found, expected, atol=0 if kind == "int8" else 1e-5)
        assert np.std(expected) > 0.5


def test_no_concatenation_has_more_inputs_than_xnnpack_takes():
    before = units("int8", four_dimensions, 8)
    after = flatbuffer.changed(before, fold_shuffles)
    graph = flatbuffer.Graph(flatbuffer.read(after))
    joined = [len(op.inputs) for op in graph.operators if graph.name(op) == "CONCATENATION"]
    assert not input_shapes(after, "TRANSPOSE") and max(joined) == MOST_JOINED
    assert all(np.array_equal(*pair) for pair in zip(outputs(after), outputs(before), strict=True))


def test_a_dense_convolution_makes_the_channels_of_a_grouped_one_in_their_order():
    graph = BuiltGraph((1, 6, 5, 8))
    x = graph.depthwise(graph.convolution(graph.input, 12))
    before = graph.written(graph.convolution(four_dimensions(graph, x), 6, groups=3))
    after = flatbuffer.changed(before, fold_shuffles)
    assert not input_shapes(after, "TRANSPOSE")
    assert np.array_equal(outputs(after), outputs(before))


def test_shuffled_channels_that_are_read_whole_and_in_parts():
    """Slices that two convolutions share stand before both; a dense convolution keeps its order for the others."""
    for groups in (1, 3):
        graph = BuiltGraph((1, 6, 5, 8))
        shuffled = four_dimensions(graph, graph.convolution(graph.input, 24))
        first, second = graph.channels(shuffled, 0, 12), graph.channels(shuffled, 12, 24)
        whole = graph.convolution(shuffled, 6, groups)
        last = graph.convolution(first, 5)
        before = graph.written(graph.convolution(second, 5), whole, last, graph.convolution(graph.depthwise(first), 3))
        after = flatbuffer.changed(before, fold_shuffles)
        assert bool(input_shapes(after, "TRANSPOSE")) == (groups > 1)
        assert all(np.array_equal(*pair) for pair in zip(outputs(after), outputs(before), strict=True))


def test_what_needs_channels_in_their_order_keeps_its_shuffle():
    def graphs():
        for name in ("an output", "a grouped convolution", "an addition"):
            graph = BuiltGraph((1, 6, 5, 12))
            x = graph.convolution(graph.input, 12, groups=3)
            shuffled = four_dimensions(graph, x)
            if name == "an output":
                yield graph.written(graph.convolution(shuffled, 5), shuffled)
            elif name == "an addition":
                yield graph.written(graph.apply("ADD", [x, shuffled], graph.shape(x), 2))
            else:
                yield graph.written(graph.convolution(shuffled, 6, groups=2))

    for before in graphs():
        assert flatbuffer.changed(before, fold_shuffles) == before and input_shapes(before, "TRANSPOSE")


def test_nothing_unused_stays_in_the_file():
    model = flatbuffer.read(flatbuffer.changed(units("float32", five_dimensions, 3), fold_shuffles))
    graph = model.subgraphs[0]
    used = {int(t) for operator in graph.operators for t in (*operator.inputs, *operator.outputs)}
    assert used == set(range(len(graph.tensors)))
    held = {tensor.buffer for tensor in graph.tensors}
    assert all(buffer.data is None or number in held for number, buffer in enumerate(model.buffers))
