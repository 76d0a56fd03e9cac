"""16-bit activations with 8-bit weights: against the float model, the stock converter's 16x8 mode, and the refusals."""

import keras
import numpy as np
import pytest
from networks import answers, randomize

import keras_mobilenets as km
from keras_mobilenets import tflite
from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.conversion.float_graph import float_graph
from keras_mobilenets.tflite.conversion.quantization.int16_activations import with_hard_swish_in_parts
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.runtime.activations import outputs
from keras_mobilenets.tflite.runtime.interpreter import open_model


@pytest.fixture(scope="module")
def mobile():
    """A MobileNetV3 with every operator of the family."""
    keras.utils.set_random_seed(0)
    return randomize(km.MobileNetV3Small((32, 32, 3), 0.35, classes=10), kernels=True)


@pytest.fixture(scope="module")
def path(mobile, pixels, tmp_path_factory):
    return wide(mobile, tmp_path_factory.mktemp("int16") / "m.tflite", pixels)


def sqnr(found, expected):
    return 10 * np.log10((expected**2).sum() / ((found - expected) ** 2).sum())


def wide(model, path, images):
    return tflite.convert(model, path, quantize="int16x8", calibration=images, target="qualcomm")


@pytest.mark.slow
def test_answers_are_ten_decibels_nearer_to_float_than_those_of_int8(mobile, path, pixels, tmp_path):
    floats = answers(mobile, pixels / 127.5 - 1)
    narrow = tflite.convert(
        mobile, tmp_path / "8.tflite", quantize="int8", effort="low", calibration=pixels, target="qualcomm"
    )
    ours, theirs = (sqnr(tflite.evaluate(file, pixels).predictions, floats) for file in (path, narrow))
    assert ours > theirs + 10


def test_the_file_is_int16_throughout_and_has_no_operator_that_lacks_it(path):
    found = tflite.inspect(path)
    assert {found.inputs[0].dtype, found.outputs[0].dtype} == {"int16"}
    assert {tensor.dtype for op in found.operators for tensor in op.outputs} == {"int16"}
    assert not {"HARD_SWISH", "DEPTHWISE_CONV_2D", "QUANTIZE"} & set(found.operator_counts)
    assert open_model(path).quantization() == "int16x8"


def test_it_answers_as_the_stock_converters_16x8_mode_does(keras_model, pixels, tmp_path):
    import tensorflow as tf

    images = pixels.astype(np.float32) / 127.5 - 1
    converter = tf.lite.TFLiteConverter.from_keras_model(keras_model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[None]] for image in images)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8]
    stock = tmp_path / "stock.tflite"
    stock.write_bytes(converter.convert())
    path = wide(keras_model, tmp_path / "m.tflite", pixels)
    floats = answers(keras_model, images)
    ours, theirs = (tflite.evaluate(p, pixels).predictions for p in (path, stock))
    assert np.abs(ours - floats).max() <= max(2 * np.abs(theirs - floats).max(), 1e-3)


def test_hard_swish_in_parts_computes_the_same(mobile, pixels):
    content = float_graph(mobile).content
    parts = with_hard_swish_in_parts(content)
    graph = flatbuffer.Graph(flatbuffer.read(parts))
    assert "HARD_SWISH" not in {graph.name(operator) for operator in graph.operators}
    images = (pixels[:8] / 127.5 - 1).astype(np.float32)
    np.testing.assert_allclose(outputs(parts, [images])[0], outputs(content, [images])[0], atol=1e-5)


@pytest.mark.parametrize("target", ["litert", "nnapi", "xnnpack", "gpu"])
def test_targets_that_do_not_take_it_are_refused(keras_model, pixels, tmp_path, target):
    with pytest.raises(UserError, match=r'is for target="qualcomm", not'):
        tflite.convert(keras_model, tmp_path / "m.tflite", quantize="int16x8", calibration=pixels, target=target)


def test_what_does_not_go_together_is_refused(keras_model, pixels, tmp_path):
    with pytest.raises(UserError, match=r'"int16x8" needs calibration='):
        wide(keras_model, tmp_path / "m.tflite", None)
    with pytest.raises(UserError, match="io_dtype"):
        tflite.convert(
            *(keras_model, tmp_path / "m.tflite"),
            quantize="int16x8", calibration=pixels, target="qualcomm", io_dtype="uint8",
        )  # fmt: skip


def test_an_operator_without_int16_is_named(pixels, tmp_path):
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.LeakyReLU()(keras.layers.Conv2D(8, 3, strides=2)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(7)(keras.layers.GlobalAveragePooling2D()(x)))
    with pytest.raises(UserError, match=r"no LEAKY_RELU of 16-bit activations"):
        wide(model, tmp_path / "m.tflite", pixels)
