"""Run folders and a phone's results.json, as the tests of the report use them."""

import dataclasses
import html
import json
import re
from pathlib import Path

import numpy as np

from keras_mobilenets import tflite
from keras_mobilenets.tflite.results.results import Row, environment
from keras_mobilenets.training.evaluation.examination import Examination

PHONE = Path(__file__).parent / "tflite" / "phone_results.json"
CLASSES = ["circle", "square", "<b>star</b>"]
HISTORY = "epoch,accuracy,loss,val_accuracy,val_loss,learning_rate\n0,0.5,1.2,0.4,1.4,0.01\n1,0.8,0.6,0.75,0.7,0.001\n"
FIGURES = {"backend": "xnnpack", "threads": 1, "num_runs": 100, "p5_ms": 0.9, "p95_ms": 2.5}
HOSTILE = '"><script>window.hacked = 1</script><img src=x onerror=hacked()>$\\frac{'


def make_run(folder):
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 3
    right = np.eye(3)[labels] * 0.8 + 0.1 / 1.5
    int8 = right.copy()
    int8[5] = np.roll(int8[5], 1)  # here alone the two models differ
    folder.mkdir(parents=True)
    images = rng.integers(0, 256, (40, 24, 24, 3), dtype=np.uint8)
    tflite.save_predictions(folder / "predictions.npz", images, labels, CLASSES, {"m_float32": right, "m_int8": int8})
    rows = [
        Row("MobileNetV2 0.5", "none", model_size_mb=4.0, top1=0.95, median_ms=2.0, p90_ms=2.2, **FIGURES),
        Row("MobileNetV2 0.5", "int8", model_size_mb=1.0, top1=0.94, median_ms=1.0, p90_ms=1.1, **FIGURES),
        Row("MobileNetV2 0.5", "int8", backend="nnapi", status="failed", error="no accelerator takes <ADD>"),
    ]
    tflite.write_results(folder / "results.json", rows, environment())
    (folder / "run.json").write_text(json.dumps({"model": "MobileNetV2", "recipe": {"epochs": 2, "seed": None}}))
    (folder / "history.csv").write_text(HISTORY)
    examination(CLASSES).save(folder / "examination.npz")
    return folder


def examination(class_names, wrong=7):
    """Of 20 images of each class, the second is predicted as the first so many times, the others are right."""
    confusion = 20 * np.eye(len(class_names), dtype=np.int64)
    confusion[1, :2] = wrong, 20 - wrong
    images = np.random.default_rng(1).integers(0, 256, (wrong, 16, 16, 3), dtype=np.uint8)
    answers = np.ones(wrong, np.int64), np.zeros(wrong, np.int64), np.linspace(0.99, 0.51, wrong, dtype=np.float32)
    return Examination(tuple(class_names), "validation", confusion, images, *answers, heat=images[..., 0])


def compressed_rows():
    """A model by every road, four of them within 1% of each other's latency."""
    rows = [
        ("float32", "none", None, 2.57, 0.938, 0.387),
        ("float16", "float16", None, 1.28, 0.938, 0.381),
        ("int8", "int8", None, 0.77, 0.9365, 0.302),
        ("qat_int8", "int8", "qat", 0.77, 0.939, 0.301),
        ("prune_int8", "int8", "prune", 0.43, 0.931, 0.300),
        ("pqat_int8", "int8", "pqat", 0.42, 0.9325, 0.303),
        ("channels_int8", "int8", "channels", 0.38, 0.921, 0.180),
    ]
    return [
        Row(
            f"mobilenetv2_0.5_{ending}", quantization, compression=compression, gzip_size_mb=gzip, sparsity=0.5,
            top1=top1, model_size_mb=2 * gzip, **FIGURES | {"p5_ms": ms, "median_ms": ms, "p90_ms": ms},
        )
        for ending, quantization, compression, gzip, top1, ms in rows
    ]  # fmt: skip


def host_beside_phone(folder, digest=None):
    """A run whose two files the phone of `PHONE` has measured too, unless their SHA-256 is another."""
    files = json.loads(PHONE.read_text(encoding="utf-8"))["environment"]["model_sha256"]
    figures = FIGURES | {"macs": 7_837_440, "nodes_total": 65, "nodes_delegated": 65, "partitions": 1}
    rows = [
        Row("mobilenetv2_0.5_float32", "none", model_size_mb=2.81, top1=0.945, median_ms=0.345, **figures),
        Row("mobilenetv2_0.5_int8", "int8", model_size_mb=0.99, top1=0.947, median_ms=0.368, **figures),
    ]
    where = environment() | {"device": "x86_64 host", "model_sha256": {name: digest or files[name] for name in files}}
    tflite.write_results(folder / "results.json", rows, where)
    return folder


def layer_errors():
    """Thirty layers as layer_errors.json has them, one of them without an error."""
    noise = np.random.default_rng(0).normal(30, 6, 30)
    return [
        {
            "index": i,
            "operator": "CONV_2D",
            "layer": f"block_{i}",
            "sqnr_db": None if i == 3 else round(float(db), 3),
            "cosine": 0.999,
        }
        for i, db in enumerate(noise)
    ]


def trade_off():
    """A record of a conversion with blocks in float, as run.json has it."""
    points = [([], 1.0, 19.1, 0.86), (["block_0"], 1.04, 19.6, 0.87), (["block_13", "block_14"], 1.11, 21.2, 0.9)]
    names = ("blocks", "slowdown", "sqnr_db", "same_class")
    rows = [dict(zip(names, point, strict=True)) for point in points]
    return {"m_int8.tflite": {"quantize": "int8", "found": {"int8": "int8, by budget", "trade_off": rows}}}


def hostile_run(folder):
    """A run in which every name that a file can bring is an attempt at markup."""
    content = json.loads(PHONE.read_text())
    content["environment"] |= {"device": HOSTILE, "soc": HOSTILE, "model_sha256": {f"{HOSTILE}.tflite": "0" * 64}}
    for row in content["rows"]:
        row |= {"model": HOSTILE, "top1": 0.5, "macs": row["threads"], "accelerator": HOSTILE, "thermal_end": HOSTILE}
        row["error"] = HOSTILE
    content["rows"][0]["backend"] = HOSTILE
    estimate = Row(HOSTILE, "int8", HOSTILE, estimated=True, memory={HOSTILE: 1}, system=HOSTILE)
    content["rows"] += map(dataclasses.asdict, (estimate, estimate.with_(status="failed", error=HOSTILE)))
    folder.mkdir()
    (folder / "results.json").write_text(json.dumps(content))
    point = {"blocks": [HOSTILE], "slowdown": 1.0, "sqnr_db": 20.0, "same_class": 0.9}
    curve = {f"{HOSTILE}.tflite": {"found": {"trade_off": [point, point | {"blocks": [HOSTILE, "b"]}]}}}
    (folder / "run.json").write_text(json.dumps({HOSTILE: HOSTILE, "convert": curve}))
    line = {"index": 0, "operator": HOSTILE, "layer": HOSTILE, "sqnr_db": 30.0, "cosine": None}
    (folder / "layer_errors.json").write_text(json.dumps({HOSTILE: [line]}))
    examination([HOSTILE, HOSTILE], wrong=1).save(folder / "examination.npz")
    return folder


def words(fragment):
    """The text of a piece of a page."""
    return html.unescape(" ".join(re.sub(r"<[^>]*>", " ", fragment).split()))
