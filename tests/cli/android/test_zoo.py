"""`android zoo`, untrained and trained."""

import numpy as np
import pytest
from command_line import last_line

from keras_mobilenets.cli import main
from keras_mobilenets.tflite import read_bundle


def times(folder):
    """When each file was written, but .lock, which names its last holder."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


@pytest.mark.slow
def test_the_zoo_untrained_is_for_latency(tmp_path, capsys):
    command = ["android", "zoo", "--untrained", "--size", "64", "--classes", "5", "--networks", "MobileNetV3Small"]
    command += ["--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "bundle")]
    assert main(command) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed] == [
        f"mobilenetv3small_{kind}" for kind in ("float32", "float16", "int8")
    ]
    assert all("top-1 unknown" in line for line in printed)
    bundle = read_bundle(tmp_path / "bundle")
    for model in bundle.models:
        assert (model.builder, model.host_top1) == ("MobileNetV3Small", None)
        assert model.parameters > 1_000_000 and model.macs > 1_000_000
        outputs = bundle.probe_outputs(model)
        assert (outputs.max(axis=1) - outputs.min(axis=1) > 0.3).all()  # so that a wrong answer shows
    float32, float16, _ = (bundle.probe_outputs(model) for model in bundle.models)
    assert 0 < np.abs(float32 - float16).max() < 0.25
    before = times(tmp_path / "runs")
    assert main(command) == 0
    assert times(tmp_path / "runs") == before
    capsys.readouterr()
    assert main([*command, "--size", "32"]) == 2
    assert "network with size 64, not 32" in last_line(capsys)
    assert main([*command[:-4], "VGG16", *command[-4:]]) == 2
    assert "--networks VGG16: choose of StandardConvNet, MobileNetV1" in last_line(capsys)


@pytest.mark.slow
def test_the_zoo_trained_has_float_ptq_and_qat(photos, tmp_path):
    command = ["android", "zoo", "--data", str(photos), "--size", "32", "--epochs", "1"]
    command += ["--batch-size", "8", "--calibration", "3", "--networks", "MobileNetV1"]
    assert main([*command, "--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "bundle")]) == 0
    bundle = read_bundle(tmp_path / "bundle")
    kinds = [(model.quantization, model.compression) for model in bundle.models]
    assert kinds == [("none", None), ("float16", None), ("int8", None), ("int8", "qat")]
    for model in bundle.models:
        assert 0 <= model.host_top1 <= 1 and 0 <= model.test_top1 <= 1 and model.macs
        assert bundle.class_names(model) == ["blue", "red"]
