"""`pipeline` and the steps one by one, in a run folder that is filled once."""

import hashlib
import json
import os
from pathlib import Path

import pytest
from command_line import one_line

from keras_mobilenets.cli import main
from keras_mobilenets.training import load_data

PIPELINE = ["--alpha", "0.35", "--size", "32", "--epochs", "2", "--batch-size", "8", "--calibration", "3"]


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory):
    """A run folder that `pipeline` has filled."""
    folder = tmp_path_factory.mktemp("runs") / "demo"
    command = ["pipeline", "MobileNetV1", *PIPELINE, "--data", str(photos), "--run", str(folder)]
    assert main(command) == 0
    return folder, command


def test_pipeline_fills_the_run_folder(run):
    folder, _ = run
    stem = "mobilenetv1_0.35"
    names = {path.name for path in folder.iterdir()}
    assert names >= {"run.json", "model.keras", "history.csv", "results.json", "report.html", "predictions.npz"}
    assert names >= {f"{stem}_{quantization}.tflite" for quantization in ("float32", "float16", "int8")}
    rows = json.loads((folder / "results.json").read_text())["rows"]
    assert [row["quantization"] for row in rows] == ["none", "float16", "int8"]
    for row in rows:
        assert 0 <= row["top1"] <= 1
        assert row["median_ms"] > 0
        assert row["parameters"] > 0 and row["macs"] > 0
    assert rows[0]["max_abs_err"] < 1e-4
    asked = json.loads((folder / "run.json").read_text())
    assert asked["train"]["arguments"] == {"alpha": 0.35}
    int8 = asked["convert"][f"{stem}_int8.tflite"]
    assert int8["calibration"] | {"data": ""} == {"data": "", "images": 3, "seed": 0, "split": "train"}
    assert int8["calibration_method"] == "auto" and int8["found"]["float_layers"] == []
    assert int8["found"]["int8"].startswith("int8, ranges by 99.99%")
    data = load_data(asked["data"]["name"], 32)
    images, _ = data.images("train", 3, seed=0)
    assert int8["found"]["images_sha256"] == hashlib.sha256(images.tobytes()).hexdigest()


def test_pipeline_skips_what_is_up_to_date_and_does_again_what_is_not(run, capsys):
    folder, command = run
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert main(command) == 0
    table = capsys.readouterr().out
    assert "int8" in table
    after = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert {name for name in after if after[name] != before[name]} - {".lock"} == {"report.html"}

    int8 = folder / "mobilenetv1_0.35_int8.tflite"
    content = int8.read_bytes()
    int8.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert main(command) == 0
    assert int8.read_bytes() == content
    assert (folder / "mobilenetv1_0.35_float32.tflite").stat().st_mtime_ns == after["mobilenetv1_0.35_float32.tflite"]


def test_a_run_folder_is_not_trained_over_with_other_arguments(run, capsys):
    _, command = run
    train = ["train", *command[1:], "--epochs", "3"]
    position = train.index("--calibration")
    assert main(train[:position] + train[position + 2 :]) == 2
    assert "epochs" in one_line(capsys)


def test_the_steps_one_by_one(run, capsys):
    folder, _ = run
    assert main(["evaluate", str(folder)]) == 0
    assert "top-1" in capsys.readouterr().out
    assert main(["evaluate", str(folder), "--limit", "4"]) == 0
    assert "on 4 images" in capsys.readouterr().out
    assert main(["convert", str(folder), "--quantize", "dynamic"]) == 0
    assert "dynamic.tflite" in capsys.readouterr().out
    assert main(["inspect", str(folder / "mobilenetv1_0.35_int8.tflite"), "--operators", "--nnapi", "30"]) == 0
    printed = capsys.readouterr().out
    assert "DEPTHWISE_CONV_2D ×13" in printed
    assert "SOFTMAX v2: int8 1×2 → int8 1×2" in printed
    assert "API level 30" in printed
    page = folder / "page.html"
    assert main(["report", str(folder), "--out", str(page)]) == 0
    assert page.stat().st_size > 10_000
    (folder / "mobilenetv1_0.35_dynamic.tflite").unlink()


def test_int8_after_training_is_set_recorded_and_compared_with_float(run, capsys):
    folder, _ = run
    path, record = folder / "mobilenetv1_0.35_int8.tflite", folder / "run.json"
    before = path.read_bytes(), record.read_text()
    command = ["convert", str(folder), "--quantize", "int8", "--calibration", "3"]
    try:
        asked = ["--calibration-method", "mse", "--leave-in-float", "stem", "--equalize", "--bias-correction"]
        assert main([*command, *asked]) == 0
        told = json.loads(record.read_text())["convert"][path.name]
        assert told["calibration_method"] == "mse" and told["equalize"] and told["bias_correction"]
        assert told["leave_in_float"] == told["found"]["float_layers"] == ["stem"]
        changed = path.stat().st_mtime_ns
        assert main([*command, *asked]) == 0
        assert path.stat().st_mtime_ns == changed
        assert main([*command, *asked, "--leave-worst", "1"]) == 2
        assert "one of the two" in one_line(capsys)
        assert main([*command, "--leave-in-float", "stemm"]) == 2
        assert "did you mean stem" in one_line(capsys)
        assert main([*command]) == 0
        assert path.read_bytes() == before[0]
        capsys.readouterr()
        assert main(["errors", str(folder), "--limit", "4", "--worst", "3"]) == 0
        assert len(capsys.readouterr().out.splitlines()) == 5
        rows = json.loads((folder / "layer_errors.json").read_text())[path.stem]
        assert len(rows) > 25 and rows[0]["layer"] == "stem"
        assert main(["sensitivity", str(folder), "--limit", "2", "--by", "block"]) == 0
        assert "block_12" in capsys.readouterr().out
    finally:
        path.write_bytes(before[0])
        record.write_text(before[1])
        (folder / "layer_errors.json").unlink(missing_ok=True)


def test_a_keras_file_converts_and_a_loose_tflite_is_timed_and_scored(run, photos, tmp_path, capsys):
    folder, _ = run
    command = ["convert", str(folder / "model.keras"), "--quantize", "int8", "--out", str(tmp_path)]
    assert main(command) == 2
    assert "--data" in one_line(capsys)
    assert main([*command, "--data", str(photos), "--calibration", "3"]) == 0
    path = tmp_path / "model_int8.tflite"
    assert path.read_bytes() == (folder / "mobilenetv1_0.35_int8.tflite").read_bytes()
    assert main(["evaluate", str(path), "--data", str(photos)]) == 0
    assert main(["evaluate", str(path), "--data", str(photos), "--on", "reference"]) == 0
    said = capsys.readouterr().out.splitlines()[-1]
    assert said.startswith(f"{path}: on reference: top-1 ") and "same class as on the CPU" in said
    assert main(["benchmark", str(path)]) == 0
    assert "model_int8" in capsys.readouterr().out
    assert main(["evaluate", str(tmp_path)]) == 2
    assert "names its data" in one_line(capsys)


@pytest.mark.slow
def test_a_student_is_distilled_from_a_run(run, photos, tmp_path, capsys):
    folder, _ = run
    student = ["distill", "MobileNetV1", "--alpha", "0.35", "--teacher", str(folder), "--run", str(tmp_path / "small")]
    options = ["--data", str(photos), "--size", "32", "--epochs", "1", "--batch-size", "8"]
    options += ["--weights", str(folder / "model.keras")]
    options += ["--cached-views", "2", "--cache-file", str(tmp_path / "c.npz")]
    assert main([*student, *options]) == 0
    asked = json.loads((tmp_path / "small" / "run.json").read_text())
    assert asked["weights"] == str(folder / "model.keras")
    assert len(asked["distillation"].pop("teacher_sha256")) == 64
    how = {"temperature": 4.0, "alpha": 0.7, "cached_views": 2}
    assert asked["distillation"] == {"teacher": "mobilenetv1_0.35"} | how
    assert (tmp_path / "c.npz").exists() and not (tmp_path / "small" / "head").exists()
    capsys.readouterr()
    assert main([*student, *options, "--temperature", "0"]) == 2
    assert "temperature=0" in one_line(capsys)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["prune", "{run}", "--sparsity", "1.0"], "sparsity 1.0"),
        (["prune", "{run}", "--macs", "1.5"], "macs"),
        (["prune", "{run}", "--macs", "0.5", "--importance", "size"], "importance"),
        (["prune", "{tmp}"], "is missing"),
        (["qat", "{run}", "--left-in-float", "block_99", "--epochs", "3"], "unknown layer"),
        (["qat", "{tmp}"], "is missing"),
        (["qat", "{run}", "--images", "{tmp}"], "goes with a model file"),
        (["qat", "{run}/model.keras", "--images", "{tmp}", "--epochs", "2", "--keep", "sparsity"], "--keep, --epochs"),
    ],
)
def test_bad_compressions_are_one_line(run, command, says, tmp_path, capsys):
    folder = tmp_path / "copy"
    folder.mkdir()
    for name in ("model.keras", "run.json"):
        (folder / name).write_bytes((run[0] / name).read_bytes())
    assert main([part.format(run=folder, tmp=tmp_path) for part in command]) == 2
    assert says in one_line(capsys)


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/proc/self").exists(), reason="needs /proc to refuse a folder")
def test_an_unwritable_run_folder_is_answered_by_one_line(photos, capsys):
    run = "/proc/self/run" if os.geteuid() == 0 else "/run_of_nobody"  # root may write anywhere else
    assert main(["train", "MobileNetV1", *PIPELINE[:-2], "--data", str(photos), "--run", run]) == 2
    assert "cannot write" in one_line(capsys)


@pytest.mark.slow
def test_a_model_of_open_size_converts_at_the_size_that_is_said(photos, tmp_path, capsys):
    import keras_mobilenets as km
    from keras_mobilenets import tflite

    km.MobileNetV1((None, None, 3), 0.25, classes=3).save(tmp_path / "open.keras")
    command = ["convert", str(tmp_path / "open.keras"), "--quantize", "int8", "--data", str(photos)]
    assert main(command) == 2
    assert "--size" in one_line(capsys)
    assert main([*command, "--size", "48", "--calibration", "4"]) == 0
    assert "1×48×48×3" in str(tflite.inspect(tmp_path / "open_int8.tflite"))
