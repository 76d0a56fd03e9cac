"""A split of a data set on disk: a stream of single images in an order that depends on a seed."""

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

Selection = Callable[[tf.data.Dataset], tf.data.Dataset]  # keeps some of the images of a stream


def select_all(stream: tf.data.Dataset) -> tf.data.Dataset:
    """Selects every image."""
    return stream


@dataclass(frozen=True)
class Split:
    """The images of a split, on disk.

    Attributes:
        count: Number of images.
        images: Function of a seed (two integers, or None for the order on disk), the number of images to skip, and a
            `Selection` of the rest, to a data set of single (uint8 image, label, index on disk). The order depends on
            the seed alone. Skipped images are not decoded. Where decoding failed, the label is `Task.unreadable`.
    """

    count: int
    images: Callable[..., tf.data.Dataset]


def permutation(count: int, seed: tf.Tensor) -> tf.Tensor:
    """The numbers below `count` in an order that depends on `seed` (two integers) alone."""
    return tf.argsort(tf.random.stateless_uniform([count], seed), stable=True)
