"""int8 models with blocks in float, chosen by what they bring and cost."""

import itertools

import keras
import networks
import numpy as np
import pytest
from networks import answers, coloured_noise

import keras_mobilenets as km
from keras_mobilenets import tflite
from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.conversion.block_chain import best_runs
from keras_mobilenets.tflite.conversion.float_graph import float_graph
from keras_mobilenets.tflite.conversion.forms.attached_curve import attached
from keras_mobilenets.tflite.conversion.mixed_precision import trade_off
from keras_mobilenets.tflite.conversion.quantization.activation_noise import activation_noise
from keras_mobilenets.tflite.conversion.quantization.calibration import calibrate
from keras_mobilenets.tflite.conversion.quantization.quantizer import quantized
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.graph.layer_names import float_layers
from keras_mobilenets.tflite.runtime.stopwatch import thread_times

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
    settings = {"quantize": "int8", "effort": "low", "calibration": images, "target": "xnnpack"}
    mixed = tflite.convert(uneven, tmp_path / "mixed.tflite", leave_in_float="auto", min_sqnr=30, **settings)
    assert {"b", "c"} <= set(float_layers(mixed.read_bytes()))
    assert tflite.inspect(mixed).operators  # it runs
    points = attached(mixed.read_bytes())
    assert points[0]["blocks"] == [] and {"b", "c"} <= set(points[-1]["blocks"])
    assert f"{', '.join(points[-1]['blocks'])} in float" in flatbuffer.description(mixed.read_bytes())
    everything = tflite.convert(uneven, tmp_path / "int8.tflite", **settings)
    assert attached(everything.read_bytes()) == []


def test_the_curve_begins_with_what_the_default_gives(uneven, tmp_path):
    """Of 72 images every fourth is kept back from calibration: scales and integers are those of the others alone."""
    images = coloured_noise(72, SIZE, seed=1)
    settings = {"quantize": "int8", "calibration": images, "target": "xnnpack"}
    mixed = tflite.convert(uneven, tmp_path / "mixed.tflite", leave_in_float="auto", min_sqnr=60, **settings)
    whole = tflite.convert(uneven, tmp_path / "int8.tflite", **settings)
    expected = answers(uneven, km.preprocess_input(images[-64:]))
    found = tflite.evaluate(whole, images[-64:]).predictions
    sqnr = 10 * np.log10((expected**2).sum() / ((found - expected) ** 2).sum())
    first, *_, last = attached(mixed.read_bytes())
    assert first["sqnr_db"] == pytest.approx(sqnr, abs=0.2)
    assert last["sqnr_db"] > sqnr + 3


def test_the_noise_of_an_activation_is_that_of_rounding_it(images):
    inputs = keras.Input((SIZE, SIZE, 3))
    first = keras.layers.Conv2D(6, 3, activation="relu6")(inputs)
    last = keras.layers.Conv2D(4, 3)(first)
    model, front = keras.Model(inputs, last), keras.Model(inputs, first)
    rear = keras.Model(first, last)
    values = km.preprocess_input(images[:8]).astype(np.float32)
    content = calibrate(float_graph(model, for_int8=True).content, [values], "minmax")
    (found,) = activation_noise(content, [values]).values()
    given = answers(front, values)
    step = given.max() / 255
    expected, rounded = answers(rear, given), answers(rear, np.rint(given / step) * step)
    assert found == pytest.approx(((rounded - expected) ** 2).sum() / (expected**2).sum(), rel=0.02)


def test_runs_of_blocks_are_the_best_for_the_budget():
    """Against all subsets of six blocks; what passes from block to block is saved and removed within a run alone."""
    rng = np.random.default_rng(0)
    for _ in range(10):
        alone, shared, noise, passed = (rng.uniform(0.02, 1, size=(6,)) for _ in range(4))
        runs = list(itertools.combinations(range(7), 2))
        costs, removed = np.zeros((6, 6)), np.zeros((6, 6))
        for first, end in runs:
            inside = slice(first, end - 1)
            costs[first, end - 1] = alone[first:end].sum() - 0.02 * shared[inside].sum()
            removed[first, end - 1] = noise[first:end].sum() + passed[inside].sum()
        best = 0.0
        for chosen in itertools.product([0, 1], repeat=6):
            places = [
                [p for p, _ in group] for key, group in itertools.groupby(enumerate(chosen), lambda x: x[1]) if key
            ]
            cost, value = (sum(table[run[0], run[-1]] for run in places) for table in (costs, removed))
            best = max(best, value if cost <= 1.5 else 0.0)
        found = best_runs(costs, removed, 1.5)
        assert sum(costs[run] for run in found) <= 1.5
        assert sum(removed[run] for run in found) >= 0.97 * best  # costs are rounded up to a hundredth of the budget


def test_a_larger_image_takes_longer():
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, keras.layers.Conv2D(16, 3, activation="relu")(inputs))
    small, large = (float_graph(model, "none", (size, size, 3)).content for size in (32, 128))
    first, second, third = thread_times([small, large, small])
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
