"""The causal separable convolution against Conv1D and DepthwiseConv1D of Keras, and in int8 by builtin operators."""

import keras
import numpy as np
import pytest
from networks import answers, randomize

from keras_mobilenets import blocks


def _model(shape, **options):
    steps = keras.Input(shape)
    return randomize(keras.Model(steps, blocks.separable_conv1d(steps, 10, name="s", **options)))


@pytest.mark.parametrize(("kernel_size", "dilation"), [(3, 1), (3, 4), (2, 5)])
def test_it_is_a_causal_convolution_with_a_kernel_of_two_factors(kernel_size, dilation):
    model = _model((20, 6), kernel_size=kernel_size, dilation=dilation, activation=None)
    depthwise, pointwise = (model.get_layer(f"s_{part}") for part in ("depthwise", "pointwise"))
    norm = model.get_layer("s_depthwise_bn")
    scale = np.asarray(norm.gamma) / np.sqrt(np.asarray(norm.moving_variance) + norm.epsilon)
    kernel = np.asarray(depthwise.kernel)[:, 0, :, 0] * scale
    theirs = keras.layers.Conv1D(10, kernel_size, padding="causal", dilation_rate=dilation)
    theirs.build((None, 20, 6))
    matrix = np.asarray(pointwise.kernel)[0, 0]
    offset = np.asarray(norm.beta) - np.asarray(norm.moving_mean) * scale
    theirs.set_weights([kernel[:, :, None] * matrix, offset @ matrix])
    x = np.random.default_rng(0).normal(size=(2, 20, 6)).astype(np.float32)
    expected = model.get_layer("s_pointwise_bn")(theirs(x)[:, :, None])[:, :, 0]
    np.testing.assert_allclose(answers(model, x), expected, atol=1e-4)


def test_a_step_sees_none_after_it_and_as_many_before_as_the_kernel_says():
    model = _model((20, 6), dilation=4)
    x = np.random.default_rng(0).normal(size=(1, 20, 6)).astype(np.float32)
    changed = x.copy()
    changed[:, 7] += 1
    seen = np.flatnonzero(np.abs(answers(model, x) - answers(model, changed)).max(axis=(0, 2)) > 1e-6)
    assert seen.tolist() == [7, 11, 15]


def test_maps_of_one_column_stay_what_they_are():
    assert _model((20, 1, 6)).output_shape == (None, 20, 1, 10)
    assert _model((None, 6)).output_shape == (None, None, 10)
