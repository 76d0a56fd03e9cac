"""Forms of grouped convolutions and of the shuffles between them, against the operators they replace."""

import warnings

import numpy as np
import pytest
from built_graphs import BuiltGraph, input_shapes, outputs

from keras_mobilenets import tflite
from keras_mobilenets.tflite.conversion.target_rewriter import rewrite
from keras_mobilenets.tflite.targets.operator_forms import Forms


def shuffle(graph, x, groups):
    _, height, width, channels = graph.shape(x)
    x = graph.transpose(graph.reshape(x, 1, height * width, groups, channels // groups), 0, 1, 3, 2)
    return graph.reshape(x, 1, height, width, channels)


def unit(channels, groups, order):
    """Two grouped convolutions around a shuffle and a depthwise convolution, as in the paper or as in megvii's code."""
    graph = BuiltGraph((1, 6, 5, channels))
    x = graph.convolution(graph.input, channels, groups)
    if order == "paper":
        x = graph.depthwise(shuffle(graph, x, groups))
    else:
        x = shuffle(graph, graph.depthwise(x), channels // groups)
    return graph.written(graph.convolution(x, 2 * channels, groups))


@pytest.mark.parametrize("order", ["paper", "megvii"])
@pytest.mark.parametrize(
    ("channels", "groups", "padded", "word"),
    [(60, 3, 72, 4), (48, 2, 48, 4), (24, 2, 24, 3), (192, 8, 192, 3), (64, 4, 64, 4), (50, 2, 52, 13)],
)
def test_channels_move_between_groups_several_at_once(channels, groups, padded, word, order):
    before = unit(channels, groups, order)
    after = rewrite(before, Forms(per_channel_dense=True, shuffle="runs"))
    assert [shape[-1] for shape in input_shapes(after, "TRANSPOSE")] == [word]
    assert [shape[-1] for shape in input_shapes(after, "CONV_2D")] == [channels, padded]
    assert np.array_equal(outputs(after), outputs(before))
    assert np.std(outputs(before)) > 1


def test_where_too_many_channels_would_be_zero_they_move_one_by_one():
    before = unit(96, 8, "megvii")
    after = rewrite(before, Forms(per_channel_dense=True, shuffle="runs"))
    assert [shape[-1] for shape in input_shapes(after, "CONV_2D")] == [96, 96]
    assert np.array_equal(outputs(after), outputs(before))


@pytest.mark.parametrize(("channels", "groups", "filled"), [(30, 3, 36), (68, 4, 80), (24, 2, 24), (9, 3, 9)])
def test_groups_are_filled_to_a_multiple_of_four(channels, groups, filled):
    graph = BuiltGraph((1, 6, 5, 16))
    x = graph.depthwise(graph.convolution(graph.input, channels))
    before = graph.written(graph.convolution(x, 12, groups))
    after = rewrite(before, Forms(per_channel_dense=True, fill_groups=True))
    assert [shape[-1] for shape in input_shapes(after, "CONV_2D")] == [16, filled]
    assert np.array_equal(outputs(after), outputs(before))


def test_nnapi_takes_grouped_convolutions(tmp_path):
    before = unit(24, 2, "megvii")
    (tmp_path / "before.tflite").write_bytes(before)
    (tmp_path / "after.tflite").write_bytes(rewrite(before, Forms(per_channel_dense=False, conv_version=5)))
    assert not tflite.check_nnapi(tmp_path / "before.tflite").ok
    assert tflite.check_nnapi(tmp_path / "after.tflite").ok


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ShuffleNetV1", "ShuffleNetV2"])
def test_shufflenets_are_one_partition_on_every_target(name, tmp_path):
    from networks import randomize

    import keras_mobilenets as km

    model = randomize(km.create_model(name, input_shape=(64, 64, 3), width=0.25, classes=5))
    images = np.random.default_rng(0).uniform(-1, 1, (8, 64, 64, 3)).astype(np.float32)
    how = {"quantize": "int8", "calibration": images, "calibration_method": "minmax"}
    with warnings.catch_warnings(action="error", category=tflite.TargetWarning):
        for target in ("litert", "gpu", "nnapi"):
            path = tflite.convert(model, tmp_path / f"{target}.tflite", target=target, **how)
            taken = {"litert": tflite.inspect(path).partitions == 1, "gpu": tflite.check_gpu(path).ok}
            assert taken.get(target, tflite.check_nnapi(path).ok)
            transposes = input_shapes(path.read_bytes(), "TRANSPOSE")
            assert len(transposes) == (15 if name == "ShuffleNetV1" else 0)  # that behind a dense convolution is gone
