"""Which anchor answers for which box, and with which offsets: SSD (arXiv:1512.02325), section 2.2.

A box is answered for by every anchor that overlaps it by half; beyond SSD, in any case by its best one and by those
that are nearly as good. Where the sizes of boxes fall between those of anchors, half is what hardly one reaches: at 160
pixels, SSDLite's give a box of `shapes_detection` 1.6 anchors, and 4.7 so.
"""

import numpy as np
import tensorflow as tf

from keras_mobilenets.models.detection.anchors import CENTER, SIZE, corners
from keras_mobilenets.training.tasks.detection.boxes import is_box, judged, overlap

OVERLAP = 0.5
NEARLY = 0.8  # share of the best anchor's overlap
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
    enough = tf.minimum(OVERLAP, NEARLY * tf.reduce_max(wanted, axis=2, keepdims=True))
    best = tf.one_hot(tf.argmax(wanted, axis=2), len(anchors))
    claim = tf.maximum(2.0 * best, wanted)  # of a box at an anchor; its best anchor is surely its own
    claim = tf.where((wanted >= enough) & (wanted > 0), claim, 0.0)
    answered = tf.argmax(claim, axis=1)
    is_positive = tf.reduce_max(claim, axis=1) > 0
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
