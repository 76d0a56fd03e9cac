"""Callbacks of `model.fit` that write the run folder: checkpoints, history.csv, the best model; they stop at a NaN."""

import contextlib
import csv
import math
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from keras_mobilenets import files
from keras_mobilenets.errors import UserError
from keras_mobilenets.training.distribution import broadcast
from keras_mobilenets.training.engine.checkpoints import Checkpoints, State
from keras_mobilenets.training.engine.model_transforms import inference_form


class Recorder:
    """Records a training in its run folder, and resumes it from there.

    Attributes:
        state: That of the newest checkpoint, without its arrays.
    """

    def __init__(
        self,
        model: Any,
        kept: Any,
        copy_weights: Callable[[], None],
        library: Any,
        run_dir: Path,
        *,
        steps_per_epoch: int,
        batch_size: int,
        best_from: int,
        monitor: str,
        patience: int,
        checkpoint_seconds: float,
        is_kept: bool,
    ):
        """Takes a compiled model.

        Args:
            model: The model that trains.
            kept: The model to save: the same, or the one that `model` was made from.
            copy_weights: Copies the weights of `model` to `kept`, where they do not share them.
            library: keras or tf_keras.
            run_dir: The run folder, which the caller has locked.
            steps_per_epoch: Steps of an epoch.
            batch_size: Images per step.
            best_from: As in `fit`.
            monitor: As in `Objective`.
            patience: As in `Recipe`.
            checkpoint_seconds: As in `fit`.
            is_kept: Whether the folder is permanent; otherwise no checkpoint is written.
        """
        self.model, self.copy_weights, self.library, self.run_dir = model, copy_weights, library, run_dir
        self.steps_per_epoch, self.batch_size, self.best_from = steps_per_epoch, batch_size, best_from
        self.checkpoint_seconds, self.is_kept = checkpoint_seconds, is_kept
        self.monitor, self.patience = monitor, patience
        self.checkpoints = Checkpoints(run_dir)
        self.state, self.is_interrupted, self.saved_at = State(), False, 0.0
        # The same layers without optimizer and loss: a third of the size, and no custom objects.
        self.bare = library.Model(kept.inputs, kept.outputs, name=kept.name)

    @property
    def rows(self) -> list[dict[str, float]]:
        """The completed epochs."""
        return self.state.rows

    @property
    def merits(self) -> list[float]:
        """How good the epochs are that may be the best, the higher the better."""
        return [self._merit(row) for row in self.rows[self.best_from - 1 :]]

    @property
    def out_of_patience(self) -> bool:
        """Whether so many epochs were no better than one before them that the training ends."""
        merits = self.merits
        return bool(self.patience and merits) and len(merits) - 1 - merits.index(max(merits)) >= self.patience

    @property
    def stopped(self) -> bool:
        """Whether the training ends before its last epoch, by a callback of the caller or by its patience."""
        return self.is_interrupted or self.out_of_patience

    def resume(self) -> None:
        """Restores the newest checkpoint, if there is one.

        Raises:
            UserError: There are checkpoints, but none can be read.
        """
        variables = self._variables()
        found = broadcast.from_first(
            lambda: vars(self.checkpoints.newest(variables) or State()) if self.is_kept else {}
        )
        state = State(**found)
        if state.variables:
            for variable, value in zip(variables, state.variables, strict=True):
                variable.assign(value)
            state.variables = []
            self.state = state
        self.saved_at = time.monotonic()

    def callback(self) -> Any:
        """The callback for `model.fit`, to come after those of the caller."""
        return self.library.callbacks.LambdaCallback(
            on_epoch_begin=self._on_epoch_begin,
            on_epoch_end=self._on_epoch_end,
            on_train_batch_end=self._on_train_batch_end,
            on_test_begin=self._on_test_begin,
        )

    def _on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.begun = self.state.step  # above 0 in an epoch that is resumed
        self.started = self.trained = time.perf_counter() - self.state.seconds

    def _on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        step, loss = self.begun + batch + 1, (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            raise self._not_finite(f"loss is {'NaN' if math.isnan(loss) else loss}", step)
        if batch == 0 and self.begun:  # Keras has reset the metrics; this is the same sum as without a break
            self._sync_variables()
            for variable, before in zip(self._metrics(), self.state.metrics, strict=True):
                variable.assign(np.asarray(variable) + before)
        if step < self.steps_per_epoch and time.monotonic() - self.saved_at >= self.checkpoint_seconds:
            self._sync_variables()
            values = self._finite_values(step)
            with self._disk_full_message(step):
                self._save(step, values, [np.array(variable) for variable in self._metrics()])

    def _on_test_begin(self, logs: dict | None = None) -> None:
        self.trained = time.perf_counter()

    def _on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        assert logs is not None
        row = {"epoch": epoch + 1, **{name: float(value) for name, value in logs.items()}}
        row["learning_rate"] = float(self.model.optimizer.learning_rate)
        row["images_per_second"] = logs["images_per_second"] = round(
            self.steps_per_epoch * self.batch_size / (self.trained - self.started), 1
        )
        row["seconds"] = round(time.perf_counter() - self.started, 3)
        before = self.merits
        values = self._finite_values(self.steps_per_epoch)
        with self._disk_full_message(self.steps_per_epoch):
            if epoch + 1 >= self.best_from and self._merit(row) > max(before, default=-math.inf):
                with files.atomic(self.run_dir / "model.keras") as path, inference_form(self.model):
                    self.copy_weights()
                    self.bare.save(path)
            self._write_history([*self.rows, row])
            self.rows.append(row)
            self._save(0, values)
        self.is_interrupted = self.model.stop_training
        # Keras would make all epochs as short as one that was resumed: the trainer calls `model.fit` again.
        self.model.stop_training = bool(self.is_interrupted or self.begun or self.out_of_patience)

    def _merit(self, row: dict[str, float]) -> float:
        return -row[self.monitor] if self.monitor.endswith("loss") else row[self.monitor]

    def _sync_variables(self) -> None:
        """Updates the variables; on JAX, Keras keeps their values elsewhere within an epoch."""
        if hasattr(self.model, "jax_state_sync"):
            self.model.jax_state_sync()

    def _variables(self) -> list:
        """All that a training changes: weights, moving statistics, random states of dropout, optimizer variables."""
        optimizer = self.model.optimizer
        if not getattr(optimizer, "built", True):
            optimizer.build(self.model.trainable_variables)
        layers = self.model._flatten_layers()
        generators = [getattr(getattr(layer, "_random_generator", None), "_generator", None) for layer in layers]
        of_tf_keras = [generator.state for generator in generators if generator is not None]
        return [*self.model.variables, *optimizer.variables, *of_tf_keras]

    def _finite_values(self, step: int) -> list[np.ndarray]:
        """Reads all variables for a checkpoint; moving statistics or a moment may overflow while weights are finite.

        Raises:
            UserError: One of them is NaN or infinite.
        """
        variables = self._variables()
        values = [np.asarray(variable) for variable in variables]
        for variable, value in zip(variables, values, strict=True):
            if not np.isfinite(value).all():
                what = "NaN" if np.isnan(value).any() else "infinite"
                raise self._not_finite(f"{getattr(variable, 'path', None) or variable.name} is {what}", step)
        return values

    def _metrics(self) -> list:
        return [variable for metric in self.model.metrics for variable in metric.variables]

    def _save(self, step: int, values: list[np.ndarray], metrics: list[np.ndarray] | None = None) -> None:
        """Writes a checkpoint; `step` counts in the epoch after the completed ones."""
        state = State(self.rows, step, time.perf_counter() - self.started if step else 0.0, metrics or [])
        if self.is_kept:
            self.checkpoints.save(
                len(self.rows) * self.steps_per_epoch + step,
                State(state.rows, step, state.seconds, state.metrics, values),
            )
        self.state, self.saved_at = state, time.monotonic()

    def _write_history(self, rows: list[dict[str, float]]) -> None:
        with files.atomic(self.run_dir / "history.csv") as path, open(path, "w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)

    def _not_finite(self, what: str, step: int) -> UserError:
        kept = self._kept() if self.is_kept else "nothing is kept without a run folder"
        best = f", and the best model so far in {self.run_dir / 'model.keras'}" if self.is_kept and self.rows else ""
        return UserError(
            f"{what} in epoch {len(self.rows) + 1}, step {step}; {kept}{best}; "
            "lower the learning_rate and train in another run folder"
        )

    def _kept(self) -> str:
        if not self.checkpoints.good:
            return "there is no checkpoint yet"
        return f"the last good checkpoint is kept in {self.checkpoints.good[-1]}"

    @contextlib.contextmanager
    def _disk_full_message(self, step: int) -> Iterator[None]:
        """Adds to the error of a file that cannot be written which checkpoint is kept."""
        epoch = len(self.rows) + 1
        try:
            yield
        except UserError as error:
            if not isinstance(error.__cause__, OSError):
                raise
            raise UserError(
                f"{str(error).split(';')[0]}; stopped in epoch {epoch}, step {step}; {self._kept()}; "
                "free some space and start again: the training resumes from there"
            ) from error

    def restore_best(self) -> None:
        """Restores the weights of the best epoch.

        Raises:
            UserError: model.keras cannot be read.
        """
        path = self.run_dir / "model.keras"
        try:
            self.bare.load_weights(path)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise UserError(f"{path} cannot be read; delete {self.run_dir} to start over") from error

    def history(self) -> Any:
        """All epochs as a Keras History; the times are in history.csv only."""
        history = self.library.callbacks.History()
        history.set_model(self.model)
        history.epoch = list(range(len(self.rows)))
        names = [name for name in self.rows[0] if name not in ("epoch", "seconds", "images_per_second")]
        history.history = {name: [row[name] for row in self.rows] for name in names}
        return history
