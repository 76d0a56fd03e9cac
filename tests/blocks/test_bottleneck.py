"""The residual bottleneck against its formula."""

import keras
import numpy as np
from networks import randomize

from keras_mobilenets import blocks


def test_a_bottleneck_convolves_its_groups_apart():
    """ResNeXt, section 3.3: the concatenation of the convolutions of each group, then the sum with the shortcut."""
    image = keras.Input((6, 7, 8))
    model = randomize(keras.Model(image, blocks.bottleneck(image, 8, 12, groups=3, name="b")))
    x = np.random.default_rng(0).normal(size=(2, 6, 7, 8)).astype(np.float32)
    within = np.asarray(keras.Model(image, model.get_layer("b_conv_1_relu").output)(x))
    kernel = np.asarray(model.get_layer("b_conv_2").kernel)
    parts = [
        keras.ops.conv(within[..., 4 * g : 4 * g + 4], kernel[..., 4 * g : 4 * g + 4], padding="same") for g in range(3)
    ]
    y = np.concatenate(parts, -1)
    for name in ("b_conv_2_bn", "b_conv_2_relu", "b_conv_3", "b_conv_3_bn"):
        y = model.get_layer(name)(y)
    np.testing.assert_allclose(model(x), np.maximum(x + np.asarray(y), 0), atol=1e-5)


def test_a_bottleneck_projects_a_shortcut_of_another_shape():
    image = keras.Input((7, 7, 8))
    same = keras.Model(image, blocks.bottleneck(image, 8, 4, name="b"))
    wider = keras.Model(image, blocks.bottleneck(image, 16, 4, strides=2, name="b"))
    assert {layer.name for layer in wider.layers} - {layer.name for layer in same.layers} == {
        "b_shortcut",
        "b_shortcut_bn",
    }
    assert wider.output_shape == (None, 4, 4, 16)
