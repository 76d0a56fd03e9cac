"""The boxes of TensorFlow Datasets' records, as COCO's and VOC's have them: a sequence of box and class."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import tensorflow as tf
import tensorflow_datasets as tfds

from keras_mobilenets.errors import UserError
from keras_mobilenets.training.tasks.detection.boxes import PADDING
from keras_mobilenets.training.tasks.detection.detection import Detection

MOST = 100  # boxes of an image, where the builder does not say it; more are left out
UNJUDGED = ("is_crowd", "is_difficult")
CLASSES = ("label", "type", "category", "class")  # the first of these, where there are several
ORDERS = {"REL_YXYX": (0, 1, 2, 3), "REL_XYXY": (1, 0, 3, 2)}  # of y1, x1, y2, x2 in a box
FROM_BELOW = ("kitti",)  # whose y counts from the lower edge


class RecordBoxes(NamedTuple):
    """Where a record's boxes are.

    Attributes:
        key: Of the sequence.
        box: Of the box within it, of the class and of what is not judged; the last None where there is none.
        label: Likewise.
        unjudged: Likewise.
        order: Where y1, x1, y2, x2 are in a box.
        from_below: Whether y counts from the lower edge.
        task: What the labels are.
    """

    key: str
    box: str
    label: str
    unjudged: str | None
    order: tuple[int, ...]
    from_below: bool
    task: Detection

    @property
    def _most(self) -> int:
        return self.task.shape[0]

    def read(self, example: Mapping[str, Any]) -> tf.Tensor:
        """The label of an example."""
        return self.table(example[self.key])

    def table(self, record: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """The boxes of a record as a label."""
        label = tf.cast(record[self.label], tf.float32)
        ignored = tf.cast(record[self.unjudged], tf.float32) if self.unjudged else tf.zeros_like(label)
        boxes = tf.gather(record[self.box], self.order, axis=1)
        if self.from_below:
            y1, x1, y2, x2 = tf.unstack(boxes, axis=1)
            boxes = tf.stack([1 - y2, x1, 1 - y1, x2], axis=1)
        rows = tf.concat([boxes, label[:, None], ignored[:, None]], axis=1)[: self._most]
        return tf.concat([rows, tf.tile(tf.constant([PADDING]), [self._most - tf.shape(rows)[0], 1])], axis=0)


def boxes_of(builder: Any) -> RecordBoxes | None:
    """The boxes of a builder's records; None where they have none, or a class for the whole image.

    Raises:
        UserError: They are not in shares of the image's sides.
    """
    features = builder.info.features
    known = dict(features) if isinstance(features, tfds.features.FeaturesDict) else {}
    if any(isinstance(feature, tfds.features.ClassLabel) for feature in known.values()):
        return None
    for key, feature in known.items():
        inner = getattr(feature, "feature", None)
        if not isinstance(inner, tfds.features.FeaturesDict):
            continue
        parts = dict(inner)
        boxes = [name for name, part in parts.items() if isinstance(part, tfds.features.BBoxFeature)]
        labels = [name for name, part in parts.items() if isinstance(part, tfds.features.ClassLabel)]
        named = next((name for name in CLASSES if name in labels), None)
        if len(boxes) == 1 and (named or len(labels) == 1):
            label = named or labels[0]
            unjudged = next((name for name in UNJUDGED if name in parts), None)
            most = getattr(builder, "MOST_BOXES", MOST)
            name, task = builder.info.name, Detection(parts[label].names, most)
            return RecordBoxes(key, boxes[0], label, unjudged, _order(parts[boxes[0]], name), name in FROM_BELOW, task)
    return None


def _order(feature: Any, name: str) -> tuple[int, ...]:
    written = getattr(feature.bbox_format, "value", None)
    if written not in ORDERS:
        raise UserError(f"data set {name} has boxes of the form {written}: write them as {' or '.join(ORDERS)}")
    return ORDERS[written]
