"""examination.npz of several labels an image: all scores on a split, and what is most confidently wrong."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.files import atomic
from keras_mobilenets.training.evaluation import precision_recall
from keras_mobilenets.training.evaluation.examination import MISTAKES, WorstAnswers, read_arrays, up_to_date
from keras_mobilenets.training.evaluation.forward_pass import answers
from keras_mobilenets.training.introspection import gives_logits, without_nesting

TASK = "attributes"


@dataclass(frozen=True)
class AttributeExamination:
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

    def save(self, path: str | Path) -> Path:
        """Writes the file atomically.

        Raises:
            UserError: It cannot be written.
        """
        about = {
            "task": TASK,
            "class_names": self.class_names,
            "split": self.split,
            "model_sha256": self.model_sha256,
        }
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        with atomic(path) as temporary:
            np.savez_compressed(temporary, allow_pickle=False, about=np.array(json.dumps(about)), **arrays)
        return Path(path)


_ARRAYS = ("scores", "truth", "images", "wrong", "missed", "confidence")


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
    return up_to_date(run_dir, read_attribute_examination, lambda: examine_attributes(model, data), again)


def read_attribute_examination(path: str | Path) -> AttributeExamination:
    """Reads an examination.npz of several labels an image.

    Raises:
        UserError: It is missing, damaged or inconsistent.
    """
    arrays = read_arrays(path, ["about", *_ARRAYS])
    try:
        about = json.loads(str(arrays.pop("about")))
        names = tuple(map(str, about["class_names"]))
        found = AttributeExamination(names, str(about["split"]), **arrays, model_sha256=str(about["model_sha256"]))
        reason = "" if about.get("task") == TASK else "it is of another task"
        reason = reason or _inconsistency(found)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())
    if reason:
        raise UserError(f"{path} is no examination of labels: {reason}; delete it and train again")
    return found


def _inconsistency(found: AttributeExamination) -> str:
    """Why the arrays are inconsistent; empty when they are not."""
    labels, count = len(found.class_names), len(found.images)
    if found.scores.ndim != 2 or found.scores.shape[1] != labels or found.truth.shape != found.scores.shape:
        return f"scores {found.scores.shape} and truth {found.truth.shape} do not fit {labels} labels"
    if found.scores.dtype.kind != "f" or not ((found.scores >= 0) & (found.scores <= 1)).all():
        return "scores are no probabilities"
    if found.truth.dtype.kind not in "iu" or not np.isin(found.truth, (0, 1)).all():
        return "truth is not of 0 and 1"
    if found.images.dtype != np.uint8 or found.images.ndim != 4 or found.images.shape[3] != 3:
        return f"images are {found.images.dtype} {found.images.shape}"
    if (
        found.wrong.shape != (count,)
        or found.wrong.dtype.kind not in "iu"
        or not np.isin(found.wrong, range(labels)).all()
    ):
        return f"wrong labels do not fit {count} images"
    if found.missed.shape != (count,) or found.missed.dtype != bool:
        return f"missed labels do not fit {count} images"
    if found.confidence.shape != (count,) or not ((found.confidence >= 0) & (found.confidence <= 1)).all():
        return "confidence is not a probability for each image"
    return ""
