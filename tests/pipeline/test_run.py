"""`pipeline.Run` from Python: a run folder as the command line would fill it."""

import json
import shutil
import subprocess
import sys

import pytest

from keras_mobilenets import UserError, pipeline
from keras_mobilenets.cli import main
from keras_mobilenets.pipeline.compression import KINDS, usual_epochs
from keras_mobilenets.pipeline.estimates import asked_targets
from keras_mobilenets.tflite.targets.accelerators import micro
from keras_mobilenets.training import load_model

NETWORK = "MobileNetV1", {"alpha": 0.25}
OPTIONS = ["--alpha", "0.25", "--size", "32", "--batch-size", "8", "--epochs", "1"]


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory):
    """A run that is filled from Python, and the lines that it announced."""
    run, lines = pipeline.Run(tmp_path_factory.mktemp("runs") / "small"), []
    asked = {"data": str(photos), "image_size": 32, "batch_size": 8, "changes": {"epochs": 1}}
    outcome = run.pipeline(
        *NETWORK, compress={"ptq": None}, quantize=["float32"], calibration=3, announce=lines.append, **asked
    )
    assert outcome.page == run.folder / "report.html" and outcome.page.exists()
    return run, outcome.rows, lines


needs_micro = pytest.mark.skipif(not micro.ENVIRONMENT.is_ready(), reason=micro.ENVIRONMENT.missing())


@needs_micro
def test_targets_are_asked_at_the_end(run, photos, tmp_path):
    copy, lines = pipeline.Run(tmp_path / "copy"), []
    shutil.copytree(run[0].folder, copy.folder)
    outcome = copy.pipeline(
        *NETWORK,
        compress={"ptq": None},
        quantize=["float32"],
        calibration=8,
        on=["micro"],
        announce=lines.append,
        data=str(photos),
        image_size=32,
        batch_size=8,
        changes={"epochs": 1},
    )
    *measured, whole, small = outcome.rows
    assert len(measured) == 2 and (whole.backend, small.backend) == ("micro", "micro")
    assert 0 < small.memory["arena"] < whole.memory["arena"] and "micro" in outcome.page.read_text()
    assert lines[-3:-1] == ["5/6 ask micro", "6/6 report"]
    assert lines[-1].startswith(
        "mobilenetv1_0.25_int8.tflite on micro: answers bit for bit as the reference kernels, on"
    )


def test_what_hears_is_asked_of_microcontrollers_where_that_is_installed(monkeypatch, tmp_path):
    ready = micro.ENVIRONMENT.is_ready()
    assert asked_targets(None, "recording") == ((["micro"], []) if ready else ([], [micro.ENVIRONMENT.missing()]))
    assert asked_targets(None, "image") == asked_targets([], "recording") == ([], [])
    monkeypatch.setenv("KERAS_MOBILENETS_TARGETS", str(tmp_path))
    targets, (line,) = asked_targets(None, "recording")
    assert not targets and line.endswith("keras-mobilenets targets --install micro")
    with pytest.raises(UserError, match="--install micro"):
        asked_targets(["micro"], "image")


def times(folder):
    """When each file was written, but .lock, which names its last holder, and the page."""
    spared = (".lock", "report.html")
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and path.name not in spared}


def test_it_is_filled_and_says_what_it_does(run, photos, capsys):
    run, rows, lines = run
    assert [row.quantization for row in rows] == ["none", "int8"] and all(row.median_ms > 0 for row in rows)
    data = run.data()
    images, labels = data.images("test")
    answers = load_model(run.model_file).predict(data.test, verbose=0)  # Keras's own
    assert rows[0].top1 == pytest.approx((answers.argmax(axis=1) == labels).mean()) and len(images) == len(answers)
    assert lines[0] == f"1/5 train MobileNetV1 on {photos} at 32 px into {run.folder}"
    assert [line.split()[1] for line in lines] == ["train", "convert", "evaluate", "benchmark", "report"]
    assert capsys.readouterr().out == ""


def test_the_command_line_finds_it_up_to_date(run, photos, capsys):
    run, _, _ = run
    before = times(run.folder)
    command = [
        "pipeline",
        "MobileNetV1",
        *OPTIONS,
        "--data",
        str(photos),
        "--run",
        str(run.folder),
        "--calibration",
        "3",
    ]
    assert main([*command, "--quantize", "float32", "int8"]) == 0
    assert times(run.folder) == before
    assert "int8" in capsys.readouterr().out


def test_each_step_alone(run, photos, tmp_path):
    run, rows, _ = run
    before = times(run.folder)
    assert run.train(*NETWORK, data=str(photos), image_size=32, batch_size=8, changes={"epochs": 1}) == run.model_file
    assert run.convert(["float32", "int8"], 3, equalize=False) == run.tflite_files()
    assert [row.top1 for row in run.evaluate()] == [row.top1 for row in rows]
    assert [row.median_ms for row in run.benchmark()] == [row.median_ms for row in rows]
    assert times(run.folder) == before
    assert run.report(tmp_path / "page.html").stat().st_size > 10_000
    (errors,) = run.layer_errors(limit=2)
    assert str(errors).count("block_13") > 0
    (run.folder / "layer_errors.json").unlink()
    (found,) = run.explain([photos / "red" / "0.png"], out=tmp_path)
    assert found.picture.exists() and sum(found.shares.values()) == pytest.approx(1, abs=1e-4)


def test_a_compression_asked_in_fewer_words_is_the_same(run, tmp_path):
    run, _, _ = run
    copy = pipeline.Run(tmp_path / "copy")
    shutil.copytree(run.folder, copy.folder)
    made = copy.folder / "qat" / "model.keras"
    made.parent.mkdir()
    made.write_bytes(b"of before")
    recipe = json.loads((copy.folder / "run.json").read_text())["recipe"]
    changed = {"epochs": 1, "learning_rate": 0.1 * recipe["learning_rate"], "warmup_epochs": 0.1}
    digest = json.loads((copy.folder / "run.json").read_text())["convert"][copy.tflite_files()[0].name]["model_sha256"]
    record = {"kind": "qat", "model_sha256": digest, "options": {}, "recipe": recipe | changed}
    (made.parent / "run.json").write_text(json.dumps(record))
    assert copy.compress("qat", {"left_in_float": [], "freeze_batch_norm_after": None, "distil": True}) == made
    assert made.read_bytes() == b"of before"
    with pytest.raises(UserError, match="other arguments; delete it"):
        copy.compress("qat", {"distil": False})


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda run: run.compress("qot"), "'qot' is none of qat"),
        (lambda run: run.pipeline(*NETWORK, compress={"half": 1}), "'half' is none of ptq"),
        (lambda run: run.train(*NETWORK, freeze=2), "freeze and head_epochs go with weights"),
        (lambda run: run.train(*NETWORK, recipe="modrn"), "unknown recipe 'modrn'"),
        (lambda run: run.convert(), "holds no model.keras"),
        (lambda run: run.explain(["a.png"]), "holds no model.keras"),
        (lambda run: pipeline.trained_zoo(run.folder, ["VGG16"]), "choose of StandardConvNet"),
    ],
)
def test_what_cannot_be_is_refused(call, says, tmp_path):
    with pytest.raises(UserError, match=says):
        call(pipeline.Run(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_the_import_is_light():
    code = (
        "import sys; from keras_mobilenets import pipeline; pipeline.Run('x'); "
        "print({'keras', 'numpy'} & {*sys.modules})"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


@pytest.mark.parametrize(
    ("images", "trained", "kind", "epochs"),
    [
        (8000, 20, "prune", 3),
        (10**6, 90, "channels", 3),
        (1437, 20, "channels", 18),  # 396 steps of 22, where 3 epochs of 8,000 images are 375
        (1437, 20, "qat", 6),
        (1437, 8, "prune", 8),  # no longer than the training
        (1437, 1, "prune", 3),
        (20, 20, "prune", 20),
    ],
)
def test_small_data_give_a_compression_more_epochs(tmp_path, images, trained, kind, epochs):
    run = pipeline.Run(tmp_path)
    run.record("data", {"train_images": images, "batch_size": 64})
    run.record("recipe", {"epochs": trained})
    assert usual_epochs(run, kind) == epochs
    (tmp_path / kind).mkdir()
    (tmp_path / kind / "run.json").write_text(json.dumps({"recipe": {"epochs": KINDS[kind].epochs}}))
    assert usual_epochs(run, kind) == KINDS[kind].epochs  # of an earlier version
