"""Boxes in an image, each of a class: a label is a table of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_mobilenets.errors import UserError
from keras_mobilenets.models.detection.anchors import anchors_of
from keras_mobilenets.training.introspection import shape_text
from keras_mobilenets.training.recipe import Recipe
from keras_mobilenets.training.tasks.detection import augmentation
from keras_mobilenets.training.tasks.detection.boxes import COLUMNS, PADDING
from keras_mobilenets.training.tasks.detection.loss import detection_loss
from keras_mobilenets.training.tasks.detection.matching import targets
from keras_mobilenets.training.tasks.objective import Objective
from keras_mobilenets.training.tasks.task import Change, Task


class Detection(Task):
    """Boxes of classes; focal loss and smooth L1, mean average precision."""

    name = "detection"
    dtype = np.dtype(np.float32)
    mixes = False

    def __init__(self, class_names: Sequence[str], boxes: int):
        """Takes the classes, and the most boxes that an image has."""
        super().__init__(class_names)
        self.shape = (boxes, COLUMNS)

    @property
    def parts(self) -> Mapping[str, Change]:
        """Changes that move boxes with their pixels."""
        return augmentation.PARTS

    def table(self, rows: np.ndarray) -> np.ndarray:
        """Boxes K×6 as a label; of more than it holds, the first."""
        table = np.tile(np.array(PADDING, np.float32), (self.shape[0], 1))
        table[: len(rows)] = rows[: self.shape[0]]
        return table

    def missing(self, labels: np.ndarray) -> set[int]:
        """The classes without a box."""
        return set(range(len(self.class_names))) - set(labels[..., 4].astype(int).flat)

    def balanced_weights(self, labels: np.ndarray) -> np.ndarray:
        """float32 C: inversely as often as a class's boxes, 1 where all are as frequent."""
        numbers = labels[..., 4][labels[..., 4] >= 0].astype(int)
        counts = np.maximum(np.bincount(numbers, minlength=len(self.class_names)), 1)
        return (counts.sum() / (len(counts) * counts)).astype(np.float32)

    def soft(self, labels: tf.Tensor) -> tf.Tensor:
        """Refuses: boxes are not blended."""
        raise UserError("boxes cannot be blended: leave out mixup, cutmix and distillation")

    def caption(self, label: np.ndarray) -> str:
        """The classes with their numbers, such as "2 star, ring"."""
        counts = Counter(self.class_names[int(number)] for number in label[:, 4] if number >= 0)
        return ", ".join(name if count == 1 else f"{count} {name}" for name, count in counts.items()) or "nothing"

    def check(self, model: Any, data: str) -> None:
        """Offsets and logits for each anchor."""
        classes, output = len(self.class_names), tuple(model.output_shape[1:])
        if len(output) != 2:
            raise UserError(
                f"the model has output {shape_text(output)} but {data} holds boxes: build a detector, such as "
                f"SSDLiteMobileNetV2, with classes={classes}"
            )
        if output != (len(anchors_of(model)), 4 + 1 + classes):
            raise UserError(
                f"the model detects {output[1] - 5} classes but {data} has {classes}; build it with classes={classes}"
            )

    def objective(self, model: Any, recipe: Recipe, weights: np.ndarray | None = None) -> Objective:
        """Focal loss of the classes and smooth L1 of the offsets; the best epoch has the lowest.

        Raises:
            UserError: The recipe has stages.
        """
        if recipe.stages > 1:
            raise UserError("stages grow images, and a detector's anchors are of one size: leave stages at 1")
        anchors = anchors_of(model)

        def matched(images: tf.Tensor, tables: tf.Tensor, *weights: tf.Tensor) -> tuple[tf.Tensor, ...]:
            return images, targets(tables, anchors), *weights

        def match(batches: tf.data.Dataset) -> tf.data.Dataset:
            return batches.map(matched, tf.data.AUTOTUNE, deterministic=True).prefetch(tf.data.AUTOTUNE)

        def loss(answers: Any, outputs: Any) -> Any:
            return detection_loss(answers, outputs, weights, recipe.label_smoothing)

        return Objective(loss, accuracy=None, monitor="val_loss", targets=match, validation=match)

    def examine_into(self, run_dir: str | Path, model: Any, data: Any, again: bool = False) -> Any:
        """Precision by recall, and the worst misses."""
        from keras_mobilenets.training.tasks.detection.examination import examine_into

        return examine_into(run_dir, model, data, again)
