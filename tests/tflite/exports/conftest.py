"""A small network in the forms of every target, for all tests of exports."""

import keras
import pytest

from keras_mobilenets import tflite


@pytest.fixture(scope="session")
def files(pixels, tmp_path_factory):
    """A classifier with h-swish and GELU in the forms of every target: {(target, quantize): path}, and the model."""
    keras.utils.set_random_seed(0)
    inputs = x = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="hard_swish", name="stem")(x)
    x = keras.layers.DepthwiseConv2D(3, padding="same", activation="relu6", name="depthwise")(x)
    x = keras.layers.Conv2D(24, 1, activation="gelu", name="expand")(x)
    gate = keras.layers.GlobalAveragePooling2D(keepdims=True, name="squeeze")(x)
    gate = keras.layers.Conv2D(24, 1, activation="hard_sigmoid", name="excite")(gate)
    x = keras.layers.Multiply(name="scale")([x, gate])
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    model = keras.Model(inputs, keras.layers.Dense(7, name="answer")(x))
    folder, made = tmp_path_factory.mktemp("exports"), {}
    for target, quantize in (("nnapi", "none"), ("nnapi", "int8"), ("xnnpack", "int8"), ("litert", "int8")):
        path = folder / f"{target}_{quantize}.tflite"
        made[target, quantize] = tflite.convert(
            model,
            path,
            quantize=quantize,
            effort="low" if quantize == "int8" else "default",
            calibration=pixels,
            target=target,
            labels=[f"class {number}" for number in range(7)],
        )
    return made | {"keras": model}
