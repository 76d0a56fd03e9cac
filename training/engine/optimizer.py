"""The optimizer of a recipe: learning rate schedule, decoupled weight decay, moving averages, gradient accumulation."""

from typing import Any

import keras

from keras_mobilenets.errors import UserError
from keras_mobilenets.training.introspection import library_of
from keras_mobilenets.training.recipe import Recipe


def make_optimizer(recipe: Recipe, model: Any, steps_per_epoch: int) -> Any:
    """Builds the optimizer of a recipe, with its learning rate schedule, for a Keras 3 or tf_keras model.

    Raises:
        UserError: The recipe accumulates gradients, which tf_keras does not support.
    """
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
    more: dict[str, Any] = {}
    if recipe.ema_epochs:
        more |= {"use_ema": True, "ema_momentum": max(0.0, 1 - 1 / (recipe.ema_epochs * steps_per_epoch))}
    if recipe.accumulate > 1:
        if library is not keras:
            raise UserError("accumulate is for Keras 3 models; quantization-aware ones are tf_keras: leave it at 1")
        more["gradient_accumulation_steps"] = recipe.accumulate
    if recipe.optimizer == "adamw":
        optimizer = library.optimizers.AdamW(rate, weight_decay=recipe.weight_decay, **more)
    elif recipe.optimizer == "sgd":
        optimizer = library.optimizers.SGD(rate, momentum=0.9, nesterov=True, weight_decay=decay, **more)
    else:
        optimizer = library.optimizers.RMSprop(rate, rho=0.9, momentum=0.9, epsilon=1e-3, weight_decay=decay, **more)
    variables = model.trainable_variables
    depthwise = {  # (in tf_keras, the variable's name tells)
        id(layer.kernel) for layer in model._flatten_layers() if isinstance(layer, keras.layers.DepthwiseConv2D)
    }
    spared = [v for v in variables if len(v.shape) < 2 or id(v) in depthwise or "depthwise_kernel" in v.name]
    optimizer.exclude_from_weight_decay(spared)
    optimizer.build(variables)
    return optimizer
