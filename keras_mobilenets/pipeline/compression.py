"""Compressed variants of a run's model: each is trained in a folder inside the run's, such as RUN/qat.

The folder holds model.keras, run.json (what was asked, of which model) and training/, where a killed one goes on.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from keras_mobilenets import files
from keras_mobilenets.errors import UserError
from keras_mobilenets.lock import locked
from keras_mobilenets.pipeline.run import CALIBRATION_SEED, MADE_FROM, Run


class Kind(NamedTuple):
    """One way to make a model smaller or faster.

    Attributes:
        says: In words.
        epochs: How long it trains by default.
        rate: Its default learning rate, as a factor on that of the run's training.
        make: (model, data, recipe, folder of the training, options) to the compressed model.
    """

    says: str
    epochs: int
    rate: float
    make: Callable[..., Any]


def _quantize_aware(model: Any, data: Any, recipe: Any, folder: Path, options: dict[str, Any]) -> Any:
    from keras_mobilenets import training

    settings = dict(options)
    distil, count = settings.pop("distil", True), settings.pop("calibration", 200)
    images, _ = data.images("train", count, seed=CALIBRATION_SEED)
    trained = training.quantize_aware(model, images, calibration_images=count, **settings)
    if distil:
        training.distill(trained, model, data, recipe, folder)
    else:
        training.fit(trained, data, recipe, folder)
    return trained


def _keeping(what: str) -> Callable[..., Any]:
    def make(model: Any, data: Any, recipe: Any, folder: Path, options: dict[str, Any]) -> Any:
        return _quantize_aware(model, data, recipe, folder, options | {"preserve": what})

    return make


def _prune(model: Any, data: Any, recipe: Any, folder: Path, options: dict[str, Any]) -> Any:
    from keras_mobilenets import training

    settings = dict(options)
    if settings.pop("by_layer", False):
        scanned = training.sensitivity(model, data)
        print(scanned)
        settings["sparsity"] = scanned.sparsities(settings["sparsity"])
    return training.prune(model, data, recipe=recipe, run_dir=folder, **settings)


def _prune_channels(model: Any, data: Any, recipe: Any, folder: Path, options: dict[str, Any]) -> Any:
    from keras_mobilenets import training

    return training.prune_channels(model, data=data, recipe=recipe, run_dir=folder, **options)


def _cluster(model: Any, data: Any, recipe: Any, folder: Path, options: dict[str, Any]) -> Any:
    from keras_mobilenets import training

    return training.cluster(model, data, recipe=recipe, run_dir=folder, **options)


KINDS = {
    "qat": Kind("quantization-aware training", 1, 0.1, _quantize_aware),
    "prune": Kind("weight pruning", 3, 0.4, _prune),
    "pqat": Kind("quantization-aware training that keeps the zeros", 1, 0.1, _keeping("sparsity")),
    "channels": Kind("channel pruning", 3, 0.5, _prune_channels),
    "cluster": Kind("weight clustering", 2, 0.1, _cluster),
    "cqat": Kind("quantization-aware training that keeps the clusters", 1, 0.1, _keeping("clusters")),
}


def compress(
    run: Run, kind: str, options: Mapping[str, Any] | None = None, changes: Mapping[str, Any] | None = None
) -> Path:
    """Makes one variant of a run's trained model, or goes on with one that was stopped.

    Args:
        run: The run; `train` has filled it.
        kind: A name in KINDS.
        options: Arguments of what makes it, such as {"sparsity": 0.9}.
        changes: What shall be different from the default recipe, such as {"epochs": 5}.

    Returns:
        The variant's model.keras.

    Raises:
        UserError: The run has no model or does not say how it was trained, or the folder holds another variant.
    """
    import keras

    from keras_mobilenets.files import sha256
    from keras_mobilenets.training.compression.model_loader import load_model

    says, epochs, rate, make = KINDS[kind]
    source = MADE_FROM.get(kind, "")
    before = run.model_of(source)
    if not before.exists():
        what = f"keras-mobilenets prune {run.folder}" if source else "keras-mobilenets train"
        raise UserError(f"{before} is missing: make it first with {what}")
    recipe = _recipe(run, epochs, rate, dict(changes or {}))
    folder, made = run.folder / kind, run.model_of(kind)
    asked: dict[str, Any] = {
        "kind": kind,
        "model_sha256": sha256(before),
        "options": dict(options or {}),
        "recipe": dataclasses.asdict(recipe),
    }
    with locked(folder):
        there = files.read_record(folder) or asked
        there["recipe"] = asked["recipe"] | there.get("recipe", {})  # of an earlier version, which knew less
        if there != asked:
            raise UserError(f"{folder} holds {says} of another model or with other arguments; delete it to start over")
        if made.exists():
            return made
        with locked(run.folder):  # not while it is being trained
            model = load_model(before)
        files.write_json(folder / "run.json", asked)
        keras.utils.set_random_seed(recipe.seed)  # dropout, first centroids
        model = make(model, run.data(), recipe, folder / "training", dict(options or {}))
        with files.atomic(made) as path:
            model.save(path)
        return made


def _recipe(run: Run, epochs: int, rate: float, changes: dict[str, Any]) -> Any:
    """The run's own recipe, shorter, and at a fraction of its learning rate."""
    from keras_mobilenets.training.recipe import Recipe

    settings = run.asked.get("recipe")
    if settings is None:
        raise UserError(f"{run.folder} has no run.json that says how it was trained; give a folder that `train` made")
    shorter = {"epochs": epochs, "learning_rate": rate * settings["learning_rate"], "warmup_epochs": 0.1}
    # What tf_keras takes.
    plain = {"stochastic_depth": 0.0, "ema_epochs": 0.0, "precision": "float32", "accumulate": 1, "stages": 1}
    return Recipe(**settings | plain | shorter | changes)
