"""Training of an int8 model against the float one."""

import re

import keras
import numpy as np
import pytest
from networks import coloured_noise, randomize

import keras_mobilenets as km
from keras_mobilenets import tflite
from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.conversion.float_graph import float_graph
from keras_mobilenets.tflite.conversion.output_error import sqnr_db, without_softmax
from keras_mobilenets.tflite.conversion.quantization.calibration import calibrate
from keras_mobilenets.tflite.conversion.quantization.correction import distillation
from keras_mobilenets.tflite.conversion.quantization.correction.fake_quantization import FakeQuantized
from keras_mobilenets.tflite.conversion.quantization.quantizer import quantized
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.runtime.activations import outputs

SIZE = 32


def images_of(seed, count):
    return km.preprocess_input(coloured_noise(count, SIZE, seed)).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return randomize(km.MobileNetV3Small((SIZE, SIZE, 3), 0.35, classes=10))


@pytest.fixture(scope="module")
def network(model):
    """Float, calibrated and int8 files."""
    floats = float_graph(model, for_int8=True).content
    calibrated = calibrate(floats, [images_of(0, 48)])
    return floats, calibrated, quantized(calibrated)


def errors(floats, int8, values):
    """What the files say before a softmax, and the SQNR of the second in dB."""
    expected, found = (outputs(without_softmax(content), [values]) for content in (floats, int8))
    return expected, found, sqnr_db(expected, found)


def last_activation(content):
    """The tensor before the softmax."""
    graph = flatbuffer.read(without_softmax(content)).subgraphs[0]
    return graph.tensors[graph.outputs[0]]


def test_fake_quantization_answers_as_int8_does(network):
    floats, calibrated, int8 = network
    values = images_of(1, 16)
    expected, found, error = errors(floats, int8, values)
    fake = [array.numpy() for array in FakeQuantized(calibrated, int8)([values])]
    (step,), _ = flatbuffer.scales(last_activation(int8))
    assert np.abs(found[0] - fake[0]).max() < 2.5 * step  # rounding of sums differs by a step at times
    assert sqnr_db(expected, fake) == pytest.approx(error, abs=1.5)


def test_weights_that_were_not_trained_are_written_as_they_were(network):
    _, calibrated, int8 = network
    values = images_of(1, 4)
    same = FakeQuantized(calibrated, int8).write()
    assert np.array_equal(outputs(same, [values]), outputs(int8, [values]))


def test_training_brings_the_int8_file_closer_to_the_float_model(network, monkeypatch):
    floats, calibrated, int8 = network
    monkeypatch.setattr(distillation, "STEPS", 60)
    teacher = without_softmax(floats)
    trained = distillation.distil(calibrated, int8, lambda given: outputs(teacher, given), [images_of(0, 48)])
    unseen = images_of(1, 48)
    assert errors(floats, trained, unseen)[2] > errors(floats, int8, unseen)[2] + 0.3
    before, after = (flatbuffer.read(content).subgraphs[0].tensors for content in (int8, trained))
    assert [flatbuffer.scales(tensor) for tensor in before] == [flatbuffer.scales(tensor) for tensor in after]


def test_what_cannot_be_trained_through_is_named():
    inputs = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Conv2D(4, 3, activation="tanh", name="first")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x)))
    calibrated = calibrate(float_graph(model, for_int8=True).content, [images_of(0, 4)])
    with pytest.raises(UserError, match="TANH"):
        FakeQuantized(calibrated, quantized(calibrated))


@pytest.mark.slow
def test_high_effort_is_no_worse_than_the_default_on_images_kept_back(model, monkeypatch, tmp_path):
    monkeypatch.setattr(distillation, "STEPS", 60)
    said = []
    for effort in ("default", "high"):
        path = tflite.convert(
            model, tmp_path / "m.tflite", quantize="int8", calibration=images_of(0, 64), effort=effort, pixels="-1..1"
        )
        said.append(float(re.search(r"SQNR ([\d.]+) dB", flatbuffer.description(path.read_bytes()))[1]))
    assert said[1] >= said[0]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"effort": "most"}, "low, default, high"),
        ({"effort": "high", "equalize": True}, "is for calibration_method"),
        ({"effort": "high", "calibration": images_of(0, 8)}, "64 calibration images"),
        ({"effort": "high", "quantize": "none"}, "int8 model"),
    ],
)
def test_effort_that_cannot_be_made_is_refused(model, tmp_path, given, says):
    settings = {"quantize": "int8", "calibration": images_of(0, 64), "pixels": "-1..1"} | given
    with pytest.raises(UserError, match=says):
        tflite.convert(model, tmp_path / "m.tflite", **settings)
