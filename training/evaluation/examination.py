"""examination.npz: a classifier's confusion matrix on a split and its most confident mistakes.

It is read without TensorFlow and without pickle.
"""

import contextlib
import dataclasses
import json
import zipfile
import zlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.files import atomic, sha256
from keras_mobilenets.pixels.batches import to_input
from keras_mobilenets.pixels.preprocessing_layers import scaling_of
from keras_mobilenets.pixels.scaling import PixelScaling
from keras_mobilenets.training.evaluation.forward_pass import answers, forward_pass
from keras_mobilenets.training.introspection import gives_logits, without_nesting
from keras_mobilenets.weights.imagenet_classes import softmax

FILE = "examination.npz"
MISTAKES = 24


@dataclass(frozen=True)
class Examination:
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

    def save(self, path: str | Path) -> Path:
        """Writes the file atomically.

        Raises:
            UserError: It cannot be written.
        """
        arrays = {name: value for name in _ARRAYS if (value := getattr(self, name)) is not None}
        about = {"class_names": self.class_names, "split": self.split, "model_sha256": self.model_sha256}
        with atomic(path) as temporary:
            np.savez_compressed(temporary, allow_pickle=False, about=np.array(json.dumps(about)), **arrays)
        return Path(path)


_ARRAYS = ("confusion", "images", "labels", "predicted", "confidence", "heat")


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
    return up_to_date(run_dir, read_examination, lambda: examine(model, data), again)


def up_to_date(
    run_dir: str | Path, read: Callable[[Path], Any], make: Callable[[], Any], again: bool = False, file: str = FILE
) -> Any:
    """The examination of a run's model that is there, or a new one, which is written.

    Args:
        run_dir: The folder, with model.keras.
        read: Reads its file.
        make: Examines the model.
        again: As in `examine_into`.
        file: The name of the file.
    """
    path, digest = Path(run_dir) / file, sha256(Path(run_dir) / "model.keras")
    if not again and path.exists():
        with contextlib.suppress(UserError):  # a damaged one is replaced
            found = read(path)
            if found.model_sha256 == digest:
                return found
    found = dataclasses.replace(make(), model_sha256=digest)
    found.save(path)
    return found


def task_of(path: str | Path) -> str:
    """What the labels of an examination.npz are: the name of a task.

    Raises:
        UserError: It is missing or damaged.
    """
    arrays = read_arrays(path, ["about"])
    try:
        return str(json.loads(str(arrays["about"])).get("task", "classification"))
    except (ValueError, KeyError, AttributeError) as error:
        raise UserError(f"{path} is no examination; delete it and train again") from error


def read_examination(path: str | Path) -> Examination:
    """Reads an examination.npz.

    Raises:
        UserError: It is missing, damaged or inconsistent.
    """
    arrays = read_arrays(path, ["about", *_ARRAYS])
    try:
        about = json.loads(str(arrays.pop("about")))
        found = Examination(
            tuple(map(str, about["class_names"])),
            str(about["split"]),
            **arrays,
            model_sha256=str(about["model_sha256"]),
        )
        reason = _inconsistency(found)
    except (ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
    if reason:
        raise UserError(f"{path} is no examination: {reason}; delete it and train again")
    return found


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


def read_arrays(path: str | Path, names: Collection[str]) -> dict[str, np.ndarray]:
    """Those arrays of an examination.npz that are there.

    Raises:
        UserError: It is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in names if name in file}
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist") from error
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path} is damaged: {' '.join(str(error).split())}; delete it and train again") from error


def _inconsistency(found: Examination) -> str:
    """Why the arrays are inconsistent; empty when they are not."""
    classes, count = len(found.class_names), len(found.images)
    if (
        found.confusion.shape != (classes, classes)
        or found.confusion.dtype.kind not in "iu"
        or found.confusion.min() < 0
    ):
        return f"the confusion matrix does not fit {classes} classes"
    if found.images.dtype != np.uint8 or found.images.ndim != 4 or found.images.shape[3] != 3:
        return f"images are {found.images.dtype} {found.images.shape}"
    for name in ("labels", "predicted"):
        values = getattr(found, name)
        if values.shape != (count,) or values.dtype.kind not in "iu" or not ((values >= 0) & (values < classes)).all():
            return f"{name} do not fit {count} images of {classes} classes"
    if found.confidence.shape != (count,) or not ((found.confidence >= 0) & (found.confidence <= 1)).all():
        return "confidence is not a probability for each image"
    if found.heat is not None and (found.heat.dtype != np.uint8 or found.heat.shape != found.images.shape[:3]):
        return "heat does not fit the images"
    return ""
