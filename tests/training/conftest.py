import numpy as np
import pytest
from PIL import Image

from keras_mobilenets import training

SIZE = 32


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Three classes of noise, 32×32, each with one stronger colour: easy, but not at once."""
    root = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    for channel, name in enumerate(("red", "green", "blue")):
        (root / name).mkdir()
        for i in range(60):
            pixels = random.integers(0, 200, (SIZE, SIZE, 3))
            pixels[..., channel] += 30
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{i}.png")
    return root


@pytest.fixture(scope="session")
def data(folder):
    return training.load_data(folder, image_size=SIZE, batch_size=16)
