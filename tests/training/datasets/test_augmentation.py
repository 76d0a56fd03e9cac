"""Augmentations by name: made of Keras layers, a function of the seed alone, labels that follow what is mixed."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mobilenets import UserError, preprocess_input, training
from keras_mobilenets.training.datasets import augmentation
from keras_mobilenets.training.datasets.images import Images
from keras_mobilenets.training.recipe import RECIPES, augmentation_parts
from keras_mobilenets.training.tasks.classification import Classification

CLASSES = 5
IMAGES = Images(32)
TASK = Classification([str(number) for number in range(CLASSES)])
SEED = tf.constant([3, 4], tf.int64)


@pytest.fixture(scope="module")
def batch():
    """20 images (no multiple of RandAugment's groups) and labels."""
    images = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), np.uint8)
    return tf.constant(images), tf.range(20, dtype=tf.int64) % CLASSES


@pytest.mark.parametrize("name", ["light", "flip", "crop", "resized_crop", RECIPES["modern"].recipe["augmentation"]])
def test_images_of_a_step_depend_on_its_seed_alone(batch, name):
    first, again = (
        tf.function(augmentation.make(IMAGES, name, TASK)),
        tf.function(augmentation.make(IMAGES, name, TASK)),
    )
    images, labels = first(*batch, SEED)
    np.testing.assert_array_equal(images, again(*batch, SEED)[0])
    np.testing.assert_array_equal(labels, again(*batch, SEED)[1])
    assert (images.numpy() != first(*batch, SEED + 1)[0].numpy()).any()
    assert images.shape == (20, 32, 32, 3) and images.dtype == tf.float32
    assert float(tf.reduce_min(images)) >= -1 and float(tf.reduce_max(images)) <= 1


def test_flip_and_crop_move_pixels_and_change_none(batch):
    images = preprocess_input(batch[0].numpy())
    for one, flipped in zip(images, augmentation.make(IMAGES, "flip", TASK)(*batch, SEED)[0].numpy(), strict=True):
        assert np.allclose(flipped, one, atol=1e-6) or np.allclose(flipped, one[:, ::-1], atol=1e-6)
    for one, shifted in zip(images, augmentation.make(IMAGES, "crop", TASK)(*batch, SEED)[0].numpy(), strict=True):
        padded = np.pad(one, ((4, 4), (4, 4), (0, 0)), constant_values=-1)  # pad by 4, crop 32: the CIFAR recipe
        crops = (padded[y : y + 32, x : x + 32] for y in range(9) for x in range(9))
        assert any(np.allclose(shifted, crop, atol=1e-5) for crop in crops)


def test_mixup_blends_images_as_it_blends_labels():
    grey = tf.constant(np.repeat([10, 60, 110, 160, 210], 4)[:, None, None, None] * np.ones((1, 32, 32, 3)), tf.uint8)
    labels = tf.constant(np.repeat(np.arange(CLASSES), 4), tf.int64)
    images, rows = augmentation.make(IMAGES, "mixup:1", TASK)(grey, labels, SEED)
    np.testing.assert_allclose(tf.reduce_sum(rows, 1), 1, atol=1e-6)
    assert ((rows.numpy() > 0).sum(axis=1) == 2).any()
    level = (images.numpy().mean(axis=(1, 2, 3)) + 1) * 127.5
    np.testing.assert_allclose(level, rows.numpy() @ [10, 60, 110, 160, 210], atol=1e-2)


def test_cutmix_labels_are_shares_of_the_area():
    grey = tf.constant(np.arange(0, 200, 10)[:, None, None, None] * np.ones((1, 32, 32, 3)), tf.uint8)
    images, rows = augmentation.make(IMAGES, "cutmix", Classification([""] * 20))(
        grey, tf.range(20, dtype=tf.int64), SEED
    )
    pixels = np.round((images.numpy()[..., 0] + 1) * 127.5 / 10).astype(int)
    shares = np.stack([(pixels == label).mean(axis=(1, 2)) for label in range(20)], axis=1)
    assert (shares > 0).sum() > 25
    np.testing.assert_allclose(shares, rows, atol=0.1)  # the border of the rectangle falls between pixels


def test_strength_of_randaugment_is_how_far_it_goes(batch):
    smooth = tf.cast(tf.image.resize(tf.cast(batch[0][:, :4, :4], tf.float32), (32, 32)), tf.uint8)
    plain = preprocess_input(smooth.numpy())

    def distance(name):
        images = [augmentation.make(IMAGES, name, TASK)(smooth, batch[1], SEED + step)[0] for step in range(4)]
        return np.median([np.abs(image - plain).mean(axis=(1, 2, 3)) for image in images])

    assert 0 < distance("randaugment:1") < 0.5 * distance("randaugment:10")


def test_parts_have_strengths_and_an_order():
    assert augmentation_parts("mixup+flip") == {"flip": None, "mixup": 0.2}
    assert augmentation_parts("randaugment:5 + cutmix") == {"randaugment": 5.0, "cutmix": 1.0}


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("heavy", "augmentation must be of none, mosaic, light, .* not 'heavy'"),
        ("", "augmentation must be of"),
        ("flip:2", "flip takes no strength"),
        ("mixup:x", "mixup takes a strength above 0"),
        ("randaugment:11", "at most 10"),
        ("none+flip", "none stands alone"),
        ("light+crop", "light beside mosaic, mixup and cutmix only"),
    ],
)
def test_a_bad_augmentation_is_one_line(bad, message):
    with pytest.raises(UserError, match=message) as caught:
        training.Recipe(augmentation=bad)
    assert "\n" not in str(caught.value)


def test_the_global_precision_is_of_models_not_of_pixels(batch):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        assert augmentation.make(IMAGES, "flip+mixup", TASK)(*batch, SEED)[0].dtype == tf.float32
    finally:
        keras.config.set_dtype_policy(before)
