"""Augmentation that moves boxes with their pixels, with stateless random numbers."""

from collections.abc import Callable

import tensorflow as tf

from keras_mobilenets.training.tasks.detection.boxes import PADDING, area, is_box

WIDEST, CLOSEST = 1.25, 0.6  # side of the window that is cut out, as a share of the image's
KEPT = 0.3  # of a box's area that must be inside the window
STRETCH = 1.25


def flip(_: float | None, images: tf.Tensor, tables: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Exchanges left and right in half of the images."""
    flips = tf.random.stateless_uniform([tf.shape(images)[0]], seed) < 0.5
    mirrored = tf.stack([tables[..., 0], 1 - tables[..., 3], tables[..., 2], 1 - tables[..., 1]], axis=-1)
    mirrored = tf.concat([mirrored, tables[..., 4:]], axis=-1)
    images = tf.where(flips[:, None, None, None], images[:, :, ::-1], images)
    return images, _padded(tf.where(flips[:, None, None], mirrored, tables))


def zoom(_: float | None, images: tf.Tensor, tables: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Cuts out a window or puts the image into a larger grey one (SSD, section 2.2), stretched by up to a quarter."""
    draws = tf.random.stateless_uniform([4, tf.shape(images)[0]], seed)
    side = tf.exp(tf.math.log(CLOSEST) + draws[0] * (tf.math.log(WIDEST) - tf.math.log(CLOSEST)))
    stretch = tf.exp((draws[1] - 0.5) * tf.math.log(STRETCH))
    sides = tf.stack([side * stretch, side / stretch], axis=1)
    corner = tf.stack([draws[2], draws[3]], axis=1) * (1 - sides)
    return _seen(images, tables, corner, sides, 127.5)


def mosaic(share: float, images: tf.Tensor, tables: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Shows a window of four images side by side in a share of the images (YOLOv4, arXiv:2004.10934, section 3.4).

    The others are the neighbours in the batch; the window is as large as one of them to as large as all four, and a
    table has as many rows as theirs.
    """
    draws = tf.random.stateless_uniform([4, tf.shape(images)[0], 1], seed)
    side = tf.where(draws[0] < share, 1 + draws[1], 1.0)
    corner = tf.where(draws[0] < share, tf.concat([draws[2], draws[3]], axis=1) * (2 - side), 0.0)
    parts = [
        _seen(tf.roll(images, place, 0), tf.roll(tables, place, 0), corner - tf.constant(origin), side, 0.0)
        for place, origin in enumerate([(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)])
    ]
    pixels, rows = zip(*parts, strict=True)
    return tf.add_n(pixels), tf.concat(rows, axis=1)  # (outside of an image there is 0)


def light(_: float | None, images: tf.Tensor, tables: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Flips, zooms, and changes contrast and brightness of each image."""
    images, tables = flip(None, *zoom(None, images, tables, seed), seed + 1)
    draws = tf.random.stateless_uniform([2, tf.shape(images)[0], 1, 1, 1], seed + 2)
    contrast, brightness = 0.7 + 0.6 * draws[0], 127.5 * (0.4 * draws[1] - 0.2)
    return tf.clip_by_value((images - 127.5) * contrast + 127.5 + brightness, 0.0, 255.0), tables


PARTS: dict[str, Callable[..., tuple[tf.Tensor, tf.Tensor]]] = {
    "mosaic": mosaic,
    "light": light,
    "resized_crop": zoom,
    "flip": flip,
}


def _seen(
    images: tf.Tensor, tables: tf.Tensor, corner: tf.Tensor, sides: tf.Tensor, outside: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """What is seen in a window of each image, at the images' size.

    Args:
        images: float32 N×H×W×C.
        tables: N×M×6.
        corner: N×2: the window's y1 and x1 in shares of the image's sides, which it may reach beyond.
        sides: N×2 or N×1: the window's.
        outside: The values of pixels beyond the image.
    """
    sides = tf.broadcast_to(sides, tf.shape(corner))
    windows, count = tf.concat([corner, corner + sides], axis=1), tf.shape(images)[0]
    cut = tf.image.crop_and_resize(images, windows, tf.range(count), images.shape[1:3], extrapolation_value=outside)
    moved = (tables[..., :4] - tf.tile(corner, [1, 2])[:, None]) / tf.tile(sides, [1, 2])[:, None]
    inside = tf.clip_by_value(moved, 0.0, 1.0)
    stays = is_box(tables) & (area(inside) > KEPT * area(moved))
    return cut, _padded(tf.concat([inside, tables[..., 4:]], axis=-1), stays)


def _padded(tables: tf.Tensor, stays: tf.Tensor | None = None) -> tf.Tensor:
    """Tables whose rows that are no box any more are padding."""
    stays = is_box(tables) if stays is None else stays
    return tf.where(stays[..., None], tables, tf.constant(PADDING))
