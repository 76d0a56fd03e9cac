"""int8 models with blocks in float, chosen by what they bring and cost."""

import keras
import networks
import numpy as np
import pytest
from networks import coloured_noise

import keras_mobilenets as km
from keras_mobilenets import tflite
from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.conversion.float_graph import float_graph
from keras_mobilenets.tflite.conversion.mixed_precision import trade_off
from keras_mobilenets.tflite.conversion.quantization.calibration import calibrate
from keras_mobilenets.tflite.conversion.quantization.quantizer import quantized
from keras_mobilenets.tflite.graph.layer_names import float_layers
from keras_mobilenets.tflite.runtime.stopwatch import least_times

SIZE = 32


@pytest.fixture(scope="module")
def images():
    return coloured_noise(40, SIZE)


@pytest.fixture(scope="module")
def uneven():
    return networks.uneven(SIZE)


@pytest.fixture(scope="module")
def calibrated(uneven, images):
    values = [km.preprocess_input(images).astype(np.float32)]
    return calibrate(float_graph(uneven, for_int8=True).content, values), values


def test_the_layers_that_read_and_write_the_large_channel_go_first(calibrated):
    content, values = calibrated
    found = trade_off(content, values, quantized, min_sqnr=30)
    first, *_, last = found.points
    assert first.blocks == ()
    assert set(found.points[1].blocks) <= {"b", "c"}
    assert {"b", "c"} <= set(last.blocks)  # an activation is in float where both its ends are
    assert len(last.blocks) < 5
    assert last.sqnr_db >= 30 > found.points[-2].sqnr_db
    assert first.sqnr_db < 15


def test_no_time_to_spend_leaves_all_in_int8(calibrated):
    content, values = calibrated
    found = trade_off(content, values, quantized, max_slowdown=1.0)
    assert [point.blocks for point in found.points] == [()]
    assert found.tensors == ()


def test_convert_buys_accuracy(uneven, images, tmp_path):
    settings = {"quantize": "int8", "calibration": images, "target": "xnnpack"}
    mixed = tflite.convert(uneven, tmp_path / "mixed.tflite", leave_in_float="auto", min_sqnr=30, **settings)
    assert {"b", "c"} <= set(float_layers(mixed.read_bytes()))
    assert tflite.inspect(mixed).operators  # it runs


def test_a_larger_image_takes_longer():
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, keras.layers.Conv2D(16, 3, activation="relu")(inputs))
    small, large = (float_graph(model, "none", (size, size, 3)).content for size in (32, 128))
    first, second, third = least_times([small, large, small])
    assert max(first, third) < second / 4  # of 16 times the places


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"leave_in_float": "all"}, "how many"),
        ({"max_slowdown": 1.2}, "are for leave_in_float"),
        ({"leave_in_float": "auto", "max_slowdown": 0.9}, "1 or more"),
        ({"leave_in_float": "auto", "min_sqnr": -3}, "decibels"),
    ],
)
def test_what_does_not_go_together_is_refused(uneven, images, tmp_path, given, says):
    with pytest.raises(UserError, match=says):
        tflite.convert(uneven, tmp_path / "m.tflite", quantize="int8", calibration=images, **given)
