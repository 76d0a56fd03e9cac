"""examination.npz: what is kept of a model's answers on a split. It is read without TensorFlow and without pickle."""

import contextlib
import dataclasses
import json
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.files import atomic, sha256


class ExaminationFile:
    """A frozen dataclass as a file: its arrays by their names, and the rest with the task as JSON in `about`.

    Attributes:
        TASK: The name of the task whose labels it is about.
        FILE: What it is called in a run folder.
        images: uint8 M×S×S×3: examples to look at.
        model_sha256: SHA-256 of the model's file, in hexadecimal; empty where there is none.
    """

    TASK: ClassVar[str] = "classification"
    FILE: ClassVar[str] = "examination.npz"
    images: np.ndarray
    model_sha256: str

    def save(self, path: str | Path) -> Path:
        """Writes the file atomically.

        Raises:
            UserError: It cannot be written.
        """
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]
        values = {name: value for name, value in values.items() if value is not None}
        arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
        about = {"task": self.TASK} | {name: value for name, value in values.items() if name not in arrays}
        with atomic(path) as temporary:
            np.savez_compressed(temporary, allow_pickle=False, about=np.array(json.dumps(about)), **arrays)
        return Path(path)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Reads such a file.

        Raises:
            UserError: It is missing, damaged, inconsistent or of another task.
        """
        arrays = _arrays(path)
        try:
            about = json.loads(str(arrays.pop("about")))
            reason = "" if about.pop("task", cls.TASK) == cls.TASK else "it is of another task"
            names = {"class_names": tuple(map(str, about["class_names"])), "split": str(about["split"])}
            if not reason:
                found = cls(**about | names, **arrays)
                reason = found.inconsistency()
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            reason = " ".join(str(error).split())
        if reason:
            raise UserError(f"{path} is no examination: {reason}; delete it and train again")
        return found

    @classmethod
    def up_to_date(cls, run_dir: str | Path, make: Callable[[], Self], again: bool = False) -> Self:
        """The examination of a run's model that is there, or a new one, which is written.

        Args:
            run_dir: The folder, with model.keras.
            make: Examines the model.
            again: Whether to examine even where there is one.
        """
        path, digest = Path(run_dir) / cls.FILE, sha256(Path(run_dir) / "model.keras")
        if not again and path.exists():
            with contextlib.suppress(UserError):  # a damaged one is replaced
                found = cls.read(path)
                if found.model_sha256 == digest:
                    return found
        found = dataclasses.replace(make(), model_sha256=digest)  # type: ignore[type-var]
        found.save(path)
        return found

    def inconsistency(self) -> str:
        """Why the values are inconsistent; empty where they are not."""
        fit = self.images.dtype == np.uint8 and self.images.ndim == 4 and self.images.shape[3] == 3
        return "" if fit else f"images are {self.images.dtype} {self.images.shape}"


def task_of(path: str | Path) -> str:
    """What the labels of an examination.npz are: the name of a task.

    Raises:
        UserError: It is missing or damaged.
    """
    arrays = _arrays(path)
    try:
        return str(json.loads(str(arrays["about"])).get("task", "classification"))
    except (ValueError, KeyError, AttributeError) as error:
        raise UserError(f"{path} is no examination; delete it and train again") from error


def _arrays(path: str | Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file}
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist") from error
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path} is damaged: {' '.join(str(error).split())}; delete it and train again") from error
