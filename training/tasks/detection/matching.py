"""Which anchor answers for which box, and with which offsets: SSD (arXiv:1512.02325), section 2.2.

A box is answered for by every anchor that overlaps it by half, and by its best one in any case.
"""

import numpy as np
import tensorflow as tf

from keras_mobilenets.models.detection.anchors import CENTER, SIZE, corners
from keras_mobilenets.training.tasks.detection.boxes import is_box, judged, overlap

OVERLAP = 0.5
BACKGROUND, IGNORED = 0.0, -1.0  # instead of 1 + class
SMALLEST = 1e-4  # side of a box, as a share of the image's, in its offsets


def targets(tables: tf.Tensor, anchors: np.ndarray) -> tf.Tensor:
    """What a detector shall answer.

    Args:
        tables: float32 N×M×6, as `boxes` says.
        anchors: A×4, as `models.detection.anchors`.

    Returns:
        float32 N×A×5: four offsets; 1 + class, `BACKGROUND`, or `IGNORED` where what is there is not judged.
    """
    centered, cornered = tf.constant(anchors), tf.constant(corners(anchors))
    boxes, found = tables[..., :4], judged(tables)
    overlaps = overlap(boxes, cornered)
    wanted = tf.where(found[..., tf.newaxis], overlaps, 0.0)
    best = tf.one_hot(tf.argmax(wanted, axis=2), len(anchors)) * tf.cast(wanted > 0, tf.float32)
    weight = tf.maximum(2.0 * best, wanted)  # of a box at an anchor; its best anchor is surely its own
    answered = tf.argmax(weight, axis=1)
    is_positive = tf.reduce_max(weight, axis=1) >= OVERLAP
    unjudged = tf.where((is_box(tables) & ~found)[..., tf.newaxis], overlaps, 0.0)
    is_ignored = tf.reduce_max(unjudged, axis=1) >= OVERLAP
    classes = tf.where(is_ignored, IGNORED, BACKGROUND)
    classes = tf.where(is_positive, 1.0 + tf.gather(tables[..., 4], answered, batch_dims=1), classes)
    offsets = encoded(tf.gather(boxes, answered, batch_dims=1), centered)
    return tf.concat([tf.where(is_positive[..., tf.newaxis], offsets, 0.0), classes[..., tf.newaxis]], axis=-1)


def encoded(boxes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
    """Boxes …×A×4 as offsets from their anchors, which `models.detection.anchors.decoded` undoes."""
    size = tf.maximum(boxes[..., 2:] - boxes[..., :2], SMALLEST)
    center = (boxes[..., 2:] + boxes[..., :2]) / 2
    moved = CENTER * (center - anchors[:, :2]) / anchors[:, 2:]
    return tf.concat([moved, SIZE * tf.math.log(size / anchors[:, 2:])], axis=-1)
