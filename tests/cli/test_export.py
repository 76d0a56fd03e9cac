"""`export` of a run, from its training on."""

import json

import pytest

from keras_mobilenets.cli import main

for package in ("onnxruntime", "tf2onnx"):
    pytest.importorskip(package, reason="needs the extra onnx")


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory):
    """A run folder with its float32 and int8 files."""
    folder = tmp_path_factory.mktemp("runs") / "demo"
    how = ["--alpha", "0.35", "--size", "32", "--epochs", "1", "--batch-size", "8", "--data", str(photos)]
    assert main(["train", "MobileNetV3Small", *how, "--run", str(folder)]) == 0
    assert main(["convert", str(folder), "--quantize", "float32", "int8", "--calibration", "3"]) == 0
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "made"),
    [
        (["onnx", "--nchw", "--dynamic-batch"], ["float32.onnx", "int8.onnx"]),
        (["openvino", "--nchw"], ["float32.xml", "int8.xml"]),
        (["tensorrt"], ["float32_fp16.tensorrt", "int8.tensorrt"]),
        (["tensorrt", "--precision", "int8", "--nchw"], ["int8.tensorrt"]),
        (["tensorrt", "--precision", "fp16"], ["float32_fp16.tensorrt"]),
        (["model-explorer"], [f"int8_{kind}.json" for kind in ("latency", "sqnr", "sensitivity", "on_xnnpack")]),
    ],
    ids=lambda value: "-".join(value),
)
def test_a_run_is_exported_in_every_format(options, made, run, capsys):
    if "openvino" in options:
        pytest.importorskip("openvino", reason="needs the extra openvino")

    assert main(["export", str(run), "--format", *options]) == 0

    files = [line for line in capsys.readouterr().out.splitlines() if not line.endswith(".engine")]
    stem = json.loads((run / "run.json").read_text())["model"]["name"]
    assert [line.rpartition("/")[2] for line in files] == [f"{stem}_{name}" for name in made]


@pytest.mark.slow
def test_a_run_without_an_int8_file_is_calibrated_on_its_data(run, capsys, tmp_path):
    for file in run.iterdir():
        if file.name in ("run.json", "model.keras") or file.name.endswith("float32.tflite"):
            (tmp_path / file.name).write_bytes(file.read_bytes())

    assert main(["export", str(tmp_path), "--format", "tensorrt", "--precision", "int8"]) == 0

    (folder,) = tmp_path.glob("*.tensorrt")
    assert len((folder / "calibration.cache").read_text().splitlines()) > 50
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--format", "onnx", "--precision", "fp16"], "precision and calibration go with tensorrt"),
        (["--format", "onnx", "--out", "elsewhere"], "--out and --calibration go with files"),
        (["--format", "torch"], "invalid choice: 'torch'"),
    ],
)
def test_what_does_not_go_together_is_one_line(options, says, tmp_path, capsys):
    (tmp_path / "m_float32.tflite").write_bytes(b"")
    try:
        code = main(["export", str(tmp_path), *options])
    except SystemExit as stopped:  # argparse
        code = stopped.code

    assert code == 2 and says in capsys.readouterr().err.splitlines()[-1]
    assert [file.name for file in tmp_path.iterdir()] == ["m_float32.tflite"]


def test_files_of_one_name_do_not_overwrite_each_other(tmp_path, capsys):
    sources = [str(tmp_path / folder / "m.tflite") for folder in "ab"]

    assert main(["export", *sources, "--out", str(tmp_path / "out")]) == 2

    assert capsys.readouterr().err.endswith("b/m.tflite has the name of another file: give each an --out of its own\n")
    assert not list(tmp_path.iterdir())
