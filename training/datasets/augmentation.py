"""Augmentation of batches of uint8 images by the preprocessing layers of Keras.

The layers have random states of their own; here they use stateless random numbers instead, so that the images of a step
depend on (seed, step) alone and a training can resume anywhere.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import keras
import tensorflow as tf

from keras_mobilenets.errors import UserError
from keras_mobilenets.training.recipe import MIXING, augmentation_parts, mixes

VIEWS = 2**62  # seeds of fixed views, far from those of trainings
SHARD = 2**16  # seeds of the shards of a batch, beside those of the whole batch
GROUP = 8  # images to which RandAugment applies the same two operations
FLOAT: dict[str, Any] = {"dtype": "float32"}  # whatever the global policy is
GREY = FLOAT | {"fill_mode": "constant", "fill_value": 127.5}
PIXELS = FLOAT | {"value_range": (0, 255)}


def make(
    augmentation: str, classes: int, shard: tuple[int, int] = (0, 1)
) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """Builds an augmentation from its name.

    Args:
        augmentation: As in `Recipe`.
        classes: Number of classes.
        shard: Index and number of shards of a batch, of which the images are one. "light" gives them the same as in
            the whole batch; the other augmentations draw per shard, and mix images of the same shard.

    Returns:
        A function of uint8 images N×H×W×3, integer labels and a seed (two integers) to float32 images in [−1, 1] and
        labels; with mixup or cutmix, these are soft labels, float32 N×classes.
    """
    parts = augmentation_parts(augmentation)
    mixing = [_mixing(name, strength) for name, strength in parts.items() if name in MIXING]
    pixels = [partial(PARTS[name], strength) for name, strength in parts.items() if name in PARTS]

    def augmented(images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        own = seed if shard[1] == 1 else _fold(seed, SHARD + shard[0])
        if "light" in parts:
            images = light(images, seed, shard)
        else:
            shape = images.shape
            for number, part in enumerate(pixels):
                images = part(tf.cast(images, tf.float32), _fold(own, number))
            images = tf.ensure_shape(scale(images), shape)
        if not mixing:
            return images, labels
        rows = tf.one_hot(tf.reshape(labels, [-1]), classes)
        drawn = tf.random.stateless_uniform([], _fold(seed, -1), maxval=len(mixing), dtype=tf.int32)
        return tf.switch_case(drawn, [partial(mix, images, rows, _fold(own, -2)) for mix in mixing])

    return augmented


def fixed_views(augmentation: str) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]:
    """Builds fixed views: an augmentation that is the same for an image in every epoch and in every batch.

    Args:
        augmentation: As in `Recipe`, without mixup and cutmix.

    Returns:
        A function of uint8 images N×H×W×3, their index in the split and the number of the view (both int64) to float32
        images in [−1, 1].

    Raises:
        UserError: The augmentation has mixup or cutmix.
    """
    if mixes(augmentation):
        raise UserError(f"augmentation {augmentation!r}: mixed images have no fixed views; leave mixup and cutmix out")
    augmented = make(augmentation, classes=0)

    def seen(images: tf.Tensor, places: tf.Tensor, view: tf.Tensor) -> tf.Tensor:
        def one(image_at: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
            image, place = image_at
            return augmented(image[tf.newaxis], place[tf.newaxis], tf.stack([VIEWS + view, place]))[0][0]

        if augmentation == "none":
            return scale(images)
        return tf.map_fn(one, (images, places), fn_output_signature=tf.TensorSpec(images.shape[1:], tf.float32))

    return seen


def scale(images: tf.Tensor) -> tf.Tensor:
    """Scales uint8 pixels to [−1, 1]; `keras_mobilenets.preprocess_input` inside a tf.data pipeline."""
    return tf.cast(images, tf.float32) / 127.5 - 1.0


def light(images: tf.Tensor, seed: tf.Tensor, shard: tuple[int, int] = (0, 1)) -> tf.Tensor:
    """Flips, shifts, and changes contrast and brightness of each image of a batch, and scales to [−1, 1].

    Two gathers and one multiply-add for the whole batch: it costs about as much as `scale`.

    Args:
        images: uint8, N×H×W×3.
        seed: Two integers; the same seed gives the same result.
        shard: Index and number of shards of a batch, of which the images are one.
    """
    count, height, width = tf.shape(images)[0], images.shape[1], images.shape[2]
    draws = tf.random.stateless_uniform([5, count * shard[1], 1], seed)[:, shard[0] * count : (shard[0] + 1) * count]

    def source(draw: tf.Tensor, length: int) -> tf.Tensor:
        """The rows (or columns) of each image to read: shifted, with reflection padding."""
        reach = length // 8
        index = tf.range(length) + tf.cast(tf.floor(draw * (2 * reach + 1)), tf.int32) - reach
        index = tf.abs(index)
        return tf.minimum(index, 2 * (length - 1) - index)

    rows, columns = source(draws[0], height), source(draws[1], width)
    columns = tf.where(draws[2] < 0.5, columns, width - 1 - columns)
    images = tf.gather(tf.gather(images, rows, axis=1, batch_dims=1), columns, axis=2, batch_dims=1)
    contrast = tf.reshape(0.7 + 0.6 * draws[3], [-1, 1, 1, 1])
    brightness = tf.reshape(0.4 * draws[4] - 0.2, [-1, 1, 1, 1])
    return tf.clip_by_value(tf.cast(images, tf.float32) * (contrast / 127.5) + (brightness - contrast), -1.0, 1.0)


def resized_crop(least: float | None, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """A crop of `least` to all of the area, aspect ratio 3/4 to 4/3, resized to the image's size (Inception).

    Keras has no layer for it; one TensorFlow operator crops and resizes the whole batch.
    """
    count, size = tf.shape(images)[0], images.shape[1:3]
    draws = tf.random.stateless_uniform([4, count], seed)
    share = least or 1.0
    area = share + (1 - share) * draws[0]
    stretch = tf.exp((2 * draws[1] - 1) * tf.math.log(4 / 3) / 2)
    height, width = tf.minimum(tf.sqrt(area) * stretch, 1.0), tf.minimum(tf.sqrt(area) / stretch, 1.0)
    top, left = draws[2] * (1 - height), draws[3] * (1 - width)
    boxes = tf.stack([top, left, top + height, left + width], axis=1)
    return tf.image.crop_and_resize(images, boxes, tf.range(count), size)


def flip(_: float | None, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Flips half of the images horizontally."""
    return _apply(_layers(0.0)["flip"], images, seed)


def crop(_: float | None, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Shifts each image by whole pixels, up to an eighth of the side; the border is black."""
    return _apply(_layers(0.0)["crop"], images, seed)


def rand_augment(magnitude: float | None, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Two of twelve operations, drawn for every few images; their magnitudes are drawn for every image.

    keras.layers.RandAugment draws two for the whole batch and computes all of them to select from: 15 times the work.
    """
    layers = [layer for name, layer in _layers(float(magnitude or 0)).items() if name not in ("flip", "crop")]
    count = tf.shape(images)[0]
    size = GROUP if images.shape[0] is None else min(GROUP, images.shape[0])
    members = tf.reshape(tf.range(-(-count // size) * size) % count, [-1, size])

    def group(number: tf.Tensor) -> tf.Tensor:
        own = _fold(seed, number)
        drawn = tf.random.stateless_uniform([2], own, maxval=len(layers) + 1, dtype=tf.int32)

        def operate(chosen: tf.Tensor, turn: tf.Tensor) -> tf.Tensor:
            branches = [partial(_apply, layer, chosen, _fold(own, turn)) for layer in layers]
            return tf.switch_case(drawn[turn], [*branches, partial(tf.identity, chosen)])

        return tf.foldl(operate, tf.range(2), tf.gather(images, members[number]))

    results = tf.map_fn(group, tf.range(tf.shape(members)[0]), fn_output_signature=tf.float32)
    return tf.reshape(results, [-1, *images.shape[1:]])[:count]


PARTS: dict[str, Callable[[float | None, tf.Tensor, tf.Tensor], tf.Tensor]] = {
    "resized_crop": resized_crop,
    "flip": flip,
    "crop": crop,
    "randaugment": rand_augment,
}


@cache
def _layers(magnitude: float) -> dict[str, Any]:
    """The Keras layers; the ranges of those of RandAugment follow its magnitude (of 10), as in arXiv:1805.09501."""
    reach, layers = magnitude / 10, keras.layers
    made = {
        "flip": layers.RandomFlip("horizontal", **FLOAT),
        "crop": layers.RandomTranslation(0.125, 0.125, fill_mode="constant", interpolation="nearest", **FLOAT),
        "shear": layers.RandomShear(0.3 * reach, 0.3 * reach, **GREY),
        "translation": layers.RandomTranslation(0.45 * reach, 0.45 * reach, **GREY),
        "rotation": layers.RandomRotation(reach / 12, **GREY),  # of a whole turn
        "brightness": layers.RandomBrightness(0.5 * reach, **PIXELS),
        "color": layers.RandomColorDegeneration(0.9 * reach, **PIXELS),
        "contrast": layers.RandomContrast(0.9 * reach, **PIXELS),
        "sharpness": layers.RandomSharpness(0.9 * reach, **PIXELS),
        "solarization": layers.Solarization(threshold_factor=(1 - reach, 1.0), **PIXELS),
        "posterization": layers.RandomPosterization((max(1, round(8 - 4 * reach)), 8), **PIXELS),
        "contrast_stretch": layers.AutoContrast(**PIXELS),
        "equalization": layers.Equalization(**PIXELS),
    }
    return made


def _mixing(name: str, strength: float | None) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
    layer = {"mixup": keras.layers.MixUp, "cutmix": keras.layers.CutMix}[name](strength, **FLOAT)
    layer.backend.set_backend("tensorflow")

    def mix(images: tf.Tensor, rows: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        drawn = layer.get_random_transformation(images, training=True, seed=_SeedStream(seed))
        mixed = layer.transform_images(images, drawn, training=True)
        return tf.ensure_shape(mixed, images.shape), layer.transform_labels(rows, drawn, training=True)

    return mix


def _apply(layer: Any, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    layer.backend.set_backend("tensorflow")  # whatever the backend of the model: this runs in tf.data
    drawn = layer.get_random_transformation(images, training=True, seed=_SeedStream(seed))
    changed = layer.transform_images(images, drawn, training=True)
    return tf.clip_by_value(tf.ensure_shape(tf.cast(changed, tf.float32), images.shape), 0.0, 255.0)


class _SeedStream(keras.random.SeedGenerator):
    """A seed generator for Keras layers that derives its seeds from a stateless one, without a variable."""

    def __init__(self, seed: tf.Tensor) -> None:
        self._from, self._number = seed, 0

    def next(self, ordered: bool = True) -> tf.Tensor:
        self._number += 1
        return _fold(self._from, self._number)


def _fold(seed: tf.Tensor, number: Any) -> tf.Tensor:
    return tf.random.experimental.stateless_fold_in(seed, tf.cast(number, tf.int64))
