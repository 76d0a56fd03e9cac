"""The arguments that say how a model is trained, as arguments of `pipeline.Run`."""

import dataclasses
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import Any

from keras_mobilenets.errors import UserError
from keras_mobilenets.training.recipe import (
    AUGMENTATIONS,
    CLASS_WEIGHTS,
    OPTIMIZERS,
    PRECISIONS,
    RECIPES,
    SCHEDULES,
    Recipe,
)

# What the fields of a recipe are, in a few words; its docstring says more.
RECIPE_WORDS = {
    "epochs": "passes over the training split",
    "optimizer": ", ".join(OPTIMIZERS),
    "learning_rate": "its peak",
    "warmup_epochs": "it rises from 0 over so many",
    "schedule": "behind the warm-up: " + ", ".join(SCHEDULES),
    "weight_decay": "decoupled; none for biases, BatchNorm, depthwise kernels",
    "label_smoothing": "0 to below 1",
    "augmentation": f"of {', '.join(AUGMENTATIONS)}, joined by +, with a strength behind a colon: flip+randaugment:9",
    "dropout": "the rate of the model's dropout layers",
    "stochastic_depth": "how often the last residual branch is left out",
    "ema_epochs": "weights are averaged over about so many",
    "bn_momentum": "of BatchNorm's statistics",
    "precision": ", ".join(PRECISIONS),
    "accumulate": "batches whose gradients make one step, for small memory",
    "stages": "progressive learning: images and regularization grow in so many",
    "initial_size": "share of --size in the first stage",
    "initial_regularization": "share of dropout and strengths in the first stage",
    "class_weights": f"{', '.join(CLASS_WEIGHTS)}: rare classes count as much as frequent ones",
    "patience": "epochs without a better one after which the training ends; 0 for never",
    "seed": "of weights, order and augmentation",
}


def add_training(parser: ArgumentParser) -> None:
    """Adds data, recipe and checkpoints."""
    group = parser.add_argument_group("training")
    group.add_argument(
        "--data",
        default="shapes",
        help="shapes, shapes_attributes, shapes_detection, words, motion or visits (embedded); a folder of class "
        "folders of images, WAV or animated files, of images with a CSV of labels, or with boxes in COCO's or YOLO's "
        "form; a CSV log of users and items; or a TFDS name (default: shapes)",
    )
    group.add_argument("--data-dir", help="where TFDS data sets are kept")
    group.add_argument(
        "--frames",
        type=int,
        metavar="N",
        help="of each clip (default: 8); innermost folders of images are clips then",
    )
    group.add_argument(
        "--batch-size", type=int, metavar="N", help="images, or recordings, per step (default: 64, or the recipe's)"
    )
    group.add_argument(
        "--recipe",
        default="default",
        choices=list(RECIPES),
        help="what the options below change: "
        + "; ".join(f"{name}, {named.description}" for name, named in RECIPES.items()).replace("%", "%%"),
    )
    group.add_argument(
        "--checkpoint-seconds",
        type=float,
        metavar="SECONDS",
        help="between checkpoints within an epoch; there is one after each epoch, too (default: 60)",
    )
    _add_fields(group, lambda field: f"(default: {_shown(field.default)})")


def add_recipe(parser: ArgumentParser, says: str) -> None:
    """Adds the fields of a recipe alone, for what trains a run's model on; `says` tells the defaults."""
    _add_fields(parser.add_argument_group("training", says), lambda field: "")


def add_transfer(parser: ArgumentParser) -> None:
    """Adds what a training starts from."""
    group = parser.add_argument_group("transfer learning", "the head first, then all blocks that are not frozen")
    group.add_argument(
        "--weights", metavar="SOURCE", help="imagenet, or a file such as runs/other/model.keras (default: none)"
    )
    group.add_argument("--freeze", type=int, metavar="N", help="the stem and N blocks keep their weights (default: 0)")
    group.add_argument("--head-epochs", type=int, metavar="N", help="of the head alone, before --epochs (default: 3)")


def _add_fields(group: Any, says: Callable[[Any], str]) -> None:
    for field in dataclasses.fields(Recipe):
        kind = {int: int, float: float, str: str}.get(field.type, float)  # type: ignore[arg-type]
        group.add_argument(
            f"--{field.name.replace('_', '-')}",
            dest=f"recipe_{field.name}",
            type=kind,
            metavar=kind.__name__.upper().replace("STR", "NAME"),
            help=f"{RECIPE_WORDS[field.name]} {says(field)}".strip(),
        )


def _shown(default: Any) -> str:
    return "the model's" if default is None else f"{default:.3g}" if isinstance(default, float) else str(default)


def training(options: Namespace) -> dict[str, Any]:
    """What the options of `add_training` and of the model say, as arguments of `Run.train` behind the builder's."""
    return {
        "data": options.data,
        "image_size": options.size,
        "batch_size": options.batch_size,
        "data_dir": options.data_dir,
        "frames": options.frames,
        "recipe": options.recipe,
        "changes": recipe_changes(options),
        "checkpoint_seconds": options.checkpoint_seconds,
    }


def transfer(options: Namespace) -> dict[str, Any]:
    """What the options of `add_transfer` say, as further arguments of `Run.train`."""
    given = {name: getattr(options, name) for name in ("weights", "freeze", "head_epochs")}
    if options.weights is None and any(value is not None for value in given.values()):
        raise UserError("--freeze and --head-epochs go with --weights, the weights that are kept at first")
    return given


def recipe_changes(options: Namespace) -> dict[str, Any]:
    """What the options say of the recipe."""
    asked = {field.name: getattr(options, f"recipe_{field.name}") for field in dataclasses.fields(Recipe)}
    return {name: value for name, value in asked.items() if value is not None}
