"""`pipeline --compress`, `qat` and `prune`."""

import json
import re

import numpy as np
import pytest
from command_line import one_line
from PIL import Image

from keras_mobilenets import tflite
from keras_mobilenets.cli import main
from keras_mobilenets.tflite.results.tables import COMPRESSIONS

SMALL = ["--alpha", "0.35", "--size", "32", "--batch-size", "8", "--calibration", "3"]


@pytest.fixture(scope="module", params=[("qat",), ("prune", "pqat", "cluster", "cqat", "channels")], ids=",".join)
def compressed(request, photos, tmp_path_factory):
    """A run folder with some kinds of compression."""
    folder, kinds = tmp_path_factory.mktemp("runs") / "compressed", request.param
    command = ["pipeline", "MobileNetV1", *SMALL, "--epochs", "1", "--data", str(photos), "--run", str(folder)]
    command += ["--quantize", "float32", "--macs", "0.6", "--compress", ",".join(["ptq", *(f"{k}:1" for k in kinds)])]
    assert main(command) == 0
    return folder, kinds, command


@pytest.mark.slow
def test_pipeline_compares_compressions_in_one_table(compressed):
    folder, kinds, _ = compressed
    rows = {row["model"]: row for row in json.loads((folder / "results.json").read_text())["rows"]}
    stem = "mobilenetv1_0.35"
    order = sorted(kinds, key=["qat", "prune", "pqat", "channels", "cluster", "cqat"].index)  # not that of --compress
    assert list(rows) == [f"{stem}_float32", f"{stem}_int8", *(f"{stem}_{kind}_int8" for kind in order)]
    plain, page = rows[f"{stem}_int8"], (folder / "report.html").read_text()
    for row in rows.values():
        assert 0 <= row["top1"] <= 1 and row["median_ms"] > 0 and row["gzip_size_mb"] < row["model_size_mb"]
        assert row["max_abs_err"] < 0.3
    for kind in kinds:
        row = rows[f"{stem}_{kind}_int8"]
        assert row["macs"] == pytest.approx((0.6 if kind == "channels" else 1) * plain["macs"], rel=0.03)
        if kind in ("prune", "pqat"):
            assert row["sparsity"] > 0.65 > plain["sparsity"]
            assert row["gzip_size_mb"] < 0.7 * plain["gzip_size_mb"]
        assert COMPRESSIONS[kind] in page


@pytest.mark.slow
def test_a_quantization_aware_keras_file_converts_as_its_run_does(compressed, tmp_path):
    folder, kinds, _ = compressed
    kind = next(kind for kind in kinds if kind in ("qat", "pqat"))
    data = json.loads((folder / "run.json").read_text())["data"]["name"]
    assert main(["convert", str(folder / kind / "model.keras"), "--out", str(tmp_path), "--data", data]) == 0
    expected = folder / f"mobilenetv1_0.35_{kind}_int8.tflite"
    assert (tmp_path / "model_int8.tflite").read_bytes() == expected.read_bytes()


@pytest.mark.slow
def test_compressions_that_are_there_are_not_made_again(compressed, capsys):
    folder, kinds, command = compressed
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert main(command) == 0
    after = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    changed = {path.name for path in after if after[path] != before.get(path)}
    assert changed - {".lock"} == {"report.html"}  # which names its last holder
    capsys.readouterr()
    verb = {"prune": ["prune", str(folder)], "qat": ["qat", str(folder)]}[kinds[0]]
    assert main([*verb, "--epochs", "2"]) == 2
    assert "other arguments; delete it to start over" in one_line(capsys)


def test_a_model_file_is_trained_for_int8_on_unlabelled_images(keras_model, pixels, tmp_path, capsys):
    """The file says what was chosen; it answers closer to float than plain ranges do."""
    keras_model.save(tmp_path / "mine.keras")
    (tmp_path / "images").mkdir()
    for number, image in enumerate(np.concatenate([pixels, pixels[:, ::-1]])):
        Image.fromarray(image).save(tmp_path / "images" / f"{number}.png")
    assert main(["qat", str(tmp_path / "mine.keras"), "--images", str(tmp_path / "images"), "--pixels", "-1..1"]) == 0
    path = tmp_path / "mine_int8.tflite"
    assert re.search(rf"{path}  int8, .*SQNR \d+\.\d dB .* on \d+ images kept back", capsys.readouterr().err)
    plain = tflite.convert(
        keras_model, tmp_path / "plain.tflite", quantize="int8", calibration=pixels, calibration_method="percentile"
    )
    expected = keras_model.predict(pixels / 127.5 - 1, batch_size=1, verbose=0)
    errors = [np.abs(tflite.evaluate(each, pixels).predictions - expected).mean() for each in (path, plain)]
    assert errors[0] <= 1.05 * errors[1]
