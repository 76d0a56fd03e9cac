"""A run's model: trained on labels, on a teacher's answers, or from weights that are there."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_mobilenets import files
from keras_mobilenets.errors import UserError
from keras_mobilenets.lock import locked
from keras_mobilenets.models.catalog import builder_named
from keras_mobilenets.pipeline.folder import RunFolder
from keras_mobilenets.training.recipe import Recipe, find, usual_recipe

# By task: what its data hold, a builder for it, and data.
ONLY_FOR = {
    "detection": ("boxes", "a detector, such as SSDLiteMobileNetV2", "shapes_detection"),
    "next_item": ("a log of items", "a recommender, such as SeparableSequenceNet", "visits"),
}


def usual_size(data: str, arguments: Mapping[str, Any] | None = None) -> int:
    """The side of the images, in pixels, where none is asked for: a searched network's own, else what is usual of the
    data set, 64 of a folder, 320 of one with boxes. Of recordings and logs it is the length of an example.

    Args:
        data: Name of the data set.
        arguments: The builder's.
    """
    spec = (arguments or {}).get("spec")
    if spec is not None:
        from keras_mobilenets.models.mobilenets.spec import read_spec

        return read_spec(spec).input_size
    from keras_mobilenets.training.datasets.catalog import default_size

    return default_size(data)


def train(
    run: RunFolder,
    builder: str,
    arguments: Mapping[str, Any] | None = None,
    *,
    data: str = "shapes",
    image_size: int | None = None,
    batch_size: int | None = None,
    data_dir: str | None = None,
    frames: int | None = None,
    recipe: str | Recipe = "default",
    changes: Mapping[str, Any] | None = None,
    weights: str | None = None,
    freeze: int | None = None,
    head_epochs: int | None = None,
    checkpoint_seconds: float | None = None,
) -> Path:
    """Trains into the folder, or goes on with a training that was stopped; one that is over is left as it is.

    Args:
        run: The run.
        builder: Name of the model's builder.
        arguments: The builder's, without input shape and classes.
        data: What `training.load_data` takes.
        image_size: Side of the images in pixels, length of the recordings in samples or of the histories in items; None
            for `usual_size`.
        batch_size: Images per step; None for the recipe's.
        data_dir: Where TFDS data sets are kept.
        frames: Of each clip, as in `load_data`.
        recipe: A name in `RECIPES`, or a `Recipe`.
        changes: What shall be different from the recipe, such as {"epochs": 5}.
        weights: "imagenet" or a file that training starts from, as in `fine_tune`; None to train from scratch.
        freeze: With `weights`: the stem and so many blocks keep theirs.
        head_epochs: With `weights`: epochs of the head alone, before those of the recipe.
        checkpoint_seconds: Between checkpoints within an epoch; None for the default of `fit`.

    Returns:
        The run's model.keras.

    Raises:
        UserError: An argument cannot work, or the folder holds another training.
    """
    transfer = {"weights": weights, "freeze": freeze, "head_epochs": head_epochs}
    transfer = {name: value for name, value in transfer.items() if value is not None}
    if transfer and weights is None:
        raise UserError("freeze and head_epochs go with weights, those that are kept at first")
    asked = _asked(builder, arguments, data, image_size, batch_size, data_dir, frames, recipe, changes)
    return _train(run, asked | ({"transfer": transfer} if transfer else {}), checkpoint_seconds)


def distill(
    run: RunFolder,
    teacher: str | Path,
    builder: str,
    arguments: Mapping[str, Any] | None = None,
    *,
    temperature: float = 4.0,
    alpha: float = 0.7,
    cached_views: int | None = None,
    cache_file: str | None = None,
    data: str = "shapes",
    image_size: int | None = None,
    batch_size: int | None = None,
    data_dir: str | None = None,
    frames: int | None = None,
    recipe: str | Recipe = "default",
    changes: Mapping[str, Any] | None = None,
    weights: str | None = None,
    checkpoint_seconds: float | None = None,
) -> Path:
    """Trains into the folder on what a large model says of each image, beside the labels.

    Args:
        run: The run.
        teacher: Run folder or .keras file of the large model.
        builder: Name of the student's builder.
        arguments: As in `train`, like all that follow those of `training.distill`.
        temperature: Softens the answers of both.
        alpha: Share of the teacher in the loss, 0 to 1.
        cached_views: Show each image in so many fixed augmented views; None for new ones each time.
        cache_file: Where the teacher's answers about them are kept; None for the run folder.
        data: As in `train`.
        image_size: As in `train`.
        batch_size: As in `train`.
        data_dir: As in `train`.
        frames: As in `train`.
        recipe: As in `train`.
        changes: As in `train`.
        weights: The student starts from "imagenet" or a file; None to train it from scratch.
        checkpoint_seconds: As in `train`.

    Returns:
        The run's model.keras.

    Raises:
        UserError: As `train`, or the teacher does not fit.
    """
    teacher = Path(teacher)
    teacher = RunFolder(teacher).model_file if teacher.is_dir() else teacher
    given = {"cached_views": cached_views, "cache_file": cache_file}
    how = {"teacher": str(teacher), "temperature": temperature, "alpha": alpha}
    how |= {name: value for name, value in given.items() if value is not None}
    asked = _asked(builder, arguments, data, image_size, batch_size, data_dir, frames, recipe, changes)
    asked |= {"teacher": how}
    return _train(run, asked | ({"transfer": {"weights": weights}} if weights is not None else {}), checkpoint_seconds)


def _asked(
    builder: str,
    arguments: Mapping[str, Any] | None,
    data: str,
    image_size: int | None,
    batch_size: int | None,
    data_dir: str | None,
    frames: int | None,
    recipe: str | Recipe,
    changes: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """What run.json will say of a training, with all that depends on the data set and on the recipe filled in."""
    if recipe == "default":
        recipe = usual_recipe(builder_named(builder).task, builder_named(builder).kind)
    named = find(recipe if isinstance(recipe, str) else "default")
    if isinstance(recipe, str):
        settled = Recipe.named(recipe, **changes or {})
    else:
        settled = dataclasses.replace(recipe, **changes or {})
    given = dict(arguments or {})
    if given.get("spec") is not None:  # the run records the network itself, whatever becomes of the file
        from keras_mobilenets.models.mobilenets.spec import read_spec

        given["spec"] = read_spec(given["spec"]).record()
    source: dict[str, Any] = {
        "name": data,
        "image_size": usual_size(data, given) if image_size is None else image_size,
        "batch_size": named.batch_size if batch_size is None else batch_size,
    }
    return {
        "builder": builder,
        "arguments": dict(named.arguments) | given,
        "data": source | ({"data_dir": data_dir} if data_dir else {}) | ({"frames": frames} if frames else {}),
        "recipe": dataclasses.asdict(settled),
    }


def _check_task(builder: str, data: Any) -> None:
    """Refuses a detector for classes, a network of clips for images and the like, before it is built."""
    taken, held = builder_named(builder).kind, data.kind.noun
    if taken != held and "sequence" not in (taken, held):
        hint = ", or --frames 8 where each innermost folder of images is a clip" if taken == "clip" else ""
        raise UserError(f"{data.name} holds {held}s, and {builder} takes {taken}s: give such data{hint}")
    wanted, given = data.task.name, builder_named(builder).task
    if wanted in ONLY_FOR and wanted != given:
        held, network, _ = ONLY_FOR[wanted]
        raise UserError(f"{data.name} holds {held}: give {network}, not {builder}")
    if given in ONLY_FOR and wanted != given:
        held, _, example = ONLY_FOR[given]
        raise UserError(f"{builder} is for {held}, and {data.name} has none: give data such as {example}")


def _train(run: RunFolder, asked: dict[str, Any], checkpoint_seconds: float | None) -> Path:
    from keras_mobilenets.training.distribution import broadcast

    if broadcast.from_first(lambda: run.asked.get("train") == asked and run.model_file.exists()):
        return run.model_file
    import keras

    import keras_mobilenets as km
    from keras_mobilenets import training

    recipe, settings = Recipe(**asked["recipe"]), dict(asked.get("transfer", {}))
    keras.utils.set_random_seed(recipe.seed)
    source = training.load_data(**asked["data"])
    weights = settings.pop("weights", None)
    _check_task(asked["builder"], source)
    given = {"input_shape": source.kind.shape} | source.task.head | asked["arguments"]
    if weights:
        model = training.pretrained(asked["builder"], weights, **given)
    else:
        model = km.create_model(asked["builder"], **given)
    how = {} if checkpoint_seconds is None else {"checkpoint_seconds": checkpoint_seconds}
    with locked(run.folder):
        if "recipe" in run.asked:  # what `fit` cannot see
            there = {"weights": run.asked.get("weights")}
            files.refuse_other(run.folder, "training that started from", there, {"weights": weights})
        elif weights:
            run.record("weights", weights)
        if "teacher" in asked:
            training.distill(model, data=source, recipe=recipe, run_dir=run.folder, **asked["teacher"], **how)
        elif weights:
            training.fine_tune(model, source, recipe, run.folder, **settings, **how)
        else:
            training.fit(model, source, recipe, run.folder, **how)
        run.record("data_dir", asked["data"].get("data_dir"))
        run.record("train", asked)  # the last line of a finished training
    return run.model_file
