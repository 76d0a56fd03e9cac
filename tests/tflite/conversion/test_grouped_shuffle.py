"""Forms of grouped convolutions and of the shuffles between them, against the operators they replace."""

import dataclasses
import warnings

import keras
import numpy as np
import pytest
from keras import layers
from networks import randomize

import keras_mobilenets as km
from keras_mobilenets import tflite
from keras_mobilenets.tflite.conversion.target_rewriter import rewrite
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.runtime.interpreter import open_model
from keras_mobilenets.tflite.targets.operator_forms import FORMS, Forms

NATIVE = Forms(per_channel_dense=True)


def network(size, channels, groups, swapped):
    """Two grouped convolutions around a shuffle, before the depthwise convolution as in the paper, or behind it."""
    keras.utils.set_random_seed(0)
    x = image = keras.Input((size, size, 3))
    x = layers.Conv2D(channels, 3, 2, "same", activation="relu")(x)
    x = km.blocks.conv_bn(x, channels, 1, groups=groups, activation="relu", name="reduce")
    if swapped:
        x = km.blocks.channel_shuffle(x, groups, name="shuffle")
    x = km.blocks.depthwise_bn(x, activation=None, name="depthwise")
    if not swapped:
        x = km.blocks.channel_shuffle(x, channels // groups, name="shuffle")
    x = km.blocks.conv_bn(x, 2 * channels, 1, groups=groups, activation="relu", name="expand")
    return randomize(keras.Model(image, layers.Dense(5)(layers.GlobalAveragePooling2D()(x))))


def int8(model, path, target="qualcomm"):
    images = np.random.default_rng(0).uniform(-1, 1, (8, *model.input_shape[1:])).astype(np.float32)
    with warnings.catch_warnings(action="ignore", category=tflite.TargetWarning):
        return tflite.convert(
            model, path, quantize="int8", calibration=images, calibration_method="minmax", target=target
        )


def answers(content, path, count=3):
    path.write_bytes(content)
    model = open_model(path)
    shape = flatbuffer.Graph(flatbuffer.read(content)).shape(0)
    pixels = np.random.default_rng(0).integers(-128, 128, (count, *shape)).astype(np.int8)
    return np.array([model.run(each) for each in pixels]).astype(int)


def shapes(content, name):
    graph = flatbuffer.Graph(flatbuffer.read(content))
    return [graph.shape(int(op.inputs[0])) for op in graph.operators if graph.name(op) == name]


@pytest.mark.parametrize(
    ("channels", "groups", "words"),
    [
        (60, 3, 4),
        *(pytest.param(*row, marks=pytest.mark.slow) for row in ((48, 2, 4), (24, 2, 3), (192, 8, 3), (12, 3, 1))),
    ],
)
def test_channels_move_between_groups_several_at_once(channels, groups, words, tmp_path):
    for swapped in (False, True):
        before = int8(network(16, channels, groups, swapped), tmp_path / "m.tflite").read_bytes()
        after = rewrite(before, dataclasses.replace(NATIVE, shuffle="runs"))
        assert len(shapes(before, "TRANSPOSE")) == len(shapes(after, "TRANSPOSE")) == 1
        assert (shapes(after, "TRANSPOSE")[0][-1] == words) == (words > 1)
        expected = answers(before, tmp_path / "before.tflite")
        assert np.std(expected) > 1
        assert np.array_equal(answers(after, tmp_path / "after.tflite"), expected)


def test_shufflenet_is_one_partition_and_gives_what_its_plain_operators_give(tmp_path):
    model = randomize(km.ShuffleNetV1((64, 64, 3), 0.5, classes=5))
    before = int8(model, tmp_path / "m.tflite").read_bytes()
    expected = answers(before, tmp_path / "before.tflite")
    assert np.std(expected) > 1
    for forms in (FORMS["litert"], FORMS["gpu"]):
        after = rewrite(before, dataclasses.replace(forms, per_channel_dense=True, average_pool="native"))
        assert np.array_equal(answers(after, tmp_path / "after.tflite"), expected)
        assert tflite.check_gpu(tmp_path / "after.tflite").ok  # groups of no multiple of four it computes wrongly
    pooled = rewrite(before, FORMS["litert"])
    assert abs(answers(pooled, tmp_path / "pooled.tflite") - expected).max() <= 2
    assert tflite.inspect(tmp_path / "pooled.tflite").partitions == 1
    assert max(shape[-1] for shape in shapes(pooled, "TRANSPOSE")) == 4
    assert tflite.check_nnapi(int8(model, tmp_path / "nnapi.tflite", "nnapi")).ok
