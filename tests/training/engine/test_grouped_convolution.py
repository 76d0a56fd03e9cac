"""Convolutions group by group against Keras's own, compiled ones: outputs and gradients, in Keras 3 and tf_keras."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from keras_mobilenets.training.engine.grouped_convolution import split_groups

SETTINGS = {
    "strides": {"strides": 2, "padding": "same", "bias_initializer": "ones"},
    "dilation": {"dilation_rate": 2, "use_bias": False, "activation": "relu"},
}


def _step(layer, images):
    with tf.GradientTape() as tape:
        tape.watch(images)
        outputs = layer(images)
        loss = tf.reduce_sum(tf.sin(outputs))
    return [outputs, *tape.gradient(loss, [images, *layer.trainable_weights])]


@pytest.mark.parametrize("library", [keras, tf_keras])
@pytest.mark.parametrize("settings", SETTINGS)
def test_outputs_and_gradients_are_those_of_the_library(library, settings):
    images = tf.constant(np.random.default_rng(0).normal(size=(2, 7, 9, 12)), tf.float32)
    layer = library.layers.Conv2D(6, 3, groups=3, **SETTINGS[settings])
    expected = _step(layer, images)
    with split_groups():
        found = _step(layer, images)
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


def test_a_training_step_compiles_no_group_by_xla():
    model = keras.Sequential([keras.Input((8, 8, 8)), keras.layers.Conv2D(8, 3, groups=4)])

    def operators():
        graph = tf.function(lambda x: model(x)).get_concrete_function(tf.TensorSpec((1, 8, 8, 8))).graph
        return [operator.type for operator in graph.get_operations()]

    with split_groups():
        assert operators().count("Conv2D") == 4
    assert "Conv2D" not in operators()  # inside of a compiled function, as Keras has it


def test_the_libraries_are_themselves_again_afterwards():
    plain = keras.layers.Conv2D.convolution_op, tf_keras.layers.Conv2D._jit_compiled_convolution_op
    with split_groups():
        assert keras.layers.Conv2D.convolution_op is not plain[0]
    assert (keras.layers.Conv2D.convolution_op, tf_keras.layers.Conv2D._jit_compiled_convolution_op) == plain
