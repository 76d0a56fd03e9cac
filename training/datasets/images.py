"""Images as the examples of a data set: how they are scaled, and changed by the preprocessing layers of Keras."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_mobilenets.pixels.batches import to_pixels
from keras_mobilenets.pixels.folder_layout import IMAGE
from keras_mobilenets.pixels.image_decoder import BitDepth, read_image, squared, why_unreadable
from keras_mobilenets.pixels.preprocessing_layers import scaling_of_layers
from keras_mobilenets.pixels.scaling import MINUS_ONE_TO_ONE
from keras_mobilenets.training.datasets.augmentation import SeedStream, fold
from keras_mobilenets.training.datasets.kind import Change, Kind, Reader

GROUP = 8  # images to which RandAugment applies the same two operations
FLOAT: dict[str, Any] = {"dtype": "float32"}  # whatever the global policy is
GREY = FLOAT | {"fill_mode": "constant", "fill_value": 127.5}
PIXELS = FLOAT | {"value_range": (0, 255)}


class Images(Kind):
    """RGB squares, held as uint8; a scaling is a `PixelScaling`."""

    noun = "image"
    files = IMAGE
    record = "Image"
    dtype = np.dtype(np.uint8)
    scaling = MINUS_ONE_TO_ONE

    def __init__(self, size: int, whole: bool = False):
        """Takes height and width in pixels, and whether images are stretched to them rather than cropped."""
        self.shape, self._whole = (size, size, 3), whole

    def reader(self, name: str, files: Sequence[str]) -> Reader:
        """Reads an image and makes it square; those of 16 bits have one depth."""
        return partial(read_image, size=self.shape[0], depth=BitDepth(name, files), whole=self._whole)

    def why_unreadable(self, error: Exception) -> str:
        """Whether it is damaged or no image."""
        return why_unreadable(error)

    def fitted(self, feature: Any) -> Callable[[np.ndarray], np.ndarray]:
        """Makes the decoded image square."""
        return partial(squared, size=self.shape[0], whole=self._whole)

    @property
    def parts(self) -> Mapping[str, Change]:
        """Changes of float32 pixels 0..255."""
        return PARTS

    def scale(self, examples: tf.Tensor) -> tf.Tensor:
        """As `scale`."""
        return scale(examples)

    def light(self, examples: tf.Tensor, seed: tf.Tensor, shard: tuple[int, int] = (0, 1)) -> tf.Tensor:
        """As `light`."""
        return light(examples, seed, shard)

    def resized(self, examples: tf.Tensor, size: int) -> tf.Tensor:
        """By area: half the cost of antialiasing."""
        return tf.cast(tf.round(tf.image.resize(examples, (size, size), "area")), tf.uint8)

    def scaling_for(self, model: Any) -> Any:
        """As the model's first layers say."""
        return scaling_of_layers(model)

    def described(self, scaling: Any) -> dict[str, Any]:
        """What its pixels mean."""
        return {"pixels": str(scaling)}

    def values(self, examples: tf.Tensor, scaling: Any) -> tf.Tensor:
        """Images of [−1, 1] in another scaling."""
        if scaling.range == (-1, 1):
            return examples
        mean, std = (tf.constant(value, tf.float32) for value in (scaling.mean, scaling.std))
        return ((examples + 1) * 127.5 - mean) / std

    def inputs(self, examples: np.ndarray, scaling: Any) -> np.ndarray:
        """The pixels: conversion and evaluation scale them as the model or the file says."""
        return examples

    def pictures(self, inputs: np.ndarray, scaling: Any) -> np.ndarray:
        """The images themselves."""
        return to_pixels(inputs, scaling) if inputs.dtype.kind == "f" else inputs


def scale(images: tf.Tensor) -> tf.Tensor:
    """Scales uint8 pixels to [−1, 1]; `keras_mobilenets.preprocess_input` inside a tf.data pipeline."""
    return tf.cast(images, tf.float32) / 127.5 - 1.0


def light(images: tf.Tensor, seed: tf.Tensor, shard: tuple[int, int] = (0, 1), flips: bool = True) -> tf.Tensor:
    """Flips, shifts, and changes contrast and brightness of each image of a batch, and scales to [−1, 1].

    Two gathers and one multiply-add for the whole batch: it costs about as much as `scale`.

    Args:
        images: uint8, N×H×W×C.
        seed: Two integers; the same seed gives the same result.
        shard: Index and number of shards of a batch, of which the images are one.
        flips: Whether half of them are flipped.
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
    columns = tf.where(draws[2] < 0.5, columns, width - 1 - columns) if flips else columns
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
        own = fold(seed, number)
        drawn = tf.random.stateless_uniform([2], own, maxval=len(layers) + 1, dtype=tf.int32)

        def operate(chosen: tf.Tensor, turn: tf.Tensor) -> tf.Tensor:
            branches = [partial(_apply, layer, chosen, fold(own, turn)) for layer in layers]
            return tf.switch_case(drawn[turn], [*branches, partial(tf.identity, chosen)])

        return tf.foldl(operate, tf.range(2), tf.gather(images, members[number]))

    results = tf.map_fn(group, tf.range(tf.shape(members)[0]), fn_output_signature=tf.float32)
    return tf.reshape(results, [-1, *images.shape[1:]])[:count]


PARTS: dict[str, Change] = {
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


def _apply(layer: Any, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    layer.backend.set_backend("tensorflow")  # whatever the backend of the model: this runs in tf.data
    drawn = layer.get_random_transformation(images, training=True, seed=SeedStream(seed))
    changed = layer.transform_images(images, drawn, training=True)
    return tf.clip_by_value(tf.ensure_shape(tf.cast(changed, tf.float32), images.shape), 0.0, 255.0)
