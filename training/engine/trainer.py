"""`model.fit` with checkpoints, resumption after a kill, logs, and the best model at the end.

A run folder holds run.json (the settings), model.keras (the best model so far, by its validation), the newest two
checkpoint-<step>.npz (the complete training state after a step), history.csv, logs/ (TensorBoard) and, at the end,
examination.npz (confusion matrix and mistakes).
"""

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_mobilenets import files
from keras_mobilenets.errors import UserError
from keras_mobilenets.lock import locked
from keras_mobilenets.training.datasets.dataset import Data
from keras_mobilenets.training.datasets.images import Images
from keras_mobilenets.training.distribution import broadcast, device_strategy, process_group
from keras_mobilenets.training.engine import model_transforms, progress_bar, progressive_learning, tensorboard_logger
from keras_mobilenets.training.engine.batch_normalization import fused_batch_norm
from keras_mobilenets.training.engine.grouped_convolution import split_groups
from keras_mobilenets.training.engine.optimizer import make_optimizer
from keras_mobilenets.training.engine.precision import mixed_precision
from keras_mobilenets.training.engine.recorder import Recorder
from keras_mobilenets.training.introspection import library_of, shape_text
from keras_mobilenets.training.recipe import PLAIN, Recipe
from keras_mobilenets.training.tasks.objective import ALTERNATIVES, Objective

CHECKPOINT_SECONDS = 60.0


def fit(
    model: Any,
    data: Data,
    recipe: Recipe | None = None,
    run_dir: str | Path | None = None,
    *,
    objective: Objective | None = None,
    callbacks: Sequence[Any] = (),
    best_from: int = 1,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    verbose: int | str = "auto",
) -> Any:
    """Trains a model; afterwards the model holds the weights of its best epoch, ready to use.

    Called again with the same arguments after a kill, it resumes from the last checkpoint and ends as an uninterrupted
    training would have, bit for bit where the device is deterministic; after the end, it returns the result at once. A
    damaged checkpoint gives a warning, and the previous one is used. Two trainings at a time in one folder are refused
    (not on Windows).

    The model is compiled here (an earlier `compile` is overridden) and left compiled for `evaluate` and `predict`.
    XLA is never used on a CPU, where it makes depthwise convolutions about ten times slower.

    Args:
        model: Takes images of the data's size, in [−1, 1] unless its first layers say otherwise; gives one probability
            (or logit) per class, or what the task of the data asks for. A Keras 3 model, or a tf_keras model such as
            `quantize_aware` gives.
        data: What `load_data` returns.
        recipe: How to train. Default: `Recipe()`.
        run_dir: Folder for checkpoints and logs. Default: none is kept.
        objective: Loss, targets and metric. Default: that of the data's task, such as cross-entropy with the labels.
        callbacks: Further callbacks, of the model's Keras. Checkpoints do not hold their state: after a kill, they
            start anew in the epoch that is resumed.
        best_from: The first epoch, counted from 1, that may be the best; pruning gives the one that ends sparse.
        checkpoint_seconds: Seconds between checkpoints within an epoch, 0 or more; `math.inf` for none. There is a
            checkpoint after every epoch in any case.
        verbose: 0 silent; 1 a line for each epoch and, on a terminal, a progress bar with images per second and
            remaining time; 2 the lines only. "auto" is 1.

    Returns:
        The History of all epochs: `.history` has loss, accuracy, val_loss, val_accuracy and learning_rate.

    Raises:
        UserError: Model and data do not fit together, the run folder holds another training, is in use or cannot be
            written, or the loss became NaN.
    """
    recipe, data = recipe or Recipe(), data.scaled_for(model)
    objective = objective or data.task.objective(model, recipe, data.class_weights(recipe))
    if not checkpoint_seconds >= 0:
        raise UserError(f"checkpoint_seconds={checkpoint_seconds}: give seconds, 0 or more, such as 60")
    library = library_of(model)
    with contextlib.ExitStack() as stack:
        stack.enter_context(process_group.abort_on_error())
        if not process_group.is_first():
            run_dir, verbose = None, 0
        _check_shapes(model, data)
        if recipe.stages > 1 and not isinstance(data.kind, Images):
            raise UserError(f"stages grow images, and {data.name} holds {data.kind.noun}s: leave stages at 1")
        folder = Path(run_dir or stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(locked(folder))
        _record_settings(folder, model, data, {"recipe": dataclasses.asdict(recipe)} | objective.settings)
        whole = progressive_learning.multi_size_model(model_transforms.apply(model, recipe), recipe, data.image_size)
        with device_strategy.distribute(whole, data.batch_size) as trained:
            with mixed_precision(trained, recipe.precision):
                _compile(trained, data, recipe, objective)
            recorder = Recorder(
                trained,
                model,
                lambda: device_strategy.copy_weights(trained, whole),
                library,
                folder,
                steps_per_epoch=data.steps_per_epoch(),
                batch_size=data.batch_size,
                best_from=min(best_from, recipe.epochs),
                monitor=objective.monitor,
                patience=recipe.patience,
                checkpoint_seconds=checkpoint_seconds,
                is_kept=run_dir is not None,
            )
            recorder.resume()
            logs = stack.enter_context(tensorboard_logger.Summaries(recorder))
            progress = stack.enter_context(progress_bar.Progress(recorder, _work(recipe, data), data, verbose))
            while len(recorder.rows) < recipe.epochs and not recorder.stopped:
                with _logging_to(folder / "logs"), mixed_precision(trained, recipe.precision):
                    _fit(trained, data, recipe, objective, recorder, callbacks, progress, logs)
            if recorder.out_of_patience and len(recorder.rows) < recipe.epochs:
                progress.say(f"stopped early: none of the last {recipe.patience} epochs was better")
            if process_group.is_first():
                recorder.restore_best()
            device_strategy.broadcast_weights(model)
        plain = data.task.objective(model, PLAIN)
        model.compile(loss=plain.loss, metrics=plain.metrics, jit_compile=_jit_compile(library))
        if run_dir is not None:
            examination = data.task.examine_into(folder, model, data)
            with _logging_to(folder / "logs"):
                logs.write_examination(examination)
        return recorder.history()


def _fit(
    model: Any,
    data: Data,
    recipe: Recipe,
    objective: Objective,
    recorder: Recorder,
    callbacks: Sequence[Any],
    progress: progress_bar.Progress,
    logs: tensorboard_logger.Summaries,
) -> None:
    """Calls `model.fit` once: for the rest of an interrupted epoch, or for the remaining epochs of the stage."""
    epoch, step = len(recorder.rows), recorder.state.step
    stage = progressive_learning.stage_of(epoch, recipe, data.image_size)
    if recipe.stages > 1:
        progressive_learning.start_stage(model, stage)
        progress.say(f"epochs {epoch + 1} to {stage.last} on images of {stage.image_size}×{stage.image_size}")
    batches = data.epochs(
        epoch,
        stage.last,
        recipe.seed,
        stage.augmentation,
        first_step=step,
        image_size=stage.image_size,
        share=process_group.shard(),
        views=objective.views,
    )
    if recipe.stages > 1:
        batches = progressive_learning.relax_image_size(batches)
    targets = objective.targets(batches)
    _build_metrics(model, targets)
    if epoch == stage.first and not step and data.kind.has_pictures:
        logs.write_images(batches, data.task.caption, data.pictures)
    validation = objective.validation(device_strategy.validation(data))
    with fused_batch_norm(), split_groups():
        model.fit(
            targets,
            validation_data=validation,
            initial_epoch=epoch,
            epochs=stage.last,
            steps_per_epoch=data.steps_per_epoch() - step,
            shuffle=False,  # the data set has shuffled already; Keras warns otherwise
            callbacks=[
                *callbacks,
                model_transforms.average_validation(model),
                recorder.callback(),
                logs.callback(),
                progress.callback(),
            ],
            verbose=0,
        )


def _build_metrics(model: Any, targets: Any) -> None:
    """Builds the metrics' variables; a first step that creates variables is traced twice by TensorFlow."""
    if keras.backend.backend() != "tensorflow" or not isinstance(model, keras.Model):
        return
    if model.distribute_strategy.num_replicas_in_sync == 1 and isinstance(targets, tf.data.Dataset):
        spec = targets.element_spec[1]
        model.compute_metrics(None, tf.zeros([1, *spec.shape[1:]], spec.dtype), tf.zeros([1, *model.output_shape[1:]]))
        model.reset_metrics()


@contextlib.contextmanager
def _logging_to(logs: Path) -> Iterator[None]:
    """Turns the errors of TensorBoard's writer into one line."""
    try:
        yield
    except tf.errors.OpError as error:
        if str(logs) not in str(error):
            raise
        reason = str(error.message).rsplit(";", 1)[-1].strip()
        raise UserError(f"cannot write {logs}: {reason}; free some space and start again") from error


def _check_shapes(model: Any, data: Data) -> None:
    wanted, given = data.input_shape, tuple(model.input_shape[1:])
    if len(given) != len(wanted) or any(have not in (None, want) for have, want in zip(given, wanted, strict=True)):
        noun = data.kind.noun
        raise UserError(
            f"the model takes {noun}s of {shape_text(given)} but {data.name} was loaded as {shape_text(wanted)}; "
            f"build it with input_shape={wanted} or load the data with another image_size"
        )
    data.task.check(model, data.name)


def _record_settings(run_dir: Path, model: Any, data: Data, more: dict[str, Any]) -> None:
    """Writes run.json, or checks that the existing one is of the same training."""
    settings: dict[str, Any] = {
        "model": {
            "name": model.name,
            "input_shape": list(model.input_shape[1:]),
            "classes": len(data.class_names),
            "parameters": model.count_params(),
        }
        | data.kind.described(data.scaling),
        "data": {
            "name": data.name,
            "image_size": data.image_size,
            "batch_size": data.batch_size,
            "class_names": data.class_names,
            "train_images": data.count("train"),
        }
        | data.kind.options
        | data.task.described,
    } | more
    broadcast.check_same(settings)
    before = files.read_record(run_dir)
    if "recipe" in before:
        before["recipe"] = dataclasses.asdict(Recipe()) | before["recipe"]  # an earlier version had fewer settings
        for part in ALTERNATIVES:
            if (part in before) != (part in settings):
                word = "with" if part in before else "without"
                raise UserError(f"{run_dir} holds a training {word} {part}; give another run folder or delete this one")
    for part, values in settings.items():
        files.refuse_other(run_dir, f"training with {part}", values | before.get(part, {}), values)
    packages = ("keras_mobilenets", "keras", "tensorflow", "numpy")
    versions = {"backend": keras.backend.backend()} | {package: metadata.version(package) for package in packages}
    if not settings.items() <= before.items():
        files.write_json(run_dir / "run.json", before | settings | {"versions": versions})


def _compile(model: Any, data: Data, recipe: Recipe, objective: Objective) -> None:
    optimizer = make_optimizer(recipe, model, data.steps_per_epoch())
    # At the end of `fit`, Keras would put the averages in the place of the weights, which train on.
    optimizer.finalize_variable_values = lambda variables: None
    metrics = "weighted_metrics" if device_strategy.is_data_parallel() else "metrics"
    model.compile(
        optimizer=optimizer,
        loss=objective.loss,
        **{metrics: objective.metrics},
        jit_compile=_jit_compile(library_of(model)),
    )


def _jit_compile(library: Any) -> bool | str | None:
    if library is keras and keras.backend.backend() != "tensorflow":
        return "auto"
    if not tf.config.list_physical_devices("GPU"):
        return False
    return "auto" if library is keras else None


def _work(recipe: Recipe, data: Data) -> list[int]:
    """The relative cost of a step in each epoch: the pixels of an image."""
    stages = progressive_learning.stages(recipe, data.image_size)
    return [stage.image_size**2 for stage in stages for _ in range(stage.first, stage.last)]
