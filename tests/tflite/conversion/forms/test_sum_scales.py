"""A residual branch of tiny numbers leaves no sum behind XNNPACK's delegate."""

import keras
import numpy as np
import pytest

from keras_mobilenets import tflite, training
from keras_mobilenets.blocks.convolution import channel_scale
from keras_mobilenets.tflite.runtime.interpreter import open_model


@pytest.mark.parametrize("trained", [False, True], ids=["calibrated", "trained"])
def test_a_branch_behind_a_layer_scale_near_zero_is_delegated(pixels, tmp_path, trained):
    keras.utils.set_random_seed(0)
    x = image = keras.Input((32, 32, 3))
    for number in range(2):
        x = keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", name=f"conv_{number}")(x)
        y = keras.layers.Conv2D(8, 1, activation="relu", name=f"branch_{number}")(x)
        x = keras.layers.Add(name=f"add_{number}")([x, channel_scale(y, 1e-6, name=f"scale_{number}")])
    model = keras.Model(image, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(x)))
    given = {"calibration": pixels, "effort": "low", "quantize": "int8", "pixels": "-1..1"}
    source, how = (training.quantize_aware(model, pixels, pixels="-1..1"), {}) if trained else (model, given)

    opened = open_model(tflite.convert(source, tmp_path / "m.tflite", target="litert", **how))

    operators, delegated, partitions = opened.delegation()
    assert (delegated, partitions) == (operators, 1)
    found = tflite.evaluate(tmp_path / "m.tflite", pixels, pixels="-1..1").predictions
    assert np.corrcoef(found.ravel(), np.asarray(model(pixels / 127.5 - 1)).ravel())[0, 1] > 0.99
