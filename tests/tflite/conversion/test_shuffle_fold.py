"""Channel shuffles folded into weights, against the same networks with their shuffles."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from networks import answers, randomize

import keras_mobilenets as km
from keras_mobilenets import tflite
from keras_mobilenets.tflite.conversion import target_rewriter
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.runtime.interpreter import open_model


class Shuffle(layers.Layer):
    """As most code has it: five dimensions."""

    def call(self, x):
        height, width, channels = x.shape[1:]
        x = ops.transpose(ops.reshape(x, (-1, height, width, 2, channels // 2)), (0, 1, 2, 4, 3))
        return ops.reshape(x, (-1, height, width, channels))


class Gather(layers.Layer):
    """The same by indices."""

    def call(self, x):
        return ops.take(x, np.arange(x.shape[-1]).reshape(2, -1).T.ravel(), axis=-1)


class ChannelsFirst(layers.Layer):
    """As code has it that comes from PyTorch."""

    def call(self, x):
        height, width, channels = x.shape[1:]
        x = ops.reshape(ops.transpose(x, (0, 3, 1, 2)), (-1, 2, channels // 2, height, width))
        x = ops.reshape(ops.transpose(x, (0, 2, 1, 3, 4)), (-1, channels, height, width))
        return ops.transpose(x, (0, 2, 3, 1))


def units(shuffle):
    """Two units of ShuffleNetV2 between convolutions, with a shuffle of other people's."""
    keras.utils.set_random_seed(0)
    x = image = keras.Input((12, 10, 3))
    x = layers.Conv2D(20, 3, padding="same", activation="relu")(x)
    for _ in range(2):
        first, second = km.blocks.channel_split(x, name=f"split_{len(x.name)}")
        second = layers.Conv2D(10, 1, activation="relu")(second)
        x = shuffle()(layers.Concatenate()([first, second]))
    x = layers.DepthwiseConv2D(3, 2, "same", activation="relu6")(x)
    x = layers.GlobalAveragePooling2D()(layers.MaxPooling2D(2)(x))
    return randomize(keras.Model(image, layers.Dense(5)(x)))


def plain(model, path, monkeypatch, **how):
    """The file with its shuffles."""
    with monkeypatch.context() as patch:
        patch.setattr(target_rewriter, "fold_shuffles", lambda content: content)
        return tflite.convert(model, path, **how)


def counts(path):
    return dict(tflite.inspect(path).operator_counts)


def images(model, count=2):
    return np.random.default_rng(0).uniform(-1, 1, (count, *model.input_shape[1:])).astype(np.float32)


@pytest.mark.parametrize("shuffle", [Shuffle, Gather, ChannelsFirst])
def test_shuffles_of_every_writing_are_gone(shuffle, tmp_path):
    model = units(shuffle)
    path = tflite.convert(model, tmp_path / "m.tflite")
    found, expected = open_model(path).run(images(model)[:1]), answers(model, images(model)[:1])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.std(expected) > 0.01
    assert not {"TRANSPOSE", "GATHER", "RESHAPE"} & set(counts(path))


def test_shufflenet_v2_has_no_shuffle_and_gives_the_same_int8_answers(tmp_path, monkeypatch):
    model = randomize(km.ShuffleNetV2((64, 64, 3), 0.25, classes=5))
    how = {"quantize": "int8", "calibration": images(model, 8), "calibration_method": "minmax", "target": "litert"}
    before = plain(model, tmp_path / "plain.tflite", monkeypatch, **how)
    after = tflite.convert(model, tmp_path / "folded.tflite", **how)
    assert counts(before)["TRANSPOSE"] == 16
    assert "TRANSPOSE" not in counts(after) and tflite.inspect(after).partitions == 1
    for pixels in np.random.default_rng(0).integers(-128, 128, (4, 1, 64, 64, 3)).astype(np.int8):
        expected = np.asarray(open_model(before).run(pixels))
        assert np.array_equal(open_model(after).run(pixels), expected)
    assert np.std(expected) > 1


def test_what_needs_channels_in_their_order_keeps_its_shuffle(tmp_path):
    x = image = keras.Input((8, 8, 12))
    x = layers.Conv2D(12, 1)(x)
    shuffled = km.blocks.channel_shuffle(x, 3, name="shuffle")
    for name, output in {
        "an addition": layers.Add()([x, shuffled]),
        "a grouped convolution": layers.Conv2D(12, 1, groups=3)(shuffled),
        "the output": shuffled,
    }.items():
        model = randomize(keras.Model(image, layers.Activation("relu")(output) if name == "an addition" else output))
        path = tflite.convert(model, tmp_path / "m.tflite")
        assert counts(path)["TRANSPOSE"] == 1, name
        np.testing.assert_allclose(
            open_model(path).run(images(model)[:1]), answers(model, images(model)[:1]), atol=1e-5
        )


def test_nothing_unused_stays_in_the_file(tmp_path):
    model = flatbuffer.read(tflite.convert(units(Shuffle), tmp_path / "m.tflite").read_bytes())
    graph = model.subgraphs[0]
    used = {int(t) for operator in graph.operators for t in (*operator.inputs, *operator.outputs)}
    assert used | {int(t) for t in graph.inputs} == set(range(len(graph.tensors)))
    held = {tensor.buffer for tensor in graph.tensors} | {each.buffer for each in model.metadata}
    assert all(buffer.data is None or number in held for number, buffer in enumerate(model.buffers))
