"""From a detector's answers to the boxes it found: decoding, non-maximum suppression by TensorFlow's operator."""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_mobilenets.models.detection.anchors import decoded

OVERLAP = 0.6  # of two boxes of a class, above which the weaker is dropped
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
    """The boxes of each image.

    Args:
        answers: float, N×A×(4 + 1 + classes), as `SSDLite`.
        anchors: A×4, as `models.detection.anchors`.
    """
    return suppressed(*boxes_and_scores(answers, anchors))


def boxes_and_scores(answers: np.ndarray, anchors: np.ndarray) -> tuple[np.ndarray, Any]:
    """What `suppressed` takes, of a detector's answers as `found` takes them."""
    return decoded(answers[..., :4], anchors), tf.nn.softmax(answers[..., 4:])[..., 1:]


def suppressed(boxes: np.ndarray, scores: Any) -> list[Found]:
    """The boxes of each image that no surer box of their class overlaps.

    Args:
        boxes: float32 N×A×4: y1, x1, y2, x2.
        scores: float32 N×A×classes, without the background.
    """
    kept = tf.image.combined_non_max_suppression(
        boxes[:, :, None], scores, MOST, MOST, OVERLAP, LOWEST, clip_boxes=False
    )
    return [
        Found(boxes[:count], scores[:count], classes[:count].astype(np.int64))
        for boxes, scores, classes, count in zip(*(part.numpy() for part in kept), strict=True)
    ]
