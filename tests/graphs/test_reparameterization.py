"""Parallel linear branches become one layer of the same outputs, found by the graph; what cannot is left as it is."""

import functools

import keras
import numpy as np
import pytest
from keras import layers
from networks import answers, randomize

import keras_mobilenets as km
from keras_mobilenets import blocks


def _images(size, channels=6):
    return np.random.default_rng(0).normal(size=(2, *size, channels)).astype(np.float32)


def _model(branches, size, *, channels=6, merge=layers.Add, known=True):
    """A ReLU, branches of its result that are merged, a ReLU."""
    image = keras.Input((*(size if known else (None, None)), channels))
    x = layers.ReLU(name="source")(image)
    model = keras.Model(image, layers.ReLU(name="end")(merge(name="sum")([branch(x) for branch in branches])))
    return randomize(model, biases=0.5, kernels=True)


def _assert_folded(model, size, left, channels=6):
    """Whether the model has these layers after it is folded, and the outputs that it had."""
    folded = km.reparameterized(model)
    names = [layer.name for layer in folded.layers if not isinstance(layer, layers.InputLayer)]
    assert names == left
    images = _images(size, channels)
    expected = answers(model, images)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(answers(folded, images), expected, atol=1e-5 * np.abs(expected).max())
    return folded


def _conv(filters, side, normal=True, **how):
    def branch(x):
        x = layers.Conv2D(filters, side, **({"padding": "same"} | how))(x)
        return layers.BatchNormalization()(x) if normal else x

    return branch


def _depthwise(side, **how):
    return lambda x: layers.BatchNormalization()(layers.DepthwiseConv2D(side, **({"padding": "same"} | how))(x))


def _norm(x):
    return layers.BatchNormalization()(x)


def _itself(x):
    return x


def _padded(pad, branch):
    return lambda x: branch(layers.ZeroPadding2D(pad)(x))


SUMS = {
    "MobileOne": [_depthwise(3), _depthwise(3), _depthwise(1), _norm],
    "RepVGG": [_conv(6, 3), _conv(6, 1), _norm],
    "asymmetric kernels beside a square one": [_conv(6, 3), _conv(6, (1, 3)), _conv(6, (3, 1), False), _itself],
    "dilation": [_conv(6, 3, dilation_rate=2), _conv(6, 5), _itself],
    "groups": [_conv(6, 3, groups=2), _conv(6, 3), _norm],
    "groups of several sizes": [_conv(12, 3, groups=3), _conv(12, 3, groups=6), _conv(12, 3, groups=3)],
    "padding of another layer": [_padded(1, _conv(6, 3, padding="valid")), _padded(2, _conv(6, 5, padding="valid"))],
    "kernels that do not reach the border": [_conv(4, 3, padding="valid"), _conv(4, 3, padding="valid")],
    "twice itself": [_depthwise(3), _itself, _itself],
}
ONE_LAYER = ["source", "sum", "end"]


@pytest.mark.parametrize("name", SUMS)
@pytest.mark.parametrize("size", [(8, 9), (None, None)], ids=["known size", "open size"])
def test_a_sum_of_branches_is_one_layer(name, size):
    _assert_folded(_model(SUMS[name], size, known=None not in size), (8, 9), ONE_LAYER)


@pytest.mark.parametrize("size", [(8, 8), (9, 9), (8, 9)], ids=str)
@pytest.mark.parametrize("strides", [2, 3])
def test_a_kernel_stands_where_same_padding_puts_it_at_even_and_odd_sizes(size, strides):
    branches = [_conv(5, 3, strides=strides), _conv(5, 1, strides=strides), _conv(5, 2, strides=strides)]
    _assert_folded(_model(branches, size), size, ONE_LAYER)


def test_at_an_open_size_same_padding_and_strides_fold_kernels_of_one_size_only():
    several = _model([_conv(5, 3, strides=2), _conv(5, 1, strides=2)], (8, 8), known=False)
    assert km.reparameterized(several) is several
    alike = _model([_conv(5, 3, strides=2), _conv(5, 3, strides=2)], (8, 8), known=False)
    for size in ((8, 8), (9, 8)):
        folded = _assert_folded(alike, size, ONE_LAYER)
    assert folded.get_layer("sum").padding == "same"


@pytest.mark.parametrize("known", [True, False])
def test_padding_on_both_sides_is_kept_at_any_size(known):
    """As in PyTorch: 3×3 behind a row of zeros, the 1×1 in its middle."""
    branches = [_padded(1, _conv(5, 3, padding="valid", strides=2)), _conv(5, 1, padding="valid", strides=2)]
    model = _model(branches, (8, 8), known=known)
    _assert_folded(model, (8, 8), ["source", "sum_pad", "sum", "end"])


def test_the_mean_of_classifiers_behind_batch_normalization_is_one_dense_layer():
    vector = keras.Input((6,))
    parts = [layers.Dense(4, name=f"dense_{i}")(layers.BatchNormalization()(vector)) for i in range(2)]
    model = randomize(keras.Model(vector, layers.Average(name="scores")(parts)), biases=0.5, kernels=True)
    folded = km.reparameterized(model)
    assert [layer.name for layer in folded.layers[1:]] == ["scores"]
    x = np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)
    np.testing.assert_allclose(answers(folded, x), answers(model, x), atol=1e-5)


def test_a_normalization_of_the_sum_and_sums_of_sums_go_in():
    def inner(x):
        return layers.BatchNormalization()(layers.Add()([_conv(6, 3)(x), x]))

    image = keras.Input((8, 8, 6))
    x = layers.ReLU(name="source")(image)
    x = layers.BatchNormalization()(layers.Add(name="sum")([inner(x), _conv(6, 1)(x), x]))
    model = randomize(keras.Model(image, layers.ReLU(name="end")(x)), biases=0.5, kernels=True)
    _assert_folded(model, (8, 8), ONE_LAYER)


def test_a_summand_of_another_tensor_stays_a_summand():
    image = keras.Input((8, 8, 6))
    x = layers.ReLU(name="source")(image)
    y = layers.Conv2D(6, 1, name="other")(layers.ReLU(name="other_source")(image))
    parts = [layers.Conv2D(6, 3, padding="same", name="wide")(x), y, layers.Conv2D(6, 1, name="narrow")(x)]
    model = keras.Model(image, layers.ReLU(name="end")(layers.Add(name="sum")(parts)))
    folded = km.reparameterized(randomize(model, biases=0.5, kernels=True))
    assert {layer.name for layer in folded.layers[1:]} == {"source", "other_source", "other", "wide", "sum", "end"}
    np.testing.assert_allclose(answers(folded, _images((8, 8))), answers(model, _images((8, 8))), atol=1e-5)


def test_a_difference_that_is_scaled_and_added_is_one_layer():
    """FastViT's mixer: x + scale · (branches of x − normalization of x)."""
    image = keras.Input((8, 8, 6))
    x = blocks.repmixer_block(layers.ReLU(name="source")(image), 2, layer_scale=0.5, name="a")
    model = randomize(keras.Model(image, x), biases=0.5, kernels=True)
    mlp = ["a_depthwise", "a_depthwise_bn", "a_expand", "a_expand_gelu", "a_reduce", "a_scale", "a_add"]
    folded = _assert_folded(model, (8, 8), ["source", "a_mixer_add", *mlp])
    assert type(folded.get_layer("a_mixer_add")) is layers.DepthwiseConv2D


def _shared(x):
    layer = layers.Conv2D(6, 3, padding="same")
    return layers.Add()([layer(x), layer(x)])


def _residual(x):
    return layers.Add()([x, layers.Conv2D(6, 3, padding="same", activation="relu")(x)])


def _read_elsewhere(x):
    y = layers.Conv2D(6, 3, padding="same")(x)
    return layers.Concatenate()([y, layers.Add()([y, layers.Conv2D(6, 1)(layers.ReLU()(x))])])


def _normalized_before_padding(x):
    y = layers.Conv2D(6, 3, padding="same")(layers.BatchNormalization()(x))
    return layers.Add()([y, layers.Conv2D(6, 3, padding="same")(x)])


def _dearer(x):
    return layers.Add()([layers.Conv2D(6, (1, 5), padding="same")(x), layers.Conv2D(6, (5, 1), padding="same")(x)])


def _no_convolution(x):
    return layers.Add()([layers.BatchNormalization()(x), x])


@pytest.mark.parametrize(
    "body", [_shared, _residual, _read_elsewhere, _normalized_before_padding, _dearer, _no_convolution]
)
def test_what_one_layer_cannot_or_should_not_compute_is_left(body):
    image = keras.Input((8, 8, 6))
    model = keras.Model(image, layers.ReLU()(body(layers.ReLU()(image))))
    assert km.reparameterized(model) is model


@functools.cache
def _network(name):
    model = km.create_model(name, input_shape=(64, 48, 3), alpha=0.25, classes=5, classifier_activation=None)
    return randomize(model, biases=0.3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MobileOneS1", "RepViTM0_9"])
def test_networks_keep_their_outputs_and_have_plain_convolutions(name):
    model = _network(name)
    folded = km.reparameterized(model)
    images = np.random.default_rng(0).uniform(-1, 1, (2, 64, 48, 3)).astype(np.float32)
    expected = answers(model, images)
    assert expected.std() > 1e-3
    np.testing.assert_allclose(answers(folded, images), expected, atol=1e-5 * np.abs(expected).max())
    assert km.reparameterized(folded) is folded
    if name.startswith("MobileOne"):
        assert not any(isinstance(layer, layers.Add) for layer in folded.layers)
    assert len(folded.trainable_weights) < len(model.trainable_weights)


def test_the_block_of_mobileone_has_the_branches_of_its_paper():
    image = keras.Input((8, 8, 6))
    x = blocks.branched_conv(image, None, strides=1, branches=2, name="a")
    model = keras.Model(image, blocks.branched_conv(x, 12, 1, branches=3, name="b"))
    names = {layer.name for layer in model.layers if not layer.name.endswith(("_bn", "_relu"))}
    assert names - {image.name} - {model.layers[0].name} == {
        "a", "a_branch_0", "a_branch_1", "a_point", "b", "b_branch_0", "b_branch_1", "b_branch_2",
    }  # fmt: skip
    assert {"a_identity_bn"} <= {layer.name for layer in model.layers}


@pytest.mark.parametrize(("begins_as_identity", "least", "most"), [(True, 0.7, 1), (False, -1, 0.3)])
def test_blocks_that_begin_as_identity_let_their_input_through(begins_as_identity, least, most):
    keras.utils.set_random_seed(0)
    image = x = keras.Input((8, 8, 16))
    for index in range(10):
        settings = {"branches": 2, "begins_as_identity": begins_as_identity}
        x = blocks.branched_conv(x, None if index % 2 else 16, 1 if index % 2 else 3, **settings, name=f"b{index}")
    inputs = np.maximum(np.random.default_rng(0).normal(size=(16, 8, 8, 16)), 0).astype(np.float32)
    outputs = np.asarray(keras.Model(image, x)(inputs, training=True))
    assert least < np.corrcoef(inputs.ravel(), outputs.ravel())[0, 1] < most
