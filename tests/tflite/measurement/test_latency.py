"""Latency figures: their arithmetic against NumPy and statistics, and the measurement itself on small models."""

import statistics as stdlib
import time

import numpy as np
import pytest

from keras_mobilenets import tflite
from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.measurement.latency import drift, statistics
from keras_mobilenets.tflite.runtime.interpreter import cold_start, open_model

FAST = {"warmup_runs": 3, "warmup_seconds": 0, "min_runs": 25, "min_seconds": 0}


@pytest.fixture(scope="module")
def rows(tflite_files):
    return tflite.benchmark([tflite_files[name] for name in ("float32", "int8", "dynamic")], **FAST)


def test_figures_equal_numpy_and_the_standard_library():
    times = np.random.default_rng(0).integers(800_000, 9_000_000, 101)
    figures = statistics(times.tolist())
    ms = times / 1e6
    for share in (5, 90, 95):
        assert figures[f"p{share}_ms"] == pytest.approx(np.percentile(ms, share), abs=1e-4)
    assert figures["median_ms"] == pytest.approx(stdlib.median(ms), abs=1e-4)
    assert figures["avg_ms"] == pytest.approx(stdlib.fmean(ms), abs=1e-4)
    assert figures["stddev_ms"] == pytest.approx(stdlib.pstdev(ms), abs=1e-4)
    assert (figures["min_ms"], figures["max_ms"]) == (
        pytest.approx(ms.min(), abs=1e-4),
        pytest.approx(ms.max(), abs=1e-4),
    )


def test_one_run_has_all_figures_and_no_spread():
    figures = statistics([2_000_000])
    assert figures.pop("stddev_ms") == 0
    assert set(figures.values()) == {2.0}


def test_each_model_gets_a_row_in_order_with_ordered_figures(rows, tflite_files):
    assert [row.model for row in rows] == ["float32", "int8", "dynamic"]
    assert [row.quantization for row in rows] == ["none", "int8", "dynamic"]
    for row in rows:
        assert 0 < row.min_ms <= row.p5_ms <= row.median_ms <= row.p90_ms <= row.p95_ms <= row.max_ms
        assert row.num_runs >= 25 and row.num_warmup_runs == 3 and row.threads == 1
        assert row.init_ms > 0 and row.first_inference_ms > 0 and row.status == "ok"
        assert row.model_size_mb == pytest.approx(tflite_files[row.model].stat().st_size / 1e6)


def test_operators_delegated_to_xnnpack_are_counted(rows):
    # Two convolutions, a depthwise one, the mean, the dense layer and the softmax; XNNPACK has no int8 softmax.
    assert [(row.nodes_total, row.nodes_delegated, row.partitions) for row in rows[:2]] == [(6, 6, 1), (6, 5, 1)]
    assert {row.backend for row in rows} == {"xnnpack"}


def test_minimum_seconds_and_warmup_seconds_add_runs(tflite_files):
    (row,) = tflite.benchmark(
        tflite_files["float32"], warmup_runs=1, warmup_seconds=0.05, min_runs=1, min_seconds=0.1, max_seconds=5
    )
    assert row.num_runs * row.avg_ms > 99  # 100, but for the rounding of avg_ms
    assert row.num_warmup_runs > 1


def test_a_model_of_microseconds_takes_the_time_it_is_asked_for(tmp_path):
    import keras
    import tensorflow as tf

    model = keras.Sequential([keras.Input((4,), batch_size=1), keras.layers.Dense(3)])
    path = tmp_path / "tiny.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    open_model(path)  # starts the process that tries files
    start = time.perf_counter()
    (row,) = tflite.benchmark(path, warmup_seconds=0.5, min_seconds=1)
    assert 1.5 < time.perf_counter() - start < 6  # half a second more for the cold start, on a machine that is not busy
    assert row.num_runs * row.avg_ms > 900 and row.num_runs > 10_000


def test_maximum_seconds_end_a_long_measurement(tflite_files):
    (row,) = tflite.benchmark(
        tflite_files["float32"], min_runs=10**6, max_seconds=0.01, warmup_runs=0, warmup_seconds=0
    )
    assert row.num_runs < 10_000


def test_latency_tells_a_slower_model_from_a_faster_one(tmp_path, tflite_files):
    import keras
    import tensorflow as tf

    inputs = keras.Input(batch_shape=(1, 96, 96, 3))
    outputs = keras.layers.Conv2D(64, 3)(keras.layers.Conv2D(64, 3)(inputs))
    (tmp_path / "slow.tflite").write_bytes(
        tf.lite.TFLiteConverter.from_keras_model(keras.Model(inputs, outputs)).convert()
    )
    slow, fast = tflite.benchmark([tmp_path / "slow.tflite", tflite_files["float32"]], **FAST)
    assert slow.median_ms > 10 * fast.median_ms
    assert slow.peak_mem_mb is None or slow.peak_mem_mb > 64 * 94 * 94 * 4 / 1e6  # at least its one large tensor


def test_threads_reach_the_row(tflite_files):
    (row,) = tflite.benchmark(tflite_files["float32"], threads=2, **FAST)
    assert row.threads == 2


def test_several_numbers_of_threads_give_rows_of_their_own(tflite_files):
    rows = tflite.benchmark([tflite_files["float32"], tflite_files["int8"]], threads=[2, 1, 2], **FAST)
    assert [(row.model, row.threads) for row in rows] == [("float32", 2), ("int8", 2), ("float32", 1), ("int8", 1)]


def test_drift_is_that_of_the_last_third_over_the_first():
    assert drift([100] * 30) == 0
    assert drift([100] * 10 + [900] * 10 + [150] * 10) == pytest.approx(0.5)
    assert drift([200] * 10 + [100] * 11) == pytest.approx(-0.5)
    assert drift([100, 100, 9000, 100, 100, 100, 9000, 100, 100]) == 0  # one interruption is no drift
    assert drift([1, 2, 3]) is None


def test_a_row_that_had_not_settled_is_marked_and_explained():
    from keras_mobilenets.tflite.results.tables import notes

    steady, moving = (tflite.Row("m", "int8", median_ms=1.5, drift=d) for d in (0.04, -0.2))
    assert "~1.50" in tflite.markdown([moving]) and "~" not in tflite.markdown([steady])
    assert notes([steady]) == []
    assert "m by -20%" in notes([steady, moving])[0]


@pytest.mark.parametrize(
    "wrong",
    [{"threads": 0}, {"threads": []}, {"threads": [1, 0]}, {"min_runs": 0}, {"max_seconds": 0}, {"warmup_seconds": -1}],
)
def test_settings_out_of_range_are_refused(tflite_files, wrong):
    with pytest.raises(UserError):
        tflite.benchmark(tflite_files["float32"], **wrong)
    with pytest.raises(UserError):
        tflite.benchmark([])


def test_a_file_that_crashes_the_runtime_is_an_error_not_a_crash(tflite_files, tmp_path, monkeypatch):
    crash = tmp_path / "keras_mobilenets" / "tflite"
    crash.mkdir(parents=True)
    for folder in (crash.parent, crash):
        (folder / "__init__.py").touch()
    (crash / "runtime.py").write_text("import os; os.abort()")
    monkeypatch.chdir(tmp_path)  # `python -m` looks here first, so the child runs the crashing stand-in
    with pytest.raises(UserError, match="crashes the runtime"):
        cold_start(tflite_files["float32"])


def test_a_model_is_open_with_the_threads_asked_for(tflite_files):
    with pytest.raises(UserError, match="threads is 0"):
        open_model(tflite_files["float32"], threads=0)
