"""Convolutions of clips against TensorFlow's own 3-D convolution, which has groups where it does not train."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mobilenets import blocks
from keras_mobilenets.costs.model_cost import cost


def strips(clips):
    return clips.reshape(len(clips), -1, *clips.shape[3:])


def expected(clips, kernel, strides):
    """By Keras' Conv3D; a depthwise kernel as a full one that is zero between channels."""
    if kernel.shape[-1] == 1:
        kernel = kernel * np.eye(kernel.shape[3], dtype=np.float32)
    return strips(tf.nn.conv3d(clips, kernel, (1, *strides, 1), "SAME").numpy())


@pytest.mark.parametrize("size", [3, (3, 1, 1), (1, 3, 3), (5, 3, 3), 1], ids=str)
@pytest.mark.parametrize("strides", [1, 2, (1, 2, 2), (2, 1, 1)], ids=str)
@pytest.mark.parametrize("frames", [1, 2, 5, 8])
def test_strips_are_convolved_as_clips(frames, strides, size):
    rng = np.random.default_rng(0)
    clips = rng.normal(size=(2, frames, 7, 6, 4)).astype(np.float32)
    for layer in (
        blocks.StripDepthwiseConv3D(frames, kernel_size=size, strides=strides, use_bias=True),
        blocks.StripConv3D(frames, 3, kernel_size=size, strides=strides, use_bias=True),
    ):
        found = layer(strips(clips))
        layer.set_weights([rng.normal(size=w.shape) for w in layer.get_weights()])
        found = layer(strips(clips)).numpy()
        kernel, bias = layer.get_weights()
        np.testing.assert_allclose(found, expected(clips, kernel, layer.strides) + bias, atol=1e-4)
        assert found.shape == layer.compute_output_shape(strips(clips).shape)


@pytest.mark.parametrize("factorized", [False, True])
def test_a_separable_convolution_trains_and_its_cost_is_that_of_its_formula(factorized):
    x = keras.Input((4 * 8, 8, 6), name="strip")
    y = blocks.separable_conv3d(x, 10, frames=4, strides=2, factorized=factorized, name="block")
    model = keras.Model(x, y)
    assert y.shape == (None, 2 * 4, 4, 10)
    counted = cost(model)
    places, weights = 2 * 4 * 4, 6 * 10
    depthwise = 9 * 6 * 2 * places + 3 * 6 * places if factorized else 27 * 6 * places  # all frames over space first
    assert counted.macs == depthwise + places * weights
    assert counted.standard_macs == 27 * places * weights
    normalizations = 2 * (6 * (1 + factorized) + 10)
    assert counted.parameters == (12 if factorized else 27) * 6 + weights + normalizations
    assert counted.standard_parameters == 27 * weights + 2 * 10
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(np.random.default_rng(0).normal(size=(2, 32, 8, 6)), training=True) ** 2)
    gradients = tape.gradient(loss, [w.value for w in model.trainable_weights])
    assert all(g is not None and np.abs(g).max() > 0 for g in gradients[:1])


def test_a_layer_is_made_again_from_its_settings():
    layer = blocks.StripConv3D(4, 5, kernel_size=(3, 1, 1), strides=(2, 1, 1))
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert again.get_config() == layer.get_config() and again.output_frames == 2
