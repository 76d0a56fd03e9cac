"""A ReLU behind what only moves values: one operator less, the same answers, also in int8."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from networks import answers

from keras_mobilenets import tflite
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.runtime.activations import outputs


def _network(middle, clamp, *, second_reader=False):
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 4))
    x = layers.Conv2D(6, 3, padding="same", bias_initializer="normal", name="conv")(image)
    moved = middle(x)
    y = clamp(moved)
    outputs = [y, layers.Conv2D(2, 1)(x)] if second_reader else y
    return keras.Model(image, outputs)


MOVES = {
    "every other row": lambda x: ops.reshape(x, (-1, 4, 16, 6))[:, :, :8],
    "pooling": layers.MaxPooling2D(2),
    "padding": layers.ZeroPadding2D(1),
    "transpose": lambda x: ops.transpose(x, (0, 2, 1, 3)),
    "depth to space": lambda x: ops.reshape(x, (-1, 8, 8, 3, 2)),
}


@pytest.fixture
def images():
    return np.random.default_rng(0).uniform(-1, 1, (32, 8, 8, 4)).astype(np.float32)


@pytest.mark.parametrize("clamp", ["relu", "relu6"])
@pytest.mark.parametrize("middle", MOVES)
def test_relu_goes_into_the_convolution(middle, clamp, images, tmp_path):
    model = _network(MOVES[middle], layers.Activation(clamp))
    model.get_layer("conv").kernel.assign(model.get_layer("conv").kernel * 8)  # beyond 6
    path = tflite.convert(model, tmp_path / "m.tflite", pixels="-1..1")
    assert not {"RELU", "RELU6"} & set(tflite.inspect(path).operator_counts)
    (found,) = outputs(path.read_bytes(), [images])
    np.testing.assert_allclose(found, answers(model, images).reshape(32, -1), atol=1e-5)


def test_int8_spends_no_range_on_what_is_cut_off(images, tmp_path):
    model = _network(MOVES["every other row"], layers.ReLU(6))
    model.get_layer("conv").bias.assign(np.full(6, -3.0))
    path = tflite.convert(
        model, tmp_path / "m.tflite", pixels="-1..1", quantize="int8", effort="low", calibration=images
    )
    graph = flatbuffer.Graph(flatbuffer.read(path.read_bytes()))
    made = next(operator for operator in graph.operators if graph.name(operator) == "CONV_2D")
    assert flatbuffer.scales(graph.tensors[int(made.outputs[0])])[1] == -128  # begins at 0
    assert tflite.inspect(path).partitions == 1


def test_values_that_something_else_reads_stay_as_they_are(images, tmp_path):
    model = _network(layers.MaxPooling2D(2), layers.ReLU(), second_reader=True)
    path = tflite.convert(model, tmp_path / "m.tflite", pixels="-1..1")
    for found, expected in zip(outputs(path.read_bytes(), [images]), model(images), strict=True):
        np.testing.assert_allclose(found, np.reshape(expected, (32, -1)), atol=1e-5)
