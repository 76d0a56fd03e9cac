"""How to train, as data: optimizer, schedule, regularization and augmentation, with defaults for small data."""

from dataclasses import dataclass
from typing import Any

from keras_mobilenets.errors import UserError

OPTIMIZERS = ("adamw", "sgd", "rmsprop")
SCHEDULES = ("cosine", "constant")
AUGMENTATIONS = ("none", "light")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a training beside the model and the data.

    Attributes:
        epochs: Passes over the training split.
        optimizer: "adamw", "sgd" (Nesterov momentum 0.9) or "rmsprop" (momentum 0.9, as the MobileNet papers).
        learning_rate: Its peak.
        warmup_epochs: The learning rate rises linearly from 0 over so many epochs (fractions allowed).
        schedule: After the warm-up: "cosine" (falls to 0 at the end of the last epoch) or "constant".
        weight_decay: Decoupled from the gradient (AdamW, section 2), for every optimizer. Biases, BatchNorm and
            depthwise kernels have none: the latter are so few that decay costs accuracy (MobileNetV1, section 3.1).
        label_smoothing: 0 to below 1 (Inception-v3, section 7).
        augmentation: "none", or "light": horizontal flip, shift by up to an eighth, contrast and brightness.
        bn_momentum: Replaces the momentum of every BatchNorm layer of the model; None leaves them.
        seed: Of the order of the images and of the augmentation. (The model's first weights are the caller's:
            `keras.utils.set_random_seed` before building it.)

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
    bn_momentum: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Checks every value."""
        for name, given, known in (
            ("optimizer", self.optimizer, OPTIMIZERS),
            ("schedule", self.schedule, SCHEDULES),
            ("augmentation", self.augmentation, AUGMENTATIONS),
        ):
            if given not in known:
                raise UserError(f"{name} must be {' or '.join(map(repr, known))}, not {given!r}")
        for name, good, wanted in (
            ("epochs", self.epochs >= 1 and self.epochs == int(self.epochs), "a whole number, at least 1"),
            ("learning_rate", 0 < self.learning_rate < float("inf"), "above 0"),
            ("warmup_epochs", 0 <= self.warmup_epochs <= self.epochs, "between 0 and epochs"),
            ("weight_decay", 0 <= self.weight_decay < float("inf"), "0 or more"),
            ("label_smoothing", 0 <= self.label_smoothing < 1, "in [0, 1)"),
            ("bn_momentum", self.bn_momentum is None or 0 <= self.bn_momentum < 1, "None or in [0, 1)"),
            ("seed", self.seed >= 0 and self.seed == int(self.seed), "a whole number, at least 0"),
        ):
            if not good:
                raise UserError(f"{name} must be {wanted}, not {getattr(self, name)}")


def make_optimizer(recipe: Recipe, model: Any, steps_per_epoch: int) -> Any:
    """The optimizer of a recipe, with its learning-rate schedule, for the weights of a Keras 3 or tf_keras model."""
    import keras

    from keras_mobilenets.training.fitting import library_of

    library = library_of(model)
    total, warmup = recipe.epochs * steps_per_epoch, round(recipe.warmup_epochs * steps_per_epoch)
    rate = library.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup else recipe.learning_rate,
        decay_steps=max(1, total - warmup),
        alpha=0.0 if recipe.schedule == "cosine" else 1.0,
        warmup_target=recipe.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
    decay = recipe.weight_decay or None
    if recipe.optimizer == "adamw":
        optimizer = library.optimizers.AdamW(rate, weight_decay=recipe.weight_decay)
    elif recipe.optimizer == "sgd":
        optimizer = library.optimizers.SGD(rate, momentum=0.9, nesterov=True, weight_decay=decay)
    else:
        optimizer = library.optimizers.RMSprop(rate, rho=0.9, momentum=0.9, epsilon=1e-3, weight_decay=decay)
    variables = model.trainable_variables
    depthwise = {  # (tf_keras says so in the variable's name)
        id(layer.kernel) for layer in model._flatten_layers() if isinstance(layer, keras.layers.DepthwiseConv2D)
    }
    spared = [v for v in variables if len(v.shape) < 2 or id(v) in depthwise or "depthwise_kernel" in v.name]
    optimizer.exclude_from_weight_decay(spared)
    optimizer.build(variables)
    return optimizer
