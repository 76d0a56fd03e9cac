"""The whole road of clips: a folder of animated files trained, converted, judged, timed, reported."""

import numpy as np
import pytest
from PIL import Image

from keras_mobilenets import UserError, pipeline, tflite, training
from keras_mobilenets.cli import main
from keras_mobilenets.training.datasets.video.motion_renderer import LABELS, clip

pytestmark = pytest.mark.slow  # minutes of training


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("clips")
    for label in (0, 1):  # left and right
        (place / LABELS[label]).mkdir()
        for number in range(240):
            frames = [Image.fromarray(frame) for frame in clip(label, np.random.default_rng([9, label, number]))]
            file = place / LABELS[label] / f"{number}.webp"
            frames[0].save(file, save_all=True, append_images=frames[1:], lossless=True)
    return place


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    made = pipeline.Run(tmp_path_factory.mktemp("runs") / "run")
    made.pipeline(
        "MobileNetV2Video",
        {"alpha": 0.35, "convolution": "factorized"},
        data=str(folder),
        image_size=32,
        batch_size=32,
        changes={"epochs": 60, "warmup_epochs": 1, "learning_rate": 4e-3},
        quantize=["float32", "int8"],
        calibration=64,
    )
    return made


def test_the_direction_is_seen_in_int8_too(run):
    whole, small = run.rows()
    assert (whole.quantization, small.quantization) == ("none", "int8")
    assert whole.top1 > 0.85 and small.top1 > whole.top1 - 0.05 and small.median_ms > 0
    assert run.asked["model"]["input_shape"] == [8, 32, 32, 3] and run.asked["model"]["pixels"] == "-1..1"
    assert run.asked["data"]["image_size"] == 32
    assert "Confusion matrix" in (run.folder / "report.html").read_text()


def test_a_file_is_judged_on_the_folder_by_itself(run, folder, capsys):
    path = run.tflite_file("", "int8")
    assert main(["evaluate", str(path), "--data", str(folder)]) == 0
    assert f"top-1 {run.rows()[1].top1:.2%}" in capsys.readouterr().out


def test_an_adopted_model_converts_and_what_is_not_for_clips_says_so(run, folder, tmp_path):
    adopted = pipeline.Run(tmp_path / "adopted")
    adopted.adopt(run.model_file, data=str(folder))
    (path,) = adopted.convert(["int8"], 64)
    assert tflite.evaluate(path, adopted.data().test).top1 > 0.8
    for verb in ("qat", "prune"):
        with pytest.raises(UserError, match=r"clips|no counterpart") as caught:
            adopted.compress(verb)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="holds no classifier of images"):
        adopted.explain([folder / "left" / "0.webp"])
    assert training.load_model(run.model_file).input_shape == (None, 8, 32, 32, 3)
