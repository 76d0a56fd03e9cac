"""Xception's separable convolution against the layer of Keras."""

import keras
import numpy as np
from networks import randomize

from keras_mobilenets import blocks


def test_a_separable_convolution_is_that_of_keras():
    image = keras.Input((8, 9, 6))
    model = randomize(keras.Model(image, blocks.separable_bn(image, 10, strides=2, activation="relu", name="s")))
    theirs = keras.layers.SeparableConv2D(10, 3, strides=2, padding="same", use_bias=False)
    theirs.build(image.shape)
    theirs.set_weights([model.get_layer(f"s_{part}").kernel for part in ("depthwise", "pointwise")])
    x = np.random.default_rng(0).normal(size=(2, 8, 9, 6)).astype(np.float32)
    expected = np.maximum(model.get_layer("s_pointwise_bn")(theirs(x)), 0)
    np.testing.assert_allclose(model(x), expected, atol=1e-5)
