"""The Android demo's core on the JVM: its own tests, and a real bundle end to end through another TensorFlow Lite."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from keras_mobilenets import tflite
from keras_mobilenets.pixels.batches import to_input
from keras_mobilenets.pixels.scaling import MINUS_ONE_TO_ONE
from keras_mobilenets.tflite.bundles.manifest import read_bundle
from keras_mobilenets.tflite.results.results import environment, write_results

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


def test_the_core_answers_as_python_with_the_same_kernels(results, bundle):
    """bytedeco's TensorFlow Lite computes int8 with its own kernels and not XNNPACK's: so does Python here."""
    opened = read_bundle(bundle)
    assert {row.model for row in results.rows} == {model.name for model in opened.models}
    for row in results.rows:
        model = opened.model(row.model)
        top1, error = answers(opened, model)
        assert row.status == "ok"
        assert 0 < top1 < 1
        assert row.top1 == top1
        assert row.max_abs_err == pytest.approx(error, abs=1e-6)


def answers(opened, model):
    """Top-1 and the largest difference from the bundle's probe outputs, without XNNPACK."""
    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(str(opened.folder / model.path), experimental_op_resolver_type=plain)
    interpreter.allocate_tensors()

    def scores(values):
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], values[None])
        interpreter.invoke()
        raw = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0].astype(np.float32)
        return (raw - model.output.zero_point) * (model.output.scale or 1)

    pairs = zip(opened.probe_inputs(model), opened.probe_outputs(model), strict=True)
    error = max(np.abs(scores(values) - expected).max() for values, expected in pairs)
    images, labels = opened.pictures(model)
    inputs = to_input(images, MINUS_ONE_TO_ONE, model.input.dtype, (model.input.scale, model.input.zero_point))
    return np.mean([scores(values).argmax() for values in inputs] == labels), error


def test_the_report_shows_the_core_s_results_beside_the_host_s(results, tmp_path, tflite_files):
    paths = [tflite_files[name] for name in ("float32", "int8")]
    host, phone = tmp_path / "host", tmp_path / "phone"
    rows = tflite.benchmark(paths, warmup_seconds=0.01, min_runs=20, min_seconds=0.01)
    write_results(host / "results.json", rows, environment(paths))
    write_results(phone / "results.json", results.rows, results.environment)
    page = tflite.report([host, phone]).read_text()
    assert "JVM host" in page
