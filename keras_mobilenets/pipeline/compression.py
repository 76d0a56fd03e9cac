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
from keras_mobilenets.pipeline.folder import SEED, RunFolder

MADE_FROM = {"pqat": "prune", "cqat": "cluster"}  # the others from the run's own model


class Work(NamedTuple):
    """What a variant is made of.

    Attributes:
        model: The model before.
        data: The run's data.
        recipe: How it trains.
        folder: Where the training's checkpoints go.
        options: Arguments of what makes it.
        show: Called with tables that are for the reader.
    """

    model: Any
    data: Any
    recipe: Any
    folder: Path
    options: dict[str, Any]
    show: Callable[[Any], object]


class Kind(NamedTuple):
    """One way to make a model smaller or faster.

    Attributes:
        description: In words.
        epochs: How long it trains by default; longer on small data (`usual_epochs`).
        rate: Its default learning rate, as a factor on that of the run's training.
        defaults: Options that stand for what is not said.
        make: From the work to the compressed model.
    """

    description: str
    epochs: int
    rate: float
    defaults: dict[str, Any]
    make: Callable[[Work], Any]


def _quantize_aware(work: Work) -> Any:
    from keras_mobilenets import training

    settings = dict(work.options)
    distil, count = settings.pop("distil"), settings.pop("calibration")
    data = work.data.scaled_for(work.model)
    images, _ = data.inputs("train", count, seed=SEED)
    pixels = data.scaling
    trained = training.quantize_aware(work.model, images, calibration_images=count, pixels=pixels, **settings)
    if distil:
        training.distill(trained, work.model, work.data, work.recipe, work.folder)
    else:
        training.fit(trained, work.data, work.recipe, work.folder)
    return trained


def _keeping(what: str) -> Callable[[Work], Any]:
    return lambda work: _quantize_aware(work._replace(options=work.options | {"preserve": what}))


def _prune(work: Work) -> Any:
    from keras_mobilenets import training

    settings = dict(work.options)
    if settings.pop("by_layer"):
        scanned = training.sensitivity(work.model, work.data)
        work.show(scanned)
        settings["sparsity"] = scanned.sparsities(settings["sparsity"])
    return training.prune(work.model, work.data, recipe=work.recipe, run_dir=work.folder, **settings)


def _prune_channels(work: Work) -> Any:
    from keras_mobilenets import training

    return training.prune_channels(work.model, data=work.data, recipe=work.recipe, run_dir=work.folder, **work.options)


def _cluster(work: Work) -> Any:
    from keras_mobilenets import training

    return training.cluster(work.model, work.data, recipe=work.recipe, run_dir=work.folder, **work.options)


_QAT: dict[str, Any] = {"left_in_float": [], "freeze_batch_norm_after": None, "distil": True, "calibration": 200}
_PRUNE = {"sparsity": 0.75, "schedule": "polynomial", "pattern": None, "by_layer": False}
_CHANNELS = {"macs": 0.5, "importance": "bn_scale", "steps": 1}
KINDS = {
    "qat": Kind("quantization-aware training", 1, 0.1, _QAT, _quantize_aware),
    "prune": Kind("weight pruning", 3, 0.4, _PRUNE, _prune),
    "pqat": Kind("quantization-aware training that keeps the zeros", 1, 0.1, _QAT, _keeping("sparsity")),
    "channels": Kind("channel pruning", 3, 0.5, _CHANNELS, _prune_channels),
    "cluster": Kind("weight clustering", 2, 0.1, {}, _cluster),
    "cqat": Kind("quantization-aware training that keeps the clusters", 1, 0.1, _QAT, _keeping("clusters")),
}


def in_order(kinds: Mapping[str, int | None]) -> dict[str, int | None]:
    """Kinds with their epochs in the order in which they are made, what one of them starts from before it.

    Args:
        kinds: Names in KINDS, and "ptq", which stands for int8 without training and comes first.

    Raises:
        UserError: A name is none of these.
    """
    known = ("ptq", *KINDS)
    for kind in kinds:
        if kind not in known:
            raise UserError(f"{kind!r} is none of {', '.join(known)}")
    wanted = {MADE_FROM[kind]: None for kind in kinds if kind in MADE_FROM} | dict(kinds)
    return {kind: wanted[kind] for kind in known if kind in wanted}


def compress(
    run: RunFolder,
    kind: str,
    options: Mapping[str, Any] | None = None,
    changes: Mapping[str, Any] | None = None,
    show: Callable[[Any], object] = lambda table: None,
) -> Path:
    """Makes one variant of a run's trained model, or goes on with one that was stopped.

    Args:
        run: The run; `train` has filled it.
        kind: A name in KINDS.
        options: Arguments of what makes it, such as {"sparsity": 0.9}.
        changes: What shall be different from the default recipe, such as {"epochs": 5}.
        show: Called with tables that are for the reader: the scan of which layers bear pruning.

    Returns:
        The variant's model.keras.

    Raises:
        UserError: The run has no model or does not say how it was trained, or the folder holds another variant.
    """
    if kind not in KINDS:
        raise UserError(f"{kind!r} is none of {', '.join(KINDS)}")
    what, _, rate, defaults, make = KINDS[kind]
    if "distil" in defaults and run.asked.get("data", {}).get("task") == "detection":
        defaults = defaults | {"distil": False}  # whose teacher would answer with classes
    source = MADE_FROM.get(kind, "")
    before = run.model_of(source)
    if not before.exists():
        verb = f"keras-mobilenets prune {run.folder}" if source else "keras-mobilenets train"
        raise UserError(f"{before} is missing: make it first with {verb}")
    folder, made = run.folder / kind, run.model_of(kind)
    recipe = _recipe(run, usual_epochs(run, kind), rate, dict(changes or {}))
    asked: dict[str, Any] = {
        "kind": kind,
        "model_sha256": files.sha256(before),
        "options": defaults | dict(options or {}),
        "recipe": dataclasses.asdict(recipe),
    }
    with locked(folder):
        there = files.read_record(folder) or asked
        # Of an earlier version, which knew less of recipes and left out options that nobody gave.
        there["recipe"] = asked["recipe"] | there.get("recipe", {})
        there["options"] = defaults | there.get("options", {})
        if there != asked:
            raise UserError(f"{folder} holds {what} of another model or with other arguments; delete it to start over")
        if made.exists():
            return made
        import keras

        from keras_mobilenets.training.compression.model_loader import load_model

        with locked(run.folder):  # not while it is being trained
            model = load_model(before)
        files.write_json(folder / "run.json", asked)
        keras.utils.set_random_seed(recipe.seed)  # dropout, first centroids
        model = make(Work(model, run.data(), recipe, folder / "training", asked["options"], show))
        with files.atomic(made) as path:
            model.save(path)
        return made


def usual_epochs(run: RunFolder, kind: str) -> int:
    """The epochs of a kind of compression of this run: more where few steps make an epoch, but no more than the run's.

    Args:
        run: The run; `train` has filled it, or is to.
        kind: A name in KINDS.
    """
    from keras_mobilenets.training.recipe import compression_epochs

    epochs, data, recipe = KINDS[kind].epochs, run.asked.get("data", {}), run.asked.get("recipe", {})
    # An earlier version took no more on small data: what it made, or began to make, stays.
    is_of_before = files.read_record(run.folder / kind).get("recipe", {}).get("epochs") == epochs
    if is_of_before or "train_images" not in data or "epochs" not in recipe:
        return epochs
    return compression_epochs(epochs, data["train_images"] // data["batch_size"], recipe["epochs"])


def _recipe(run: RunFolder, epochs: int, rate: float, changes: dict[str, Any]) -> Any:
    """The run's own recipe, shorter, and at a fraction of its learning rate."""
    from keras_mobilenets.training.recipe import Recipe

    settings = run.asked.get("recipe")
    if settings is None:
        raise UserError(f"{run.folder} has no run.json that says how it was trained; give a folder that `train` made")
    shorter = {"epochs": epochs, "learning_rate": rate * settings["learning_rate"], "warmup_epochs": 0.1}
    # What tf_keras takes.
    plain = {"stochastic_depth": 0.0, "ema_epochs": 0.0, "precision": "float32", "accumulate": 1, "stages": 1}
    return Recipe(**settings | plain | shorter | changes)
