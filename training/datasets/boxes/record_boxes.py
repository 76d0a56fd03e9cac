"""The boxes of TensorFlow Datasets' records, as COCO's and VOC's have them: a sequence of box and class."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import tensorflow as tf
import tensorflow_datasets as tfds

from keras_mobilenets.training.tasks.detection.boxes import PADDING
from keras_mobilenets.training.tasks.detection.detection import Detection

MOST = 100  # boxes of an image, where the builder does not say it; more are left out
UNJUDGED = ("is_crowd", "is_difficult")


class RecordBoxes(NamedTuple):
    """Where a record's boxes are.

    Attributes:
        key: Of the sequence.
        box: Of the box within it, of the class and of what is not judged; the last None where there is none.
        label: Likewise.
        unjudged: Likewise.
        task: What the labels are.
    """

    key: str
    box: str
    label: str
    unjudged: str | None
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
        rows = tf.concat([record[self.box], label[:, None], ignored[:, None]], axis=1)[: self._most]
        return tf.concat([rows, tf.tile(tf.constant([PADDING]), [self._most - tf.shape(rows)[0], 1])], axis=0)


def boxes_of(builder: Any) -> RecordBoxes | None:
    """The boxes of a builder's records; None where they have none, or a class for the whole image."""
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
        if len(boxes) == 1 and labels:
            label = "label" if "label" in labels else labels[0]
            unjudged = next((name for name in UNJUDGED if name in parts), None)
            most = getattr(builder, "MOST_BOXES", MOST)
            return RecordBoxes(key, boxes[0], label, unjudged, Detection(parts[label].names, most))
    return None
