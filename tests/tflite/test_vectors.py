"""Statistics and correctness by vectors.json; test_site_in_chromium.py asks the page, VectorsTest.kt the app."""

import json
from pathlib import Path

import numpy as np
import pytest

from keras_mobilenets.pixels.batches import to_input
from keras_mobilenets.pixels.scaling import PixelScaling
from keras_mobilenets.tflite.bundles.boxes import tables
from keras_mobilenets.tflite.measurement.evaluation import max_abs_err
from keras_mobilenets.tflite.measurement.latency import drift, statistics
from keras_mobilenets.tflite.runtime.model import dequantized
from keras_mobilenets.training.tasks.detection.average_precision import average_precision
from keras_mobilenets.training.tasks.detection.suppression import Found

VECTORS = json.loads(Path(__file__).with_name("vectors.json").read_text())


@pytest.mark.parametrize("vector", VECTORS["statistics"])
def test_durations_have_these_sums(vector):
    assert statistics(vector["nanoseconds"]) == vector["figures"]
    assert drift(vector["nanoseconds"]) == vector["drift"]


@pytest.mark.parametrize("vector", VECTORS["inputs"])
def test_pixels_become_these_values(vector):
    spec, channels = vector["spec"], len(vector["values"])
    scaling = PixelScaling(tuple(map(float, spec["mean"])), tuple(map(float, spec["std"])), "")
    images = np.repeat(np.array(vector["pixels"], np.uint8).reshape(1, 1, -1, 1), 3, axis=-1)
    made = to_input(images, scaling, spec["dtype"], (spec["scale"], spec["zero_point"]))
    np.testing.assert_allclose(made[0, 0, :, :channels].T, vector["values"], rtol=1e-6)


def test_stored_scores_are_these_values():
    for vector in VECTORS["scores"]:
        stored, spec = np.array(vector["stored"], vector["spec"]["dtype"]), vector["spec"]
        assert dequantized(stored, spec["scale"], spec["zero_point"]).tolist() == vector["values"]


def test_answers_differ_by_this_much():
    for vector in VECTORS["probes"]:
        if vector["max_abs_err"] is not None:
            answers, host = np.array(vector["answers"], np.float32), np.array(vector["host"], np.float32)
            assert max_abs_err(answers, host) == vector["max_abs_err"]
            assert (answers.argmax(1) != host.argmax(1)).sum() == vector["wrong"]


@pytest.mark.parametrize("vector", VECTORS["boxes"])
def test_boxes_have_pycocotools_precision(vector):
    rows = [np.array(boxes, np.float32).reshape(-1, 6) for boxes in vector["found"]]
    found = [Found(each[:, :4], each[:, 5], each[:, 4].astype(np.int64)) for each in rows]
    precision = average_precision(tables(vector["truth"]), found, vector["classes"], (64, 64))
    for name in ("map", "map50"):
        assert getattr(precision, name) == pytest.approx(
            vector[name] if vector[name] is not None else np.nan, nan_ok=True
        )
