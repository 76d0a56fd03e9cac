"""The fused training step of batch normalization against Keras's own; estimated statistics against NumPy's."""

import keras
import numpy as np
import tensorflow as tf

from keras_mobilenets.training.engine.batch_normalization import estimate_statistics, fused_batch_norm


def _step(layer, images):
    with tf.GradientTape() as tape:
        outputs = layer(images, training=True)
        loss = tf.reduce_sum(tf.sin(outputs) * tf.range(outputs.shape[-1], dtype=tf.float32))
    return [outputs, *tape.gradient(loss, layer.trainable_weights), layer.moving_mean, layer.moving_variance]


def _layer(**settings):
    layer = keras.layers.BatchNormalization(momentum=0.8, epsilon=1e-3, **settings)
    layer.build((None, 5, 7, 3))
    layer.set_weights([np.arange(1, 1 + len(w)) / 2.0 for w in layer.get_weights()])
    return layer


def test_outputs_gradients_and_moving_statistics_are_those_of_keras():
    images = tf.constant(np.random.default_rng(0).normal(2, 3, (4, 5, 7, 3)), tf.float32)
    expected = _step(_layer(), images)
    with fused_batch_norm():
        found = _step(_layer(), images)
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=2e-4, atol=1e-4)


def test_frozen_and_unusual_layers_are_left_to_keras():
    images = tf.constant(np.random.default_rng(0).normal(2, 3, (4, 5, 7, 3)), tf.float32)
    for settings in ({"trainable": False}, {"scale": False}, {"center": False}):
        expected = _layer(**settings)(images, training=True)
        with fused_batch_norm():
            np.testing.assert_array_equal(_layer(**settings)(images, training=True), expected)


def test_keras_is_itself_again_afterwards():
    plain = keras.layers.BatchNormalization.call
    with fused_batch_norm():
        assert keras.layers.BatchNormalization.call is not plain
    assert keras.layers.BatchNormalization.call is plain


def test_estimated_statistics_are_those_of_the_images():
    images = np.random.default_rng(0).normal(2, 3, (4, 5, 7, 3)).astype(np.float32)
    layer = _layer()
    model = keras.Sequential([keras.Input((5, 7, 3)), layer])
    assert estimate_statistics(model, images) is model
    np.testing.assert_allclose(layer.moving_mean, images.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, images.var((0, 1, 2)), rtol=1e-4)
    assert layer.momentum == 0.8
