"""The profile by operator: that it names the operators of the file and that their times make up the whole."""

import pytest

import keras_mobilenets as km
from keras_mobilenets import tflite
from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.measurement import profiler


@pytest.fixture(scope="module")
def profiles(tflite_files):
    return {name: tflite.profile(tflite_files[name], runs=20) for name in ("float32", "int8")}


@pytest.mark.parametrize("name", ["float32", "int8"])
def test_every_operator_with_multiply_adds_is_named(profiles, tflite_files, keras_model, name):
    counted = [op for op in profiles[name].operators if op.macs]
    names = [op.name for op in tflite.inspect(tflite_files[name]).operators]
    assert [op.name for op in counted] == ["CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D", "FULLY_CONNECTED"]
    assert all(names[op.index] == op.name for op in counted)
    assert sum(op.macs for op in counted) == km.cost(keras_model).macs
    assert [op.shape for op in counted] == [(1, 16, 16, 8), (1, 16, 16, 8), (1, 16, 16, 160), (1, 7)]


def test_an_operator_left_to_the_cpu_is_there_too(profiles):
    assert profiles["int8"].operators[-1].kernel == "SOFTMAX"  # XNNPACK has none in int8
    assert profiles["float32"].operators[-1].kernel.startswith("Softmax")


def test_operators_make_up_no_more_than_the_whole(tmp_path):
    from keras_mobilenets.tflite.measurement.roofline import convolution

    (tmp_path / "one.tflite").write_bytes(convolution(28, 256, "float32"))
    found = tflite.profile(tmp_path / "one.tflite", runs=20)
    assert 0.4 * found.whole_ms < found.operators_ms <= found.whole_ms
    ((kind, (number, ms, macs)),) = found.by_kind().items()
    assert (kind, number, macs) == ("CONV_2D", 1, 28 * 28 * 256 * 256)
    assert ms == found.operators_ms


def test_the_page_names_the_slowest_and_the_sum(profiles):
    page = str(profiles["float32"])
    assert "CONV_2D" in page and "1×16×16×160" in page and "without the profiler" in page


def test_what_cannot_be_profiled_is_an_error_of_one_line(tflite_files, tmp_path, monkeypatch):
    (tmp_path / "m.tflite").write_text("no model at all")
    with pytest.raises(UserError, match="TFL3"):
        tflite.profile(tmp_path / "m.tflite")
    with pytest.raises(UserError, match="runs is 0"):
        tflite.profile(tflite_files["int8"], runs=0)
    monkeypatch.setattr(profiler, "LONGEST", 0.01)
    with pytest.raises(UserError, match="fewer runs"):
        tflite.profile(tflite_files["int8"])
