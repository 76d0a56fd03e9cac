"""`model.fit` with what a training needs around it: checkpoints, resume after a kill, logs, the best model at the end.

A run folder holds run.json (what was asked), model.keras (the best model so far, by validation accuracy),
checkpoint.npz (the whole state after the last epoch), history.csv and logs/ (TensorBoard).
"""

import csv
import dataclasses
import json
import math
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_mobilenets import files
from keras_mobilenets.errors import UserError
from keras_mobilenets.training.batch_norm import fused_batch_norm
from keras_mobilenets.training.data import Data
from keras_mobilenets.training.recipe import Recipe, make_optimizer


def fit(
    model: Any,
    data: Data,
    recipe: Recipe | None = None,
    run_dir: str | Path | None = None,
    *,
    callbacks: Sequence[Any] = (),
    best_from: int = 1,
    verbose: int | str = "auto",
) -> Any:
    """Trains a classifier; afterwards the model holds the weights of its best epoch, ready to use.

    Called again with the same arguments after a kill, it goes on after the last whole epoch and ends as an undisturbed
    training would have; after the end, it returns what is there at once.

    The model is compiled here (an earlier `compile` is overridden) and left compiled for `evaluate` and `predict`.
    XLA is never used on a CPU, where it makes depthwise convolutions about ten times slower.

    Args:
        model: Takes images of the data's size in [−1, 1]; gives one probability (or logit) per class. A Keras 3 model,
            or a tf_keras model such as `quantize_aware` gives.
        data: What `load_data` returns.
        recipe: How to train. Default: `Recipe()`.
        run_dir: Folder for checkpoints and logs. Default: none is kept.
        callbacks: Further callbacks, of the model's Keras.
        best_from: The first epoch, counted from 1, that may be the best; a pruning gives the one that ends sparse.
        verbose: As in `model.fit`: 0 silent, 1 a progress bar, 2 a line per epoch; "auto" is 1 on a terminal, else 2.

    Returns:
        The History of all epochs: `.history` has loss, accuracy, val_loss, val_accuracy and learning_rate.

    Raises:
        UserError: Model and data do not fit together, the run folder holds another training or cannot be written, or
            the loss became NaN.
    """
    recipe = recipe or Recipe()
    objective = labels_only(model, recipe, len(data.class_names))
    return train(model, data, recipe, run_dir, objective, callbacks=callbacks, best_from=best_from, verbose=verbose)


@dataclass(frozen=True)
class Objective:
    """What a training brings down, and the targets that takes.

    Attributes:
        loss: From targets and outputs to a loss for each image.
        accuracy: The metric of that name: "accuracy" itself, or a function of targets and outputs.
        targets: From batches of (images, labels) to batches of (images, targets).
        asked: What run.json says of it.
    """

    loss: Any
    accuracy: Any = "accuracy"
    targets: Callable[[tf.data.Dataset], Any] = lambda batches: batches
    asked: dict[str, Any] = dataclasses.field(default_factory=dict)


def labels_only(model: Any, recipe: Recipe, classes: int) -> Objective:
    """The usual one: cross-entropy with the labels."""
    return Objective(_loss(model, recipe.label_smoothing, classes))


def train(
    model: Any,
    data: Data,
    recipe: Recipe,
    run_dir: str | Path | None,
    objective: Objective,
    *,
    callbacks: Sequence[Any] = (),
    best_from: int = 1,
    verbose: int | str = "auto",
) -> Any:
    """`fit` towards any objective."""
    if run_dir is None:
        with tempfile.TemporaryDirectory() as folder:
            return train(
                model, data, recipe, folder, objective, callbacks=callbacks, best_from=best_from, verbose=verbose
            )
    if verbose == "auto":
        verbose = 1 if sys.stdout.isatty() else 2
    run_dir, library = Path(run_dir), library_of(model)
    _check_shapes(model, data)
    _claim(run_dir, model, data, {"recipe": dataclasses.asdict(recipe)} | objective.asked)
    _compile(model, data, recipe, objective)
    run = _Run(model, data, run_dir, recipe, best_from)
    run.resume()
    if run.first_epoch < recipe.epochs:
        validation = objective.targets(data.validation)
        finite = isinstance(validation, tf.data.Dataset)
        try:
            with fused_batch_norm():
                model.fit(
                    objective.targets(data.epochs(run.first_epoch, recipe.epochs, recipe.seed, recipe.augmentation)),
                    validation_data=validation,
                    validation_steps=None if finite else -(-data.count("validation") // data.batch_size),
                    initial_epoch=run.first_epoch,
                    epochs=recipe.epochs,
                    steps_per_epoch=data.steps_per_epoch(),
                    shuffle=False,  # the data set has shuffled already; Keras warns otherwise
                    callbacks=[*callbacks, run.callback(), _tensorboard(library, run_dir)],
                    verbose=verbose,
                )
        except tf.errors.OpError as error:
            if str(run_dir / "logs") not in str(error):
                raise
            reason = str(error.message).rsplit(";", 1)[-1].strip()
            raise UserError(f"cannot write {run_dir / 'logs'}: {reason}; free some space and start again") from error
    run.restore_best()
    model.compile(loss=_loss(model), metrics=["accuracy"], jit_compile=_jit_compile(library))
    return run.history()


def library_of(model: Any) -> Any:
    """The Keras that a model belongs to: the module keras, or tf_keras."""
    if isinstance(model, keras.Model):
        return keras
    import tf_keras

    if isinstance(model, tf_keras.Model):
        return tf_keras
    raise UserError(f"a Keras model is needed, not {type(model).__module__}.{type(model).__name__}")


def gives_logits(model: Any) -> bool:
    """Whether a model ends without a softmax."""
    last = model.layers[-1]
    if hasattr(last, "layers"):
        return gives_logits(last)
    last = getattr(last, "layer", last)  # inside a wrapper of tfmot
    activation = getattr(last, "activation", None)
    activation = getattr(activation, "activation", activation)  # rounded by tfmot
    return type(last).__name__ != "Softmax" and getattr(activation, "__name__", None) != "softmax"


def _check_shapes(model: Any, data: Data) -> None:
    size, classes = data.image_size, len(data.class_names)
    wanted, given = (size, size, 3), tuple(model.input_shape[1:])
    if len(given) != 3 or any(have not in (None, want) for have, want in zip(given, wanted, strict=True)):
        raise UserError(
            f"the model takes images of {_by(given)} but {data.name} was loaded as {_by(wanted)}; "
            f"build it with input_shape={wanted} or load the data with another image_size"
        )
    if tuple(model.output_shape[1:]) != (classes,):
        raise UserError(
            f"the model has output {_by(model.output_shape[1:])} but {data.name} has {classes} classes; "
            f"build it with classes={classes}"
        )


def _by(shape: tuple) -> str:
    return "×".join("any" if length is None else str(length) for length in shape)


def _claim(run_dir: Path, model: Any, data: Data, more: dict[str, Any]) -> None:
    """Writes run.json, or checks that the one there asks for the same training."""
    asked: dict[str, Any] = {
        "model": {
            "name": model.name,
            "input_shape": list(model.input_shape[1:]),
            "classes": model.output_shape[-1],
            "parameters": model.count_params(),
        },
        "data": {
            "name": data.name,
            "image_size": data.image_size,
            "batch_size": data.batch_size,
            "class_names": data.class_names,
            "train_images": data.count("train"),
        },
    } | more
    path = run_dir / "run.json"
    before = files.read_json(path) if path.exists() else {}
    for part, values in asked.items():
        files.refuse_other(run_dir, f"training with {part}", values | before.get(part, {}), values)
    packages = ("keras_mobilenets", "keras", "tensorflow", "numpy")
    versions = {"backend": keras.backend.backend()} | {package: metadata.version(package) for package in packages}
    if not asked.items() <= before.items():
        files.write_json(path, before | asked | {"versions": versions})


def _compile(model: Any, data: Data, recipe: Recipe, objective: Objective) -> None:
    library = library_of(model)
    if recipe.bn_momentum is not None:
        for layer in model._flatten_layers():
            if isinstance(layer, library.layers.BatchNormalization):
                layer.momentum = recipe.bn_momentum
    model.compile(
        optimizer=make_optimizer(recipe, model, data.steps_per_epoch()),
        loss=objective.loss,
        metrics=[objective.accuracy],
        jit_compile=_jit_compile(library),
    )


def _loss(model: Any, smoothing: float = 0.0, classes: int = 0) -> Any:
    """Cross-entropy on integer labels; Keras smooths one-hot labels only."""
    from_logits = gives_logits(model)
    if not smoothing:
        return library_of(model).losses.SparseCategoricalCrossentropy(from_logits=from_logits)

    def smoothed_crossentropy(labels: Any, outputs: Any) -> Any:
        one_hot = keras.ops.one_hot(keras.ops.reshape(labels, [-1]), classes)
        return keras.losses.categorical_crossentropy(one_hot, outputs, from_logits, smoothing)

    return smoothed_crossentropy


def _jit_compile(library: Any) -> bool | str | None:
    if not tf.config.list_physical_devices("GPU"):
        return False
    return "auto" if library is keras else None


def _tensorboard(library: Any, run_dir: Path) -> Any:
    return library.callbacks.TensorBoard(str(run_dir / "logs"), write_graph=False, profile_batch=0)


class _Run:
    """The state of a training in its folder: saved after every epoch, read back at the start."""

    def __init__(self, model: Any, data: Data, run_dir: Path, recipe: Recipe, best_from: int):
        self.model, self.library = model, library_of(model)
        self.run_dir = run_dir
        self.best_from = min(best_from, recipe.epochs)
        self.images_per_epoch = data.steps_per_epoch() * data.batch_size
        self.rows: list[dict[str, float]] = []
        # The same layers without optimizer and loss: a third of the size, and nothing in it that is ours alone.
        self.bare = self.library.Model(model.inputs, model.outputs, name=model.name)

    @property
    def first_epoch(self) -> int:
        return len(self.rows)

    # What happens during model.fit

    def callback(self) -> Any:
        """Calls the methods below."""
        return self.library.callbacks.LambdaCallback(
            on_epoch_begin=self._on_epoch_begin,
            on_epoch_end=self._on_epoch_end,
            on_train_batch_end=self._on_train_batch_end,
            on_test_begin=self._on_test_begin,
        )

    def _on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.started = self.trained = time.perf_counter()

    def _on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        if not math.isfinite((logs or {}).get("loss", 0.0)):
            kept = (
                f"the best model so far is kept in {self.run_dir / 'model.keras'}" if self.rows else "nothing is kept"
            )
            raise UserError(
                f"loss is NaN in epoch {len(self.rows) + 1}, step {batch + 1}; {kept}; lower the learning_rate"
            )

    def _on_test_begin(self, logs: dict | None = None) -> None:
        self.trained = time.perf_counter()

    def _on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        assert logs is not None
        row = {"epoch": epoch + 1, **{name: float(value) for name, value in logs.items()}}
        row["learning_rate"] = float(self.model.optimizer.learning_rate)
        row["images_per_second"] = logs["images_per_second"] = round(
            self.images_per_epoch / (self.trained - self.started), 1
        )
        row["seconds"] = round(time.perf_counter() - self.started, 3)
        self.rows.append(row)
        before = [earlier["val_accuracy"] for earlier in self.rows[self.best_from - 1 : -1]]
        if len(self.rows) >= self.best_from and row["val_accuracy"] > max(before, default=-1.0):
            with files.atomic(self.run_dir / "model.keras") as path:
                self.bare.save(path)
        self._save()

    # The files

    def _variables(self) -> list:
        """All that a training changes: weights, BatchNorm statistics, dropout's random state, optimizer."""
        return [*self.model.variables, *self.model.optimizer.variables]

    def _save(self) -> None:
        with files.atomic(self.run_dir / "history.csv") as path, open(path, "w", newline="") as file:
            writer = csv.DictWriter(file, list(self.rows[0]))
            writer.writeheader()
            writer.writerows(self.rows)
        with files.atomic(self.run_dir / "checkpoint.npz") as path:
            arrays = {f"v{i}": np.asarray(variable) for i, variable in enumerate(self._variables())}
            np.savez(path, rows=np.array(json.dumps(self.rows)), allow_pickle=False, **arrays)

    def resume(self) -> None:
        """Takes up the state of the last whole epoch, if there is one."""
        path = self.run_dir / "checkpoint.npz"
        if not path.exists():
            return
        variables = self._variables()
        try:
            with np.load(path, allow_pickle=False) as state:
                rows = json.loads(str(state["rows"]))
                values = [state[f"v{i}"] for i in range(len(variables))]
                for variable, value in zip(variables, values, strict=True):
                    variable.assign(value)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(f"{path} cannot be resumed from; delete {self.run_dir} to start over") from error
        self.rows = rows

    def restore_best(self) -> None:
        path = self.run_dir / "model.keras"
        try:
            self.bare.load_weights(path)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise UserError(f"{path} cannot be read; delete {self.run_dir} to start over") from error

    def history(self) -> Any:
        """All rows as Keras gives them; what depends on the machine's speed is in history.csv only."""
        history = self.library.callbacks.History()
        history.set_model(self.model)
        history.epoch = list(range(len(self.rows)))
        names = [name for name in self.rows[0] if name not in ("epoch", "seconds", "images_per_second")]
        history.history = {name: [row[name] for row in self.rows] for name in names}
        return history
