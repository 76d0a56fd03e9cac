"""From a detector's answers to the boxes it found: decoding, non-maximum suppression by TensorFlow's operator."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_mobilenets.models.detection.anchors import decoded

OVERLAP = 0.6  # of two boxes, above which the weaker is dropped
LOWEST = 0.02  # score from which a box counts; mean average precision wants the weak ones too
MOST = 100  # boxes of an image, as COCO judges


class Found(NamedTuple):
    """The boxes that were found in an image, the surest first.

    Attributes:
        boxes: float32 K×4: y1, x1, y2, x2 in shares of the image's height and width.
        scores: float32 K, 0..1.
        classes: int64 K.
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray


def found(answers: np.ndarray, anchors: np.ndarray) -> list[Found]:
    """The boxes of each image: each anchor's best class, and of boxes that overlap the surest, whatever their classes.

    Args:
        answers: float, N×A×(4 + 1 + classes), as `SSDLite`.
        anchors: A×4, as `models.detection.anchors`.
    """
    boxes = decoded(answers[..., :4], anchors)
    scores = tf.nn.softmax(answers[..., 4:])[..., 1:].numpy()
    best, classes = scores.max(axis=-1), scores.argmax(axis=-1)
    return [_kept(*image) for image in zip(boxes, best, classes, strict=True)]


def _kept(boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray) -> Found:
    kept = tf.image.non_max_suppression(boxes, scores, MOST, OVERLAP, LOWEST).numpy()
    return Found(boxes[kept], scores[kept], classes[kept])
