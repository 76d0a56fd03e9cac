"""Ranges in front of functions that are flat at an end: against the function itself, in float64."""

import keras
import numpy as np
import pytest
from scipy import special

from keras_mobilenets import tflite

FUNCTIONS = {
    "hard_silu": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "sigmoid": special.expit,
    "tanh": np.tanh,
    "gelu": lambda x: x * special.ndtr(x),
    "silu": lambda x: x * special.expit(x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
}


@pytest.mark.parametrize("target", ["litert", "nnapi"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_channel_far_below_zero_costs_the_others_no_steps(name, target, tmp_path):
    rng = np.random.default_rng(0)
    kernel, bias = rng.normal(size=(1, 1, 3, 16)), np.zeros(16)
    kernel[..., 8:] *= 30
    bias[8:] = -200  # half of the channels are where the functions are flat: −400 to 0, the others −8 to 8
    image = keras.Input((8, 8, 3))
    mapped = keras.layers.Conv2D(16, 1, name="conv")(image)
    model = keras.Model(image, keras.layers.Flatten()(keras.layers.Activation(name)(mapped)))
    model.get_layer("conv").set_weights([kernel, bias])
    images = rng.integers(0, 256, (16, 8, 8, 3)).astype(np.uint8)
    options = {"quantize": "int8", "calibration_method": "minmax", "pixels": "-1..1"}

    path = tflite.convert(model, tmp_path / "m.tflite", target=target, calibration=images, **options)

    found = tflite.evaluate(path, images).predictions.reshape(16, 8, 8, 16)
    expected = FUNCTIONS[name]((images / 127.5 - 1) @ kernel[0, 0] + bias)
    step = (expected.max() - min(expected.min(), 0)) / 255
    slope = 1.13 if name.endswith("lu") else 1  # at most, of any of them
    assert np.abs(found - expected)[..., :8].max() < slope * 16 / 255 + step  # the input spans 16 or less
    assert np.abs(found - expected)[..., 8:].max() <= 0.75 * step
