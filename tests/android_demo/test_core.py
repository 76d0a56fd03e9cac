"""The Android demo's core on the JVM: its own tests, and real bundles end to end through another TensorFlow Lite."""

import os
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
from keras_mobilenets.training.tasks.detection.average_precision import average_precision
from keras_mobilenets.training.tasks.detection.suppression import Found

DEMO = Path(__file__).resolve().parents[2] / "android_demo"

pytestmark = pytest.mark.skipif(not shutil.which("mvn"), reason="the JVM tests need Maven: apt install maven")


@pytest.fixture(scope="module")
def bundle(tflite_files, pixels, tmp_path_factory):
    labels = tflite.evaluate(tflite_files["float32"], pixels).predictions.argmax(axis=1)
    labels = np.where(np.arange(len(labels)) % 3 == 0, (labels + 1) % 7, labels)  # so that top-1 is neither 0 nor 1
    sources = [tflite_files[name] for name in ("float32", "int8")]
    return tflite.bundle(sources, tmp_path_factory.mktemp("core") / "bundle", images=pixels, labels=labels)


@pytest.fixture(scope="module")
def boxes(detector_files, pixels, box_tables, tmp_path_factory):
    """The bundle of a detector."""
    made = tmp_path_factory.mktemp("core") / "boxes"
    return tflite.bundle(list(detector_files.values()), made, images=pixels, labels=box_tables)


@pytest.fixture(scope="module")
def results(bundle, boxes):
    (DEMO / "core/target/results.json").unlink(missing_ok=True)
    command = [
        "mvn",
        "-q",
        "-B",
        "-C",
        "-f",
        DEMO / "pom.xml",
        "-pl",
        "core",
        "test",
        f"-Dbundle={bundle}{os.pathsep}{boxes}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout[-4000:]
    return tflite.read_results(DEMO / "core/target/results.json")


def test_the_core_answers_as_python_with_the_same_kernels(results, bundle):
    """bytedeco's TensorFlow Lite computes int8 with its own kernels and not XNNPACK's: so does Python here."""
    opened = read_bundle(bundle)
    rows = [row for row in results.rows if not row.model.startswith("boxes")]
    assert {row.model for row in rows} == {model.name for model in opened.models}
    for row in rows:
        model = opened.model(row.model)
        top1, error = answers(opened, model)
        assert row.status == "ok"
        assert 0 < top1 < 1
        assert row.top1 == top1
        assert row.max_abs_err == pytest.approx(error, abs=1e-6)


def test_the_core_finds_the_boxes_that_python_does(results, boxes):
    """Precision by pycocotools, and the difference from the host's boxes written anew here."""
    opened = read_bundle(boxes)
    rows = [row for row in results.rows if row.model.startswith("boxes")]
    assert {row.model for row in rows} == {model.name for model in opened.models}
    for row in rows:
        model = opened.model(row.model)
        interpreter = plain_interpreter(opened.folder / model.path)

        def found(values, interpreter=interpreter):
            interpreter.set_tensor(interpreter.get_input_details()[0]["index"], values[None])
            interpreter.invoke()
            return np.concatenate(
                [interpreter.get_tensor(end["index"]).ravel() for end in interpreter.get_output_details()]
            )

        images, tables = opened.pictures(model)
        inputs = to_input(images, MINUS_ONE_TO_ONE, model.input.dtype, (model.input.scale, model.input.zero_point))
        said = [boxes_of(found(values)) for values in inputs]
        precision = average_precision(tables, said, 3, images.shape[1:3])
        assert row.status == "ok" and row.top1 is None
        assert (row.map, row.map50) == pytest.approx((precision.map, precision.map50), abs=1e-9)
        assert 0.05 < row.map < row.map50 < 0.95
        pairs = zip(opened.probe_inputs(model), opened.probe_outputs(model), strict=True)
        error = max(difference(boxes_of(found(values)), boxes_of(host)) for values, host in pairs)
        assert row.max_abs_err == pytest.approx(error, abs=1e-6)


def boxes_of(answer):
    """The boxes of a detector's 601 numbers."""
    last = int(answer[600])
    return Found(
        answer[:400].reshape(100, 4)[:last], answer[500 : 500 + last], answer[400 : 400 + last].astype(np.int64)
    )


def difference(one, other):
    """Of scores by rank, and of the edges of boxes that one side shows."""
    largest = np.abs(np.sort(one.scores)[::-1] - np.sort(other.scores)[::-1]).max()
    for here, there in ((one, other), (other, one)):
        for box, score, label in zip(*here, strict=True):
            same = there.boxes[there.classes == label].astype(np.float64)
            sides = np.maximum(0, np.minimum(box[2:], same[:, 2:]) - np.maximum(box[:2], same[:, :2]))
            both = [np.prod(each[..., 2:] - each[..., :2], axis=-1) for each in (box.astype(np.float64), same)]
            shares = sides.prod(axis=1) / (both[0] + both[1] - sides.prod(axis=1))
            if score >= 0.5:
                gap = np.abs(box - same[shares.argmax()]).max() if len(same) and shares.max() >= 0.5 else score
                largest = max(largest, gap)
    return largest


def plain_interpreter(path):
    """TensorFlow Lite without XNNPACK."""
    resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(str(path), experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    return interpreter


def answers(opened, model):
    """Top-1 and the largest difference from the bundle's probe outputs, without XNNPACK."""
    interpreter = plain_interpreter(opened.folder / model.path)

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
