"""The label of an image that holds boxes: a table of them, padded to the most that an image of the data set has."""

import tensorflow as tf

COLUMNS = 6  # y1, x1, y2, x2 in shares of the image's height and width; class; 1 where it is not judged
CLASS, UNJUDGED = 4, 5
PADDING = (0.0, 0.0, 0.0, 0.0, -1.0, 0.0)


def is_box(table: tf.Tensor) -> tf.Tensor:
    """Which rows of a table …×M×6 are boxes."""
    return table[..., 4] >= 0


def judged(table: tf.Tensor) -> tf.Tensor:
    """Which rows are boxes to be found; crowds and what is difficult are not."""
    return is_box(table) & (table[..., 5] == 0)


def area(boxes: tf.Tensor) -> tf.Tensor:
    """The area of boxes …×4, as a share of the image's."""
    return tf.reduce_prod(tf.maximum(boxes[..., 2:4] - boxes[..., :2], 0.0), axis=-1)


def overlap(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """Intersection over union of boxes.

    Args:
        one: …×M×4.
        other: A×4.

    Returns:
        …×M×A, 0 where both have no area.
    """
    one, other = one[..., :, tf.newaxis, :], other[tf.newaxis]
    sides = tf.minimum(one[..., 2:], other[..., 2:]) - tf.maximum(one[..., :2], other[..., :2])
    shared = tf.reduce_prod(tf.maximum(sides, 0.0), axis=-1)
    return tf.math.divide_no_nan(shared, area(one) + area(other) - shared)
