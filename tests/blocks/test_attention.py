"""Attention of several heads against keras.layers.MultiHeadAttention, and the patches of MobileViT."""

import keras
import numpy as np
from networks import randomize

import keras_mobilenets as km

HEADS, KEY_DIM, VALUE_DIM, CHANNELS = 3, 4, 5, 6


def _image(height, width, channels=CHANNELS):
    return np.random.default_rng(1).normal(size=(2, height, width, channels)).astype(np.float32)


def _attention_of_keras(model):
    """Keras' layer with the weights of the block's 1×1 convolutions."""
    theirs = keras.layers.MultiHeadAttention(HEADS, KEY_DIM, VALUE_DIM, output_shape=CHANNELS)
    theirs.build((None, None, CHANNELS), (None, None, CHANNELS))
    found = []
    for role, dim in (("query", KEY_DIM), ("key", KEY_DIM), ("value", VALUE_DIM)):
        layer = model.get_layer(f"a_{role}")
        found += [np.reshape(layer.kernel, (CHANNELS, HEADS, dim)), np.reshape(layer.bias, (HEADS, dim))]
    project = model.get_layer("a_project")
    theirs.set_weights([*found, np.reshape(project.kernel, (HEADS, VALUE_DIM, CHANNELS)), project.bias])
    return theirs


def test_each_position_looks_at_its_row():
    image = keras.Input((2, 7, CHANNELS))
    block = km.blocks.multi_head_attention(image, HEADS, KEY_DIM, value_dim=VALUE_DIM, name="a")
    model = randomize(keras.Model(image, block), kernels=True)
    rows = _image(2, 7)
    theirs = _attention_of_keras(model)
    expected = np.stack([theirs(rows[:, row], rows[:, row]) for row in range(2)], axis=1)
    np.testing.assert_allclose(model(rows), expected, atol=1e-5)


def test_the_position_bias_is_of_the_distance():
    """EfficientFormer: a number for each head and distance in rows and columns, added to the scores."""
    image = keras.Input((3, 2, CHANNELS))
    block = km.blocks.multi_head_attention(image, HEADS, KEY_DIM, value_dim=VALUE_DIM, position_bias=True, name="a")
    model = randomize(keras.Model(image, block), kernels=True)
    bias, given = np.asarray(model.get_layer("a_position_bias").bias), _image(3, 2)
    added = np.zeros((HEADS, 6, 6))
    for a in range(6):
        for b in range(6):
            added[:, a, b] = bias[:, abs(a // 2 - b // 2) * 2 + abs(a % 2 - b % 2)]
    queries, keys, values = (
        np.asarray(keras.Model(image, model.get_layer(f"a_{role}").output)(given)).reshape(2, 6, HEADS, -1)
        for role in ("query", "key", "value")
    )
    scores = np.einsum("bnhd,bmhd->bhnm", queries, keys) / KEY_DIM**0.5 + added
    weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    attended = np.einsum("bhnm,bmhd->bnhd", weights, values).reshape(2, 3, 2, -1)
    np.testing.assert_allclose(model(given), model.get_layer("a_project")(attended), atol=1e-5)


def test_a_pixel_of_mobilevit_looks_at_its_like_in_every_patch():
    """What moves one pixel of the transformers' input moves those at the same place of a patch, and no others."""
    image = keras.Input((6, 4, 8))
    model = randomize(keras.Model(image, km.blocks.mobilevit_block(image, 8, 1, name="a")), kernels=True)
    between = keras.Model(model.get_layer("a_embed").output, model.get_layer("a_fold").output)
    before = _image(6, 4, 8)
    after = before.copy()
    after[:, 3, 2, 0] += 1
    moved = np.abs(np.asarray(between(after)) - np.asarray(between(before))).max(axis=(0, 3)) > 1e-6
    expected = np.zeros((6, 4), bool)
    expected[1::2, 0::2] = True
    assert np.array_equal(moved, expected)
