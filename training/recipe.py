"""Recipes: optimizer, learning rate schedule, regularization and augmentation as data, with defaults for small data.

`RECIPES` holds the named ones; augmentations are sums of parts, such as "flip+randaugment:9+mixup:0.2".
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

from keras_mobilenets.errors import UserError

OPTIMIZERS = ("adamw", "sgd", "rmsprop")
SCHEDULES = ("cosine", "constant")
PRECISIONS = ("float32", "bfloat16", "float16")
CLASS_WEIGHTS = ("none", "balanced")
STEPS = 125  # of an epoch that the default epochs of a compression are meant for: 8,000 images in batches of 64


class Part(NamedTuple):
    """One part of an augmentation.

    Attributes:
        description: What it does.
        strength: Default strength; None where it has none.
        highest: Maximum strength.
    """

    description: str
    strength: float | None = None
    highest: float = 0.0


# In the order in which they are applied.
AUGMENTATIONS = {
    "none": Part("nothing"),
    "mosaic": Part("of images with boxes: a window of four side by side, in this share (arXiv:2004.10934)", 1.0, 1.0),
    "light": Part("flip, shift by up to an eighth, contrast and brightness, in one go; of recordings time_shift+noise"),
    "resized_crop": Part("a crop of at least this share of the area, stretched by up to 4/3, at full size", 0.25, 1.0),
    "flip": Part("left and right exchanged in half of the images"),
    "crop": Part("shifted by up to an eighth of the side, the border black"),
    "randaugment": Part("two of twelve operations of this magnitude of 10 (arXiv:1909.13719)", 9.0, 10.0),
    "time_shift": Part("a recording moved by up to so many milliseconds", 100.0, 1000.0),
    "noise": Part("noise of up to this share of a recording's largest sample, from white to brown", 0.1, 10.0),
    "mixup": Part("images and labels blended in pairs, shares from Beta(a, a) (arXiv:1710.09412)", 0.2, 100.0),
    "cutmix": Part("a rectangle of another image, labels by area, from Beta(a, a) (arXiv:1905.04899)", 1.0, 100.0),
}
MIXING = ("mixup", "cutmix")  # they give soft labels


def augmentation_parts(augmentation: str) -> dict[str, float | None]:
    """The parts of an augmentation with their strengths: "flip+mixup:0.4" is {"flip": None, "mixup": 0.4}.

    Raises:
        UserError: An unknown part, a strength that is out of range, or parts that do not go together.
    """
    given: dict[str, float | None] = {}
    for text in augmentation.replace(" ", "").split("+"):
        name, colon, number = text.partition(":")
        if name not in AUGMENTATIONS:
            raise UserError(f"augmentation must be of {', '.join(AUGMENTATIONS)}, joined by +, not {augmentation!r}")
        part = AUGMENTATIONS[name]
        given[name] = part.strength
        if colon:
            try:
                given[name] = float(number)
            except ValueError:
                given[name] = -1.0
            if part.strength is None or not 0 < given[name] <= part.highest:  # type: ignore[operator]
                above = "no strength" if part.strength is None else f"a strength above 0, at most {part.highest:g}"
                raise UserError(f"augmentation {text!r}: {name} takes {above}")
    beside = [name for name in given if name not in (*MIXING, "mosaic")]
    if ("none" in given and len(given) > 1) or ("light" in given and len(beside) > 1):
        raise UserError(f"augmentation {augmentation!r}: none stands alone, light beside mosaic, mixup and cutmix only")
    return {name: given[name] for name in AUGMENTATIONS if name in given}


def mixes(augmentation: str) -> bool:
    """Whether an augmentation mixes images, which gives soft labels."""
    return not set(MIXING).isdisjoint(augmentation_parts(augmentation))


@dataclass(frozen=True)
class Recipe:
    """The hyperparameters of a training.

    Attributes:
        epochs: Passes over the training split.
        optimizer: "adamw", "sgd" (Nesterov momentum 0.9) or "rmsprop" (momentum 0.9, as the MobileNet papers).
        learning_rate: Its peak, above 0.
        warmup_epochs: Epochs of linear warm-up from 0 (fractions allowed).
        schedule: Learning rate schedule after the warm-up: "cosine" (to 0 at the end of the last epoch) or "constant".
        weight_decay: Decoupled weight decay (AdamW, section 2), for every optimizer. Biases, BatchNorm and
            depthwise kernels have none: the latter are so few that decay costs accuracy (MobileNetV1, section 3.1).
        label_smoothing: 0 to below 1 (Inception-v3, section 7).
        augmentation: Parts of `AUGMENTATIONS` joined by "+", with a strength after ":" where one has it: "none",
            "light" (flip, shift, contrast and brightness; of recordings shift and noise), "flip+crop",
            "resized_crop:0.25+flip+randaugment:9+mixup", "time_shift:100+noise:0.1" of recordings.
            With both "mixup" and "cutmix", each batch draws one of the two. Of boxes: "mosaic:0.5+light".
        dropout: Replaces the rate of every Dropout layer of the model; None leaves them.
        stochastic_depth: Drop rate of the last residual branch, 0 to below 1; those of earlier ones rise linearly to it
            (arXiv:1603.09382, section 3). The saved model has no trace of it.
        ema_epochs: Epochs of an exponential moving average of the weights, which is validated and saved; 0 for none.
        bn_momentum: Replaces the momentum of every BatchNorm layer of the model; None leaves them.
        precision: "float32", or mixed precision: "bfloat16" or "float16" (with loss scaling), weights in float32. For
            hardware that supports it; the saved model is float32.
        accumulate: Gradient accumulation steps: batches per weight update, for small memory.
        stages: Progressive learning (arXiv:2104.00298, section 4): image size, dropout, stochastic depth and the
            strengths of randaugment, mixup and cutmix grow in this number of equally long stages; 1 for none.
        initial_size: Image size of the first stage as a share of the data's, above 0 to 1. Sizes between are
            multiples of 8 pixels; the last stage has the size of the data, at which every epoch is validated.
        initial_regularization: Share of dropout, stochastic depth and strengths in the first stage, 0 to 1.
        class_weights: "none", or "balanced": in the loss, each class counts as much as the others, however rare it is
            in the training split: an example by examples / (classes · examples of its class). Of several labels an
            image, for each label, the images that have it count as much as those that do not.
        patience: Early stopping: the training ends after so many epochs without a better one on the validation split; 0
            for never.
        seed: Random seed of shuffling and augmentation. (Initial weights are the caller's: call
            `keras.utils.set_random_seed` before building the model.)

    Raises:
        UserError: A value is out of range.
    """

    epochs: int = 20
    optimizer: str = "adamw"
    learning_rate: float = 3e-3
    warmup_epochs: float = 1.0
    schedule: str = "cosine"
    weight_decay: float = 0.02
    label_smoothing: float = 0.1
    augmentation: str = "light"
    dropout: float | None = None
    stochastic_depth: float = 0.0
    ema_epochs: float = 0.0
    bn_momentum: float | None = None
    precision: str = "float32"
    accumulate: int = 1
    stages: int = 1
    initial_size: float = 0.5
    initial_regularization: float = 1 / 3
    class_weights: str = "none"
    patience: int = 0
    seed: int = 0

    @classmethod
    def named(cls, name: str, **changes: Any) -> "Recipe":
        """Returns a recipe of `RECIPES`, with changes.

        Args:
            name: Such as "modern".
            **changes: Other values of attributes, such as epochs=30; warm-up and moving average scale with the epochs.

        Raises:
            UserError: No such recipe, or a value is out of range.
        """
        there = dict(find(name).recipe)
        if "epochs" in changes and "epochs" in there:
            for part in {"warmup_epochs", "ema_epochs"} & there.keys():
                there[part] *= changes["epochs"] / there["epochs"]
        return cls(**there | changes)

    def __post_init__(self) -> None:
        """Checks every value."""
        for name, given, known in (
            ("optimizer", self.optimizer, OPTIMIZERS),
            ("schedule", self.schedule, SCHEDULES),
            ("precision", self.precision, PRECISIONS),
            ("class_weights", self.class_weights, CLASS_WEIGHTS),
        ):
            if given not in known:
                raise UserError(f"{name} must be {' or '.join(map(repr, known))}, not {given!r}")
        for name, good, wanted in (
            ("epochs", self.epochs >= 1 and self.epochs == int(self.epochs), "a whole number, at least 1"),
            ("learning_rate", 0 < self.learning_rate < float("inf"), "above 0"),
            ("warmup_epochs", 0 <= self.warmup_epochs <= self.epochs, "between 0 and epochs"),
            ("weight_decay", 0 <= self.weight_decay < float("inf"), "0 or more"),
            ("label_smoothing", 0 <= self.label_smoothing < 1, "in [0, 1)"),
            ("dropout", self.dropout is None or 0 <= self.dropout < 1, "None or in [0, 1)"),
            ("stochastic_depth", 0 <= self.stochastic_depth < 1, "in [0, 1)"),
            ("ema_epochs", 0 <= self.ema_epochs <= self.epochs, "between 0 and epochs"),
            (
                "accumulate",
                self.accumulate >= 1 and self.accumulate == int(self.accumulate),
                "a whole number, at least 1",
            ),
            (
                "stages",
                1 <= self.stages <= self.epochs and self.stages == int(self.stages),
                "a whole number between 1 and epochs",
            ),
            ("initial_size", 0 < self.initial_size <= 1, "above 0, at most 1"),
            ("initial_regularization", 0 <= self.initial_regularization <= 1, "between 0 and 1"),
            ("patience", self.patience >= 0 and self.patience == int(self.patience), "a whole number, at least 0"),
            ("patience", not self.patience or self.stages == 1, "0 with stages, which would end before their last one"),
            ("bn_momentum", self.bn_momentum is None or 0 <= self.bn_momentum < 1, "None or in [0, 1)"),
            ("seed", self.seed >= 0 and self.seed == int(self.seed), "a whole number, at least 0"),
        ):
            if not good:
                raise UserError(f"{name} must be {wanted}, not {getattr(self, name)}")
        augmentation_parts(self.augmentation)


PLAIN = Recipe(label_smoothing=0.0, augmentation="none")  # of a loss that says how good a model is, not how to train it


class NamedRecipe(NamedTuple):
    """A named recipe, with its batch size and builder arguments.

    Attributes:
        description: What it is and where it is from.
        recipe: Attributes of `Recipe` that differ from the defaults.
        batch_size: Batch size of its learning rate.
        arguments: Arguments of the builder.
    """

    description: str
    recipe: dict[str, Any]
    batch_size: int = 64
    arguments: dict[str, Any] = {}  # noqa: RUF012


MODERN: dict[str, Any] = {
    "learning_rate": 2e-3,
    "weight_decay": 0.05,
    "warmup_epochs": 5.0,
    "label_smoothing": 0.1,
    "augmentation": "resized_crop:0.25+flip+randaugment:7+mixup:0.2+cutmix:1",
    "dropout": 0.2,
    "stochastic_depth": 0.1,
    "ema_epochs": 5.0,
    "epochs": 300,
}

# SGD's weight decay is decoupled here: that of the papers, inside a gradient with momentum 0.9, acts 1/(1 − 0.9) times.
RECIPES = {
    "default": NamedRecipe("AdamW with light augmentation: small data, minutes", {}),
    "mobilenet": NamedRecipe(
        "SGD at 0.05 (MobileNetV1 and V2)",
        {"optimizer": "sgd", "learning_rate": 0.05, "weight_decay": 4e-4, "epochs": 30, "label_smoothing": 0.0},
    ),
    "efficientnet": NamedRecipe(
        "SGD at 0.01 (EfficientNet)",
        {"optimizer": "sgd", "learning_rate": 0.01, "weight_decay": 1e-4, "epochs": 30},
    ),
    "cifar": NamedRecipe(
        "CIFAR-10 at 32 px with a stride-1 stem: SGD at 0.1, cosine, 200 epochs (94.4% published for MobileNetV2)",
        {
            "optimizer": "sgd",
            "learning_rate": 0.1,
            "weight_decay": 5e-3,
            "warmup_epochs": 0.0,
            "label_smoothing": 0.0,
            "augmentation": "crop+flip",
            "dropout": 0.0,
            "epochs": 200,
        },
        128,
        {"stem_strides": 1},
    ),
    "modern": NamedRecipe(
        "AdamW, RandAugment, mixup and cutmix, stochastic depth, averaged weights, 300 epochs (after arXiv:2110.00476)",
        MODERN,
        128,
    ),
    "detection": NamedRecipe(
        "AdamW in batches of 8, flips: detectors of boxes, minutes; longer trainings want the augmentation light",
        {"learning_rate": 2e-3, "label_smoothing": 0.0, "augmentation": "flip", "epochs": 10, "warmup_epochs": 0.5},
        8,
    ),
    "next_item": NamedRecipe(
        "AdamW in batches of 256, dropout, no label smoothing: the next item of a sequence, on small data",
        {"learning_rate": 3e-3, "label_smoothing": 0.0, "augmentation": "none", "epochs": 12},
        256,
    ),
    "clips": NamedRecipe(
        "AdamW at 0.004 in batches of 48, (2+1)-D convolutions: networks of clips, on small data",
        {"learning_rate": 4e-3, "epochs": 16},
        48,
        {"convolution": "factorized"},
    ),
    "progressive": NamedRecipe(
        "the modern one in four stages: images and regularization grow, less time (EfficientNetV2)",
        MODERN | {"stages": 4},
        128,
    ),
}


def usual_recipe(task: str, kind: str) -> str:
    """The name of the recipe that a network trains with where nothing is said.

    Args:
        task: What its labels are, such as "detection".
        kind: What one of its examples is called, such as "clip".
    """
    return next((name for name in (task, f"{kind}s") if name in RECIPES), "default")


def compression_epochs(epochs: int, steps: int, most: int = Recipe.epochs) -> int:
    """The epochs of a compression: as many as usual, and on small data as many steps as these are on `STEPS`.

    Args:
        epochs: The usual number.
        steps: Training steps in an epoch.
        most: No more than this to make up for few steps, such as the epochs of the training before.
    """
    return max(epochs, min(most, math.ceil(epochs * STEPS / max(1, steps))))


def find(name: str) -> NamedRecipe:
    """Returns the recipe of that name.

    Raises:
        UserError: There is none.
    """
    if name not in RECIPES:
        raise UserError(f"unknown recipe {name!r}; give one of {', '.join(RECIPES)}")
    return RECIPES[name]
