"""Teacher logits beside the labels: computed for each batch, or computed once and cached.

Cached logits are of fixed augmented views, since teacher and student must see the same image (arXiv:2106.05237, section
3.1); TinyViT stores logits in the same way (arXiv:2207.10666, section 3.2).
"""

import hashlib
import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_mobilenets import files
from keras_mobilenets.errors import UserError, first_line
from keras_mobilenets.progress import track
from keras_mobilenets.training.datasets.dataset import Data
from keras_mobilenets.training.introspection import library_of, shape_text

FILE = "teacher_logits.npz"


class TeacherTargets:
    """Targets N×2C: the one-hot or soft label, then the teacher logits.

    Attributes:
        teacher_record: The teacher's name and the SHA-256 of its weights.
        views: Fixed augmented views of each training image; 0 where each batch is augmented anew.
    """

    def __init__(self, data: Data, teacher: Any, augmentation: str, views: int = 0, file: Path | None = None):
        """Takes data and teacher; no logits are computed before the first batch is.

        Args:
            data: Images and labels.
            teacher: A Keras 3 or tf_keras model for them.
            augmentation: As in `Recipe`.
            views: As the attribute; reduced to one where nothing is augmented.
            file: File of the cached logits; None to keep them in memory only.

        Raises:
            UserError: Teacher and data do not fit together.
        """
        self._data, self._augmentation, self._file = data, augmentation, file
        self._logits_of = logits_function(teacher, data)
        self.teacher_record = {"teacher": teacher.name, "teacher_sha256": fingerprint(teacher)}
        self.views = min(views, 1) if augmentation == "none" else views
        self._cached: tf.Tensor | None = None

    def targets(self, batches: tf.data.Dataset) -> Any:
        """Maps batches of `Data.epochs` to batches of (images, targets).

        Returns:
            A `tf.data.Dataset`; an iterator where the teacher runs on each batch.
        """
        if not self.views:
            return self._streamed(batches)
        logits = self._all_logits()
        return batches.map(lambda images, labels, places: (images, self._rows(labels, tf.gather(logits, places))))

    def validation(self, batches: tf.data.Dataset) -> tf.data.Dataset:
        """The same for validation batches, which do not change: the teacher logits are computed once."""
        outputs = tf.concat([self._logits_of(images) for images, *_ in batches], axis=0)
        sizes = [len(labels) for _, labels, *_ in batches]
        pairs = tf.data.Dataset.zip(batches, tf.data.Dataset.from_tensor_slices(outputs).batch(max(sizes)))
        return pairs.map(lambda batch, logits: (batch[0], self._rows(batch[1], logits), *batch[2:]))

    def _streamed(self, batches: tf.data.Dataset) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
        """The teacher runs on the student's device, outside of tf.data, which uses the CPU only."""
        while True:  # with several devices, Keras reads ahead of the last step
            for images, labels in batches:
                yield images, self._rows(labels, self._logits_of(images))

    def _rows(self, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        return tf.concat([self._data.task.soft(labels), logits], axis=1)

    def _all_logits(self) -> tf.Tensor:
        """The teacher logits of all views of all training images, cached."""
        if self._cached is None:
            logits = self._from_file(self._file) if self._file else self._compute()
            with tf.device("CPU"):
                self._cached = tf.constant(np.concatenate(logits))
        return self._cached

    def _from_file(self, file: Path) -> np.ndarray:
        """The logits of the cache file, which is written where it is missing."""
        about = self._about()
        logits = _read(file, about)
        if logits is None:
            logits = self._compute()
            _write(file, about, logits)
        return logits

    def _compute(self) -> np.ndarray:
        """Computes the logits, views × images × classes."""
        count, steps = self._data.count("train"), -(-self._data.count("train") // self._data.batch_size)
        logits = np.zeros((self.views, count, len(self._data.class_names)), np.float32)
        batches = ((view, batch) for view in range(self.views) for batch in self._data.view(view, self._augmentation))
        for view, (images, places) in track(batches, "computing teacher logits", self.views * steps):
            logits[view, places] = self._logits_of(images)
        return logits

    def _about(self) -> dict[str, Any]:
        """What the cached logits belong to."""
        return {
            "teacher_sha256": self.teacher_record["teacher_sha256"],
            "data": self._data.name,
            "image_size": self._data.image_size,
            "train_images": self._data.count("train"),
            "images_sha256": self._data.fingerprint(),
            "augmentation": self._augmentation,
            "views": self.views,
        }


def logits_function(teacher: Any, data: Data) -> Callable[[tf.Tensor], tf.Tensor]:
    """A function from float32 images N×H×W×3 to the teacher's float32 logits N×C.

    Where the teacher outputs probabilities, it gives the logits that the task makes of them.

    Raises:
        UserError: The teacher is no model, or not for such images and classes.
    """
    runs_in_tensorflow = library_of(teacher) is not keras or keras.backend.backend() == "tensorflow"

    def predict(images: tf.Tensor) -> tf.Tensor:
        if runs_in_tensorflow:
            return tf.cast(teacher(images, training=False), tf.float32)
        return tf.cast(teacher.predict_on_batch(np.asarray(images)), tf.float32)

    def logits(images: tf.Tensor) -> tf.Tensor:
        return data.task.logits(predict(images), tf.math)

    outputs = _probe(teacher, data, predict)
    function = logits if data.task.are_probabilities(outputs) else predict
    return tf.function(function, reduce_retracing=True) if runs_in_tensorflow else function


def _probe(teacher: Any, data: Data, predict: Callable[[tf.Tensor], tf.Tensor]) -> np.ndarray:
    """The teacher's outputs on two images of noise, which shows whether it fits the data."""
    classes, wanted = len(data.class_names), data.input_shape
    given = getattr(teacher, "input_shape", None)  # a model that is a class of its own may have none
    if isinstance(given, tuple) and (
        len(given) != 1 + len(wanted)
        or any(have not in (None, want) for have, want in zip(given[1:], wanted, strict=True))
    ):
        raise UserError(
            f"the teacher takes images of {shape_text(given[1:])}, but {data.name} was loaded as {shape_text(wanted)}"
        )
    try:
        outputs = predict(tf.constant(np.random.default_rng(0).uniform(-1, 1, (2, *wanted)), tf.float32)).numpy()
    except Exception as error:  # whatever a model may be made of
        raise UserError(f"the teacher cannot take images of {shape_text(wanted)}: {first_line(error)}") from error
    if outputs.shape != (2, classes):
        raise UserError(
            f"the teacher has output {shape_text(outputs.shape[1:])}, but {data.name} has {classes} classes"
        )
    return outputs


def fingerprint(teacher: Any) -> str:
    """SHA-256 of a model's weights."""
    digest = hashlib.sha256()
    for weight in teacher.weights:
        value = np.asarray(weight)
        digest.update(f"{value.dtype}{value.shape}".encode() + value.tobytes())
    return digest.hexdigest()


def _read(path: Path, about: dict[str, Any]) -> np.ndarray | None:
    """The logits of a cache file; None where it is missing or damaged.

    Raises:
        UserError: They are of another teacher or data set.
    """
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as archive:
            there, logits = json.loads(str(archive["about"])), archive["logits"]
    except MemoryError:
        raise
    except Exception as error:  # damage shows itself in many ways, in ZIP, NumPy and JSON
        warnings.warn(f"{path} is damaged ({first_line(error)}): computing the teacher logits again", stacklevel=2)
        return None
    for key, value in about.items():
        if there.get(key) != value:
            raise UserError(
                f"{path} holds teacher logits of another training: {key} {there.get(key)}, not {value}; "
                "delete it, or give another cache_file"
            )
    return logits


def _write(path: Path, about: dict[str, Any], logits: np.ndarray) -> None:
    with files.atomic(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, about=np.array(json.dumps(about)), logits=logits, allow_pickle=False)
