import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest
from networks import coloured_noise, small_detector
from PIL import Image

CLASSES = 7


@pytest.fixture(scope="session")
def keras_model():
    """A small classifier with the operators of a mobile network and untrained but lively weights.

    The wide convolution is there because TensorFlow Lite leaves weights of fewer than 1024 elements in float.
    """
    import keras

    keras.utils.set_random_seed(0)
    inputs = keras.Input(batch_shape=(1, 32, 32, 3))
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu6")(inputs)
    x = keras.layers.DepthwiseConv2D(3, padding="same", activation="relu6")(x)
    x = keras.layers.Conv2D(160, 1, activation="relu6")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dense(CLASSES, kernel_initializer=keras.initializers.RandomNormal(stddev=4.0))(x)
    return keras.Model(inputs, keras.layers.Softmax()(x))


@pytest.fixture(scope="session")
def pixels():
    """Sixty images of coloured noise, uint8, no two alike in tone."""
    return coloured_noise(60)


@pytest.fixture(scope="session")
def tflite_files(keras_model, pixels, tmp_path_factory):
    """The model through the stock converter: {"float32", "int8", "dynamic"} to path."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("tflite")

    def write(name, **settings):
        converter = tf.lite.TFLiteConverter.from_keras_model(keras_model)
        for key, value in settings.items():
            setattr(converter, key, value)
        if name == "int8":
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        path = folder / f"{name}.tflite"
        path.write_bytes(converter.convert())
        return path

    calibration = pixels.astype(np.float32) / 127.5 - 1
    calibration[0, 0, 0], calibration[0, 0, 1] = -1, 1
    smaller = [tf.lite.Optimize.DEFAULT]
    return {
        "float32": write("float32"),
        "dynamic": write("dynamic", optimizations=smaller),
        "int8": write(
            "int8",
            optimizations=smaller,
            representative_dataset=lambda: ([image[None]] for image in calibration),
            inference_input_type=tf.int8,
            inference_output_type=tf.int8,
        ),
    }


@pytest.fixture(scope="session")
def detector_files(pixels, tmp_path_factory):
    """A small detector's {"float32", "int8"} to path, with labels in the metadata."""
    from keras_mobilenets import tflite

    folder, model = tmp_path_factory.mktemp("detector"), small_detector()
    given = {"target": "nnapi", "pixels": "-1..1", "labels": ["ash", "birch", "cedar"]}
    return {
        "float32": tflite.convert(model, folder / "boxes_float32.tflite", quantize="none", **given),
        "int8": tflite.convert(
            model, folder / "boxes_int8.tflite", quantize="int8", effort="low", calibration=pixels, **given
        ),
    }


@pytest.fixture(scope="session")
def box_tables(detector_files, pixels):
    """Tables of boxes of the images, near to what the detector finds there, so that its score is neither 0 nor 1."""
    from keras_mobilenets import tflite

    rng, tables = np.random.default_rng(0), np.tile(np.float32([0, 0, 0, 0, -1, 0]), (len(pixels), 5, 1))
    found = tflite.evaluate(detector_files["float32"], pixels).found
    for number, (table, (boxes, _, classes)) in enumerate(zip(tables, found, strict=True)):
        for row, place in zip(table[: number % 6], rng.permutation(5), strict=False):
            box = np.clip(boxes[place] + rng.normal(0, 0.02, 4), 0, 1)
            if (box[2:] > box[:2] + 0.05).all():
                row[:] = [*box, classes[place], number % 7 == 3]
    return tables


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """A folder of two classes: reddish and bluish images."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for name, tint in (("red", (1, 0.3, 0.3)), ("blue", (0.3, 0.3, 1))):
        (folder / name).mkdir()
        for index in range(40):
            pixels = rng.uniform(60, 255, (40, 48, 3)) * tint
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{index}.png")
    return folder
