"""The Android demo's core on the JVM: its own tests, and a real bundle end to end through another TensorFlow Lite."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from keras_mobilenets import tflite
from keras_mobilenets.tflite.results import environment, write_results

DEMO = Path(__file__).resolve().parents[2] / "android_demo"

pytestmark = pytest.mark.skipif(not shutil.which("mvn"), reason="the JVM tests need Maven: apt install maven")


@pytest.fixture(scope="module")
def bundle(tflite_files, pixels, tmp_path_factory):
    labels = tflite.evaluate(tflite_files["float32"], pixels).predictions.argmax(axis=1)
    labels = np.where(np.arange(len(labels)) % 3 == 0, (labels + 1) % 7, labels)  # so that top-1 is neither 0 nor 1
    sources = [tflite_files[name] for name in ("float32", "int8")]
    return tflite.bundle(sources, tmp_path_factory.mktemp("core") / "bundle", images=pixels, labels=labels)


@pytest.fixture(scope="module")
def results(bundle):
    (DEMO / "core/target/results.json").unlink(missing_ok=True)
    command = ["mvn", "-q", "-B", "-C", "-f", DEMO / "pom.xml", "-pl", "core", "test", f"-Dbundle={bundle}"]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout[-4000:]
    return tflite.read_results(DEMO / "core/target/results.json")


def test_the_core_gives_the_host_s_top1_on_every_model(results, bundle):
    from keras_mobilenets.tflite.manifest import read_bundle

    models = {model.name: model for model in read_bundle(bundle).models}
    assert {row.model for row in results.rows} == set(models)
    for row in results.rows:
        assert row.status == "ok"
        assert 0 < row.top1 < 1
        assert row.top1 == models[row.model].host_top1
        assert row.max_abs_err <= max(models[row.model].output.scale, 1e-4) * 1.01


def test_the_report_shows_the_core_s_results_beside_the_host_s(results, tmp_path, tflite_files):
    paths = [tflite_files[name] for name in ("float32", "int8")]
    host, phone = tmp_path / "host", tmp_path / "phone"
    rows = tflite.benchmark(paths, warmup_seconds=0.01, min_runs=20, min_seconds=0.01)
    write_results(host / "results.json", rows, environment(paths))
    write_results(phone / "results.json", results.rows, results.environment)
    page = tflite.report([host, phone]).read_text()
    assert "JVM host" in page
