"""Several labels an image: all scores on a split, and what is most confidently wrong."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from keras_mobilenets.training.evaluation import precision_recall
from keras_mobilenets.training.evaluation.examination import MISTAKES, WorstAnswers
from keras_mobilenets.training.evaluation.examination_file import ExaminationFile
from keras_mobilenets.training.evaluation.forward_pass import answers
from keras_mobilenets.training.introspection import gives_logits, without_nesting

TASK = "attributes"


@dataclass(frozen=True)
class AttributeExamination(ExaminationFile):
    """What a model says of the labels of a split.

    Attributes:
        class_names: The C labels.
        split: "train", "validation" or "test".
        scores: float32 N×C, 0..1.
        truth: uint8 N×C, 1 where an image has the label.
        images: uint8 M×S×S×3: images with a label that is wrong, in order of decreasing confidence.
        wrong: int64 M, that label.
        missed: bool M: whether the image has it, and it was not found; else it was found and is not there.
        confidence: float32 M, 0..1: of what was said of it.
        model_sha256: SHA-256 of the model's file, in hexadecimal; empty where there is none.
    """

    TASK: ClassVar[str] = TASK
    class_names: tuple[str, ...]
    split: str
    scores: np.ndarray
    truth: np.ndarray
    images: np.ndarray
    wrong: np.ndarray
    missed: np.ndarray
    confidence: np.ndarray
    model_sha256: str = ""

    @property
    def count(self) -> int:
        """Number of images of the split."""
        return len(self.truth)

    @cached_property
    def average_precision(self) -> np.ndarray:
        """Average precision of each label: float64 C, NaN where no image has it."""
        return precision_recall.average_precision(self.scores, self.truth)

    @cached_property
    def f1(self) -> np.ndarray:
        """F1 of each label at a score of 0.5: float64 C, NaN where no image has it."""
        return precision_recall.f1(self.scores, self.truth)

    @property
    def map(self) -> float:
        """Mean average precision, 0..1."""
        return precision_recall.mean(self.average_precision) or 0.0

    def inconsistency(self) -> str:
        """Why the arrays are inconsistent; empty when they are not."""
        labels, count = len(self.class_names), len(self.images)
        if self.scores.ndim != 2 or self.scores.shape[1] != labels or self.truth.shape != self.scores.shape:
            return f"scores {self.scores.shape} and truth {self.truth.shape} do not fit {labels} labels"
        if self.scores.dtype.kind != "f" or not ((self.scores >= 0) & (self.scores <= 1)).all():
            return "scores are no probabilities"
        if self.truth.dtype.kind not in "iu" or not np.isin(self.truth, (0, 1)).all():
            return "truth is not of 0 and 1"
        if (
            self.wrong.shape != (count,)
            or self.wrong.dtype.kind not in "iu"
            or not np.isin(self.wrong, range(labels)).all()
        ):
            return f"wrong labels do not fit {count} images"
        if self.missed.shape != (count,) or self.missed.dtype != bool:
            return f"missed labels do not fit {count} images"
        if self.confidence.shape != (count,) or not ((self.confidence >= 0) & (self.confidence <= 1)).all():
            return "confidence is not a probability for each image"
        return super().inconsistency()


def examine_attributes(
    model: Any, data: Any, split: str = "validation", mistakes: int = MISTAKES
) -> AttributeExamination:
    """Evaluates a model of several labels an image on a split, a batch at a time.

    Args:
        model: A Keras 3 or tf_keras model: images, in [−1, 1] unless it says otherwise, to one probability or logit for
            each label.
        data: What `load_data` returns, whose labels are `Attributes`.
        split: "train", "validation" or "test".
        mistakes: Maximum number of wrong labels to keep the images of.

    Raises:
        UserError: There is no such split, or the model's output does not fit the labels.
    """
    model = without_nesting(model)
    data.task.check(model, data.name)
    data, is_logits = data.scaled_for(model), gives_logits(model)
    worst = WorstAnswers(mistakes, data, np.int64, bool)
    scores, truth = [], []
    for images, labels, outputs in answers(model, data, split):
        found = np.nan_to_num(outputs)
        found = (1 / (1 + np.exp(-found)) if is_logits else found).astype(np.float32)
        scores.append(found)
        truth.append(labels.astype(np.uint8))
        doubt = np.where(labels, 1 - found, found)  # of the truth
        number = doubt.argmax(axis=1)
        missed = labels[np.arange(len(labels)), number].astype(bool)
        worst.take(images, doubt.max(axis=1) > precision_recall.THRESHOLD, number, missed, doubt.max(axis=1))
    return AttributeExamination(
        tuple(data.class_names), split, np.concatenate(scores), np.concatenate(truth), *worst.arrays
    )


def examine_attributes_into(run_dir: str | Path, model: Any, data: Any, again: bool = False) -> AttributeExamination:
    """Writes the examination of a run's model on its validation images; as `examine_into`."""
    return AttributeExamination.up_to_date(run_dir, lambda: examine_attributes(model, data), again)
