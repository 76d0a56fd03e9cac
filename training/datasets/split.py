"""A split as it lies on disk: a stream of single images in an order that the seed decides."""

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

UNREADABLE = -1  # the label of an image that could not be decoded

Selection = Callable[[tf.data.Dataset], tf.data.Dataset]  # keeps some of the images of a stream


def select_all(stream: tf.data.Dataset) -> tf.data.Dataset:
    """Leaves nothing out."""
    return stream


@dataclass(frozen=True)
class Split:
    """Images that lie on disk.

    Attributes:
        count: How many there are.
        images: Given a seed (two integers, or None for the order on disk) and a number, a data set of single
            (uint8 image, label, place on disk) in an order that depends on the seed alone. So many of the first are
            left out, and not decoded. The label is UNREADABLE where decoding failed. A third argument, from data sets
            to data sets, says which of the rest are decoded.
    """

    count: int
    images: Callable[..., tf.data.Dataset]


def permutation(count: int, seed: tf.Tensor) -> tf.Tensor:
    """The numbers below `count` in an order that depends on `seed` (two integers) alone."""
    return tf.argsort(tf.random.stateless_uniform([count], seed), stable=True)
