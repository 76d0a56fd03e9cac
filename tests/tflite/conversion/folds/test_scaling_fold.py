"""The scaling of pixels in front of a network, folded into its stem, against Keras's own prediction."""

import keras
import numpy as np
import pytest
from keras import layers
from networks import randomize

from keras_mobilenets import tflite
from keras_mobilenets.tflite.conversion.folds.scaling_fold import fold_scaling
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.runtime.interpreter import open_model

MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
PER_CHANNEL = (0.5 / DEVIATION).tolist(), ((0.5 - MEAN) / DEVIATION).tolist()
# Scaling, range of the images, zeros around the scaled image, padding, strides, dilation, height and width.
STEMS = {
    "as PyTorch pads": (PER_CHANNEL, (-1, 1), 1, "valid", 2, 1, (32, 32)),
    "odd sizes": (PER_CHANNEL, (-1, 1), 1, "valid", 2, 1, (33, 35)),
    "same": (PER_CHANNEL, (-1, 1), 0, "same", 2, 1, (32, 33)),
    "same at stride 1": (PER_CHANNEL, (-1, 1), 0, "same", 1, 1, (32, 32)),
    "dilated": (PER_CHANNEL, (-1, 1), 0, "same", 1, 2, (32, 32)),
    "both": (PER_CHANNEL, (-1, 1), 1, "same", 2, 1, (32, 32)),
    "no padding": (PER_CHANNEL, (-1, 1), 0, "valid", 2, 1, (32, 32)),
    "one number": ((1 / 127.5, -1.0), (0, 255), 0, "same", 2, 1, (32, 32)),
    "no offset": ((1 / 255, 0.0), (0, 255), 1, "valid", 2, 1, (32, 32)),
}


def network(scaling, pad, padding, strides, dilation, size):
    keras.utils.set_random_seed(0)
    x = image = keras.Input((*size, 3))
    x = layers.Rescaling(*scaling)(x)
    x = layers.ZeroPadding2D(pad)(x) if pad else x
    x = layers.Conv2D(8, 3, strides, padding, dilation_rate=dilation, activation="relu", name="stem")(x)
    x = layers.Conv2D(8, 3, 2, "same", name="second")(x)
    return randomize(keras.Model(image, layers.Dense(5)(layers.Flatten()(x))))


@pytest.fixture(scope="module", params=STEMS)
def stem(request, tmp_path_factory):
    scaling, (low, high), *shape = STEMS[request.param]
    model = network(scaling, *shape)
    images = np.random.default_rng(0).integers(0, 256, (60, *model.input_shape[1:])).astype(np.uint8)
    expected = model.predict(low + images.astype(np.float32) * ((high - low) / 255), verbose=0)
    return model, images, (low, high), expected, tmp_path_factory.mktemp("stem")


def answers(path, inputs):
    model = open_model(path)
    return np.concatenate([model.dequantize(model.run(each[None])) for each in inputs])


def operators(content):
    graph = flatbuffer.Graph(flatbuffer.read(content))
    return [graph.name(operator) for operator in graph.operators]


def test_a_folded_float_model_computes_the_same(stem):
    model, images, (low, high), expected, folder = stem
    path = tflite.convert(model, folder / "float.tflite")
    folded = flatbuffer.changed(path.read_bytes(), fold_scaling)
    assert not {"MUL", "ADD"} & set(operators(folded)), "not folded"
    path.write_bytes(folded)
    found = answers(path, low + images.astype(np.float32) * ((high - low) / 255))
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())


def test_an_int8_model_takes_pixels_and_has_no_arithmetic_before_its_stem(stem):
    model, images, _, expected, folder = stem
    path = tflite.convert(
        model, folder / "int8.tflite", quantize="int8", calibration=images, calibration_method="minmax"
    )
    assert not {"MUL", "ADD", "QUANTIZE"} & set(operators(path.read_bytes()))
    found = answers(path, (images.astype(np.int16) - 128).astype(np.int8))
    error = np.square(found - expected).sum() / np.square(expected).sum()
    assert error < 10**-3.2  # SQNR above 32 dB


def test_what_is_no_scaling_of_a_convolution_stays(tmp_path):
    image = keras.Input((32, 32, 3))
    scaled = layers.Rescaling(*PER_CHANNEL)(image)
    dense = keras.Model(image, layers.Dense(4)(layers.Flatten()(scaled)))
    plain = keras.Model(image, layers.Conv2D(4, 3)(image))
    for model in (dense, plain, keras.Model(image, layers.Conv2D(4, 3)(layers.ReLU()(scaled)))):
        content = tflite.convert(model, tmp_path / "a.tflite").read_bytes()
        assert flatbuffer.changed(content, fold_scaling) == content
