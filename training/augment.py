"""Augmentation of whole batches of uint8 images from stateless random numbers, cheap enough to hide behind training."""

from collections.abc import Callable

import tensorflow as tf


def scale(images: tf.Tensor) -> tf.Tensor:
    """uint8 pixels to what the models take; `keras_mobilenets.preprocess_input` inside a tf.data pipeline."""
    return tf.cast(images, tf.float32) / 127.5 - 1.0


def light(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Flips, shifts, and changes contrast and brightness of each image of a batch, and scales to [−1, 1].

    Written as two gathers and one multiply-add for the whole batch: it costs about as much as `scale`.

    Args:
        images: uint8, N×H×W×3.
        seed: Two integers; the same seed gives the same result.
    """
    count, height, width = tf.shape(images)[0], images.shape[1], images.shape[2]
    draws = tf.random.stateless_uniform([5, count, 1], seed)

    def source(draw: tf.Tensor, length: int) -> tf.Tensor:
        """For each image, the rows (or columns) to read: shifted, and mirrored beyond the edge."""
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


BY_NAME: dict[str, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]] = {
    "none": lambda images, _: scale(images),
    "light": light,
}
