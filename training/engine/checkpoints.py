"""Checkpoints: the complete training state in files checkpoint-<step>.npz, of which the newest two are kept.

An .npz is a ZIP archive with a CRC-32 of every array: a damaged file is detected, and the previous one is used.
"""

import contextlib
import json
import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from keras_mobilenets import files
from keras_mobilenets.errors import UserError, first_line

KEPT = 2
# Temporary files of `files.atomic`.
TEMPORARY_FILES = (".checkpoint-*.npz", ".model.*.keras", ".history.*.csv", ".teacher_logits.*.npz")


@dataclass
class State:
    """The state of a training.

    Attributes:
        rows: The completed epochs, as in history.csv.
        step: Completed steps of the current epoch.
        seconds: Duration of these steps.
        metrics: Variables of the Keras metrics, summed over these steps.
        variables: Weights, moving statistics, random states and optimizer variables, in the recorder's order.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    step: int = 0
    seconds: float = 0.0
    metrics: list[np.ndarray] = field(default_factory=list)
    variables: list[np.ndarray] = field(default_factory=list)


class Checkpoints:
    """The checkpoints of a run folder, whose lock the caller holds."""

    def __init__(self, folder: Path):
        """Removes the temporary files that a killed training left in the folder."""
        self.folder = folder
        self.good: list[Path] = []
        for pattern in TEMPORARY_FILES:
            for path in folder.glob(pattern):
                with contextlib.suppress(OSError):
                    path.unlink()

    def save(self, step: int, state: State) -> None:
        """Writes the state after a step of the training, and removes all checkpoints but the newest two.

        Raises:
            UserError: It cannot be written; existing checkpoints stay.
        """
        path = self.folder / f"checkpoint-{step}.npz"
        about = {"rows": state.rows, "step": state.step, "seconds": state.seconds, "metrics": len(state.metrics)}
        arrays = {f"v{i}": value for i, value in enumerate(state.variables)}
        arrays |= {f"m{i}": value for i, value in enumerate(state.metrics)}
        with files.atomic(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, about=np.array(json.dumps(about)), allow_pickle=False, **arrays)
            file.flush()
            os.fsync(file.fileno())  # so that a power failure does not leave two empty files
        self._is_good(path)
        for old in set(self._paths()) - set(self.good):
            with contextlib.suppress(OSError):
                old.unlink()

    def newest(self, like: Sequence[Any]) -> State | None:
        """Reads the newest checkpoint that is not damaged; a warning names those that are.

        Args:
            like: The variables to restore.

        Returns:
            The state; None when there is no checkpoint.

        Raises:
            UserError: There are checkpoints, but all are damaged.
        """
        damaged: list[str] = []
        for path in self._paths():
            try:
                state = _read(path, like)
            except MemoryError:
                raise
            except Exception as error:  # damage shows itself in many ways, in ZIP, NumPy and JSON
                damaged.append(f"{path} is damaged ({first_line(error)})")
                continue
            for what in damaged:
                warnings.warn(f"{what}: resuming from the previous checkpoint, {path.name}", stacklevel=2)
            self._is_good(path)
            return state
        if damaged:
            raise UserError(f"{damaged[0]} and cannot be resumed from; delete {self.folder} to start over")
        return None

    def _paths(self) -> list[Path]:
        """All checkpoints, the newest first; that of earlier versions of this package is the oldest."""
        return sorted(self.folder.glob("checkpoint*.npz"), key=_step, reverse=True)

    def _is_good(self, path: Path) -> None:
        self.good = [*(other for other in self.good if other != path), path][-KEPT:]


def _step(path: Path) -> int:
    number = re.fullmatch(r"checkpoint-(\d+)", path.stem)
    return int(number[1]) if number else -1


def _read(path: Path, like: Sequence[Any]) -> State:
    with np.load(path, allow_pickle=False) as archive:
        if "about" in archive:
            about = json.loads(str(archive["about"]))
        else:  # of an earlier version, after a whole epoch
            about = {"rows": json.loads(str(archive["rows"])), "metrics": 0}
        metrics = [archive[f"m{i}"] for i in range(about.pop("metrics"))]
        variables = [archive[f"v{i}"] for i in range(len(like))]
    for value, variable in zip(variables, like, strict=True):
        if value.shape != tuple(variable.shape):
            raise ValueError(f"an array has shape {value.shape} instead of {tuple(variable.shape)}")
    return State(**about, metrics=metrics, variables=variables)
