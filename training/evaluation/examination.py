"""examination.npz: what a classifier gets wrong on a split, class by class, and its most confident mistakes.

It is read without TensorFlow and nothing in it is ever unpickled.
"""

import contextlib
import dataclasses
import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.files import atomic, sha256
from keras_mobilenets.pixels.batches import to_input, to_pixels
from keras_mobilenets.progress import track
from keras_mobilenets.training.introspection import gives_logits
from keras_mobilenets.weights.imagenet_classes import softmax

FILE = "examination.npz"
MISTAKES = 24


@dataclass(frozen=True)
class Examination:
    """What a classifier said of a split.

    Attributes:
        class_names: The C classes.
        split: "train", "validation" or "test".
        confusion: int64 C×C: how many images of the row's class were taken for the column's.
        images: uint8 M×S×S×3: the mistakes that the model was most confident of, the most confident first.
        labels: int64 M, their true classes.
        predicted: int64 M, what the model said.
        confidence: float32 M, the probability it gave that answer, 0..1.
        heat: uint8 M×S×S, 0..255: what drew it to that answer, by Grad-CAM; None where that is not known.
        model_sha256: Of the model's file, in hexadecimal; empty where there is none.
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
        """Images of the split."""
        return int(self.confusion.sum())

    @property
    def mistakes(self) -> int:
        """How many of them the model got wrong."""
        return self.count - int(self.confusion.trace())

    @property
    def top1(self) -> float:
        """The share it got right, 0..1."""
        return float(self.confusion.trace() / max(1, self.count))

    @property
    def recall(self) -> np.ndarray:
        """Of each class, the share of its images that were found: float64 C, NaN where there is none."""
        return _shares(self.confusion.diagonal(), self.confusion.sum(axis=1))

    @property
    def precision(self) -> np.ndarray:
        """Of each class, the share of images taken for it that are of it: float64 C, NaN where there is none."""
        return _shares(self.confusion.diagonal(), self.confusion.sum(axis=0))

    def most_confused(self, count: int) -> list[tuple[int, int, int]]:
        """The pairs of classes that are confused most: (true class, taken for, images), the most first."""
        wrong = self.confusion - np.diag(self.confusion.diagonal())
        order = np.argsort(-wrong, axis=None, kind="stable")[:count]
        pairs = zip(*np.unravel_index(order, wrong.shape), strict=True)
        return [(int(true), int(said), int(wrong[true, said])) for true, said in pairs if wrong[true, said]]

    def save(self, path: str | Path) -> Path:
        """Writes the file, whole or not at all.

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
    """Shows a classifier a split and keeps what it says: all of it as counts, the worst of it as pictures.

    Batches pass through one at a time, so that a split of any size can be examined.

    Args:
        model: A Keras 3 or tf_keras model: images in [−1, 1] to one probability or logit for each class.
        data: What `load_data` returns.
        split: "train", "validation" or "test".
        mistakes: At most so many pictures of mistakes.

    Returns:
        The examination; with heat, unless the model has no feature map.

    Raises:
        UserError: There is no such split, or the model's output does not fit the classes.
    """
    from keras_mobilenets.training.evaluation.saliency import grad_cam

    if split not in ("train", "validation", "test"):
        raise UserError(f"split={split!r}: choose train, validation or test")
    classes, size = len(data.class_names), data.image_size
    if tuple(model.output_shape[1:]) != (classes,):
        raise UserError(f"the model has output {model.output_shape[1:]} but {data.name} has {classes} classes")
    confusion = np.zeros((classes, classes), np.int64)
    worst = _WorstMistakes(mistakes, size)
    total = -(-data.count(split) // data.batch_size)
    for images, labels in track(getattr(data, split), f"examining the {split} images", total):
        images, labels = np.asarray(images), np.asarray(labels, np.int64)
        shares = probabilities(model, images)
        said = shares.argmax(axis=1)
        np.add.at(confusion, (labels, said), 1)
        worst.take(images, labels, said, shares.max(axis=1))
    pictures, labels, said, confidence = worst.arrays
    found = Examination(tuple(data.class_names), split, confusion, pictures, labels, said, confidence)
    with contextlib.suppress(UserError):  # a model without a feature map
        heat = grad_cam(model, found.images, found.predicted)
        found = dataclasses.replace(found, heat=np.rint(255 * heat).astype(np.uint8))
    return found


def probabilities(model: Any, images: np.ndarray) -> np.ndarray:
    """What a classifier says of a batch, whether it ends in a softmax or in logits.

    Args:
        model: As for `examine`.
        images: N×S×S×3: uint8 pixels, or floats in [−1, 1].

    Returns:
        float32 N×C.
    """
    outputs = np.asarray(model.predict_on_batch(to_input(images, np.float32, (0.0, 0))), np.float32)
    outputs = np.nan_to_num(outputs)
    return softmax(outputs) if gives_logits(model) else outputs


def examine_into(run_dir: str | Path, model: Any, data: Any, again: bool = False) -> Examination:
    """Keeps the examination of a run's model on its validation images, unless it is there and up to date.

    Args:
        run_dir: The folder, with model.keras; examination.npz is written into it.
        model: What model.keras holds.
        data: What it was trained on.
        again: Whether to examine even what is up to date.

    Returns:
        The examination.
    """
    path, digest = Path(run_dir) / FILE, sha256(Path(run_dir) / "model.keras")
    if not again and path.exists():
        with contextlib.suppress(UserError):  # a damaged one is made anew
            found = read_examination(path)
            if found.model_sha256 == digest:
                return found
    found = dataclasses.replace(examine(model, data), model_sha256=digest)
    found.save(path)
    return found


def read_examination(path: str | Path) -> Examination:
    """Reads an examination.npz.

    Raises:
        UserError: It is missing or damaged, or its parts do not go together.
    """
    arrays = _read(Path(path))
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


class _WorstMistakes:
    """The most confident mistakes so far."""

    def __init__(self, count: int, size: int):
        self.count = count
        none = np.empty(0, np.int64)
        self.arrays: list[np.ndarray] = [np.empty((0, size, size, 3), np.uint8), none, none, np.empty(0, np.float32)]

    def take(self, images: np.ndarray, labels: np.ndarray, said: np.ndarray, confidence: np.ndarray) -> None:
        wrong = np.flatnonzero(labels != said)
        wrong = wrong[np.argsort(-confidence[wrong], kind="stable")[: self.count]]
        pixels = to_pixels(images[wrong])
        both = [
            np.concatenate(pair)
            for pair in zip(self.arrays, [pixels, labels[wrong], said[wrong], confidence[wrong]], strict=True)
        ]
        order = np.argsort(-both[3], kind="stable")[: self.count]
        self.arrays = [array[order] for array in both]


def _shares(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in ("about", *_ARRAYS) if name in file}
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist") from error
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path} is damaged: {' '.join(str(error).split())}; delete it and train again") from error


def _inconsistency(found: Examination) -> str:
    """Why its parts do not go together; empty when they do."""
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
