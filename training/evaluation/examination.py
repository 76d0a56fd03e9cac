"""A classifier's confusion matrix on a split and its most confident mistakes."""

import contextlib
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.pixels.batches import to_input
from keras_mobilenets.pixels.preprocessing_layers import scaling_of
from keras_mobilenets.pixels.scaling import PixelScaling
from keras_mobilenets.training.evaluation.examination_file import ExaminationFile
from keras_mobilenets.training.evaluation.forward_pass import answers, forward_pass
from keras_mobilenets.training.introspection import gives_logits, without_nesting
from keras_mobilenets.weights.imagenet_classes import softmax

MISTAKES = 24


@dataclass(frozen=True)
class Examination(ExaminationFile):
    """A classifier's predictions on a split.

    Attributes:
        class_names: The C classes.
        split: "train", "validation" or "test".
        confusion: int64 C×C: number of images of the row's class that were predicted as the column's.
        images: uint8 M×S×S×3: the misclassified images, in order of decreasing confidence; pictures of other examples.
        labels: int64 M, their true classes.
        predicted: int64 M, the predicted classes.
        confidence: float32 M, the probabilities of the predicted classes, 0..1.
        heat: uint8 M×S×S, 0..255: Grad-CAM heatmaps of the predicted classes; None where there are none.
        model_sha256: SHA-256 of the model's file, in hexadecimal; empty where there is none.
    """

    class_names: tuple[str, ...]
    split: str
    confusion: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    heat: np.ndarray | None = None
    model_sha256: str = ""

    @property
    def count(self) -> int:
        """Number of images of the split."""
        return int(self.confusion.sum())

    @property
    def mistakes(self) -> int:
        """Number of misclassified images."""
        return self.count - int(self.confusion.trace())

    @property
    def top1(self) -> float:
        """Top-1 accuracy, 0..1."""
        return float(self.confusion.trace() / max(1, self.count))

    @property
    def recall(self) -> np.ndarray:
        """Recall of each class: float64 C, NaN where it has no images."""
        return _shares(self.confusion.diagonal(), self.confusion.sum(axis=1))

    @property
    def precision(self) -> np.ndarray:
        """Precision of each class: float64 C, NaN where it was never predicted."""
        return _shares(self.confusion.diagonal(), self.confusion.sum(axis=0))

    def most_confused(self, count: int) -> list[tuple[int, int, int]]:
        """The most confused pairs of classes: (true class, predicted class, images), the most frequent first."""
        wrong = self.confusion - np.diag(self.confusion.diagonal())
        order = np.argsort(-wrong, axis=None, kind="stable")[:count]
        pairs = zip(*np.unravel_index(order, wrong.shape), strict=True)
        return [
            (int(true), int(predicted), int(wrong[true, predicted]))
            for true, predicted in pairs
            if wrong[true, predicted]
        ]

    def inconsistency(self) -> str:
        """Why the arrays are inconsistent; empty when they are not."""
        classes, count = len(self.class_names), len(self.images)
        if (
            self.confusion.shape != (classes, classes)
            or self.confusion.dtype.kind not in "iu"
            or self.confusion.min() < 0
        ):
            return f"the confusion matrix does not fit {classes} classes"
        for name in ("labels", "predicted"):
            values = getattr(self, name)
            if (
                values.shape != (count,)
                or values.dtype.kind not in "iu"
                or not ((values >= 0) & (values < classes)).all()
            ):
                return f"{name} do not fit {count} images of {classes} classes"
        if self.confidence.shape != (count,) or not ((self.confidence >= 0) & (self.confidence <= 1)).all():
            return "confidence is not a probability for each image"
        if self.heat is not None and (self.heat.dtype != np.uint8 or self.heat.shape != self.images.shape[:3]):
            return "heat does not fit the images"
        return super().inconsistency()


def examine(model: Any, data: Any, split: str = "validation", mistakes: int = MISTAKES) -> Examination:
    """Evaluates a classifier on a split: confusion matrix, and the most confident mistakes as images with heatmaps.

    Args:
        model: A Keras 3 or tf_keras model: images, in [−1, 1] unless it says otherwise, to one probability or logit for
            each class.
        data: What `load_data` returns.
        split: "train", "validation" or "test".
        mistakes: Maximum number of misclassified images to keep.

    Returns:
        The examination; with heatmaps, unless the model has no feature map.

    Raises:
        UserError: There is no such split, or the model's output does not fit the classes.
    """
    from keras_mobilenets.training.evaluation.saliency import grad_cam

    model = without_nesting(model)
    classes = len(data.class_names)
    if tuple(model.output_shape[1:]) != (classes,):
        raise UserError(f"the model has output {model.output_shape[1:]} but {data.name} has {classes} classes")
    data = data.scaled_for(model)
    confusion = np.zeros((classes, classes), np.int64)
    worst = WorstAnswers(mistakes, data, np.int64, np.int64)
    for images, labels, outputs in answers(model, data, split):
        scores = _probabilities(model, outputs)
        predicted = scores.argmax(axis=1)
        np.add.at(confusion, (labels, predicted), 1)
        worst.take(images, labels != predicted, labels, predicted, scores.max(axis=1))
    found = Examination(tuple(data.class_names), split, confusion, *worst.arrays)
    if not isinstance(data.scaling, PixelScaling):
        return found
    with contextlib.suppress(UserError):  # a model without a feature map
        heat = grad_cam(model, found.images, found.predicted, pixels=data.scaling)
        found = dataclasses.replace(found, heat=np.rint(255 * heat).astype(np.uint8))
    return found


def probabilities(model: Any, images: np.ndarray, pixels: Any = None) -> np.ndarray:
    """The class probabilities of a batch, whether the model outputs probabilities or logits.

    Args:
        model: As for `examine`.
        images: N×S×S×3: uint8 pixels, or floats scaled as the model wants them.
        pixels: What the model's input means, as in `tflite.convert`; by default the model says it.

    Returns:
        float32 N×C.
    """
    model = without_nesting(model)
    values = to_input(images, scaling_of(model, pixels, images), model=model.name)
    return _probabilities(model, forward_pass(model)(values))


def _probabilities(model: Any, outputs: np.ndarray) -> np.ndarray:
    outputs = np.nan_to_num(outputs)
    return softmax(outputs) if gives_logits(model) else outputs


def read_examination(path: str | Path) -> Examination:
    """Reads an examination.npz of a classifier.

    Raises:
        UserError: It is missing, damaged or inconsistent.
    """
    return Examination.read(path)


def examine_into(run_dir: str | Path, model: Any, data: Any, again: bool = False) -> Examination:
    """Writes the examination of a run's model on its validation images, unless it is up to date.

    Args:
        run_dir: The folder, with model.keras; examination.npz is written into it.
        model: The model of model.keras.
        data: The training data.
        again: Whether to evaluate again even where it is up to date.

    Returns:
        The examination.
    """
    return Examination.up_to_date(run_dir, lambda: examine(model, data), again)


class WorstAnswers:
    """Keeps the examples of the most confident wrong answers, to look at, with what is said of them.

    Attributes:
        arrays: uint8 M×S×S×3 and what `take` is given of them, in order of decreasing confidence, which is the last.
    """

    def __init__(self, count: int, data: Any, *dtypes: Any):
        """Takes the most to keep, the data, and the dtypes of what is said of an answer before its confidence."""
        self.count, self._pictures = count, data.pictures
        images = data.pictures(np.empty((0, *data.input_shape), np.float32))
        self.arrays = [images, *(np.empty(0, dtype) for dtype in (*dtypes, np.float32))]

    def take(self, examples: np.ndarray, is_wrong: np.ndarray, *said: np.ndarray) -> None:
        """Takes a batch, of which N answers are wrong or not, and N of each thing that is said of them."""
        wrong = np.flatnonzero(is_wrong)
        wrong = wrong[_first(said[-1][wrong], self.count)]
        more = [self._pictures(examples[wrong]), *(each[wrong] for each in said)]
        both = [np.concatenate(pair) for pair in zip(self.arrays, more, strict=True)]
        self.arrays = [array[_first(both[-1], self.count)] for array in both]


def _first(confidence: np.ndarray, count: int) -> np.ndarray:
    return np.argsort(-confidence, kind="stable")[:count]


def _shares(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
