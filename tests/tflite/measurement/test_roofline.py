"""The convolution that models are held against: that it computes what its name says, and what rows say of it."""

import numpy as np
import pytest

from keras_mobilenets import tflite
from keras_mobilenets.tflite.graph.macs import file_macs
from keras_mobilenets.tflite.measurement.latency import with_macs
from keras_mobilenets.tflite.measurement.roofline import DTYPES, SHAPES, best_convolution, convolution
from keras_mobilenets.tflite.results.results import Row, dtype_of
from keras_mobilenets.tflite.runtime.interpreter import open_model

FAST = {"warmup_runs": 2, "warmup_seconds": 0, "min_runs": 20, "min_seconds": 0}


def test_it_is_the_convolution_of_numpy(tmp_path):
    rng = np.random.default_rng(0)
    weights = rng.integers(-127, 128, (16, 1, 1, 16)).reshape(16, 16)  # the same draw as the file's
    (tmp_path / "f.tflite").write_bytes(convolution(4, 16, "float32"))
    image = np.random.default_rng(1).normal(size=(1, 4, 4, 16)).astype(np.float32)
    result = open_model(tmp_path / "f.tflite").run(image)
    np.testing.assert_allclose(result, image @ (weights.T / 127).astype(np.float32), atol=1e-5)

    (tmp_path / "q.tflite").write_bytes(convolution(4, 16, "int8"))
    image = np.random.default_rng(1).integers(-128, 128, (1, 4, 4, 16)).astype(np.int8)
    result = open_model(tmp_path / "q.tflite").run(image)
    exact = image.astype(int) @ weights.T * 0.02 * 0.01
    np.testing.assert_allclose(result, np.clip(exact, -128, 127), atol=1)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_best_convolution_is_fully_delegated_to_xnnpack_and_removed_afterwards(dtype):
    with best_convolution(dtype) as path:
        assert file_macs(path) in {side * side * channels * channels for side, channels in SHAPES}
        assert open_model(path).delegation() == (1, 1, 1)
    assert not path.exists()


def test_no_model_is_much_faster_than_the_best_convolution(tflite_files):
    rows = tflite.benchmark([tflite_files["float32"], tflite_files["int8"]], limit=True, **FAST)
    for row in rows:
        assert row.gmacs_per_s == pytest.approx(row.macs / row.median_ms / 1e6, rel=0.02)
        assert 0 < row.limit_share < 1.2


def test_the_limit_is_one_of_the_numbers_a_model_multiplies_in():
    kinds = [dtype_of(quantization) for quantization in ("none", "float16", "dynamic", "int8")]
    assert kinds == ["float32", "float32", "int8", "int8"]


def test_rates_are_of_the_model_not_of_what_a_converter_added():
    row = Row("m", macs=400, median_ms=1.0, gmacs_per_s=0.4, limit_share=0.2)
    assert with_macs(row, 300) == Row("m", macs=300, median_ms=1.0, gmacs_per_s=0.3, limit_share=0.15)
    assert with_macs(row, None) == row
