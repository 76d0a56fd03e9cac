"""Changes to a model while it trains: dropout rates, stochastic depth, exponential moving averages.

They end with the training. The saved model has its original layers, in float32.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.training.engine.precision import float32
from keras_mobilenets.training.introspection import library_of
from keras_mobilenets.training.recipe import Recipe


def apply(model: Any, recipe: Recipe) -> Any:
    """Applies a recipe's dropout rate, BatchNorm momentum and stochastic depth to a model.

    Args:
        model: A Keras 3 or tf_keras model; its dropout rates and BatchNorm momenta are changed.
        recipe: How it will be trained.

    Returns:
        The model to train: the same, or with stochastic depth another model of the same layers.

    Raises:
        UserError: The recipe needs a Keras 3 model, and this one is of tf_keras.
    """
    if not isinstance(model, keras.Model) and (recipe.stochastic_depth or recipe.precision != "float32"):
        raise UserError("stochastic_depth and precision are for Keras 3 models; quantization-aware ones are tf_keras")
    layers = library_of(model).layers
    for layer in model._flatten_layers():
        if isinstance(layer, layers.BatchNormalization) and recipe.bn_momentum is not None:
            layer.momentum = recipe.bn_momentum
        if isinstance(layer, layers.Dropout) and recipe.dropout is not None:
            layer.rate = recipe.dropout
    return with_stochastic_depth(model, recipe.stochastic_depth, recipe.seed)


def with_stochastic_depth(model: Any, rate: float, seed: int = 0) -> Any:
    """Builds a model of the same layers that drops residual branches at random in training.

    Deep Networks with Stochastic Depth, arXiv:1603.09382, section 3: `rate` is that of the last branch, and those of
    the others rise linearly to it; a branch is dropped per image, and those that stay are scaled by 1 / (1 − rate).

    Args:
        model: A functional Keras 3 model; without residual additions it is returned as it is.
        rate: Drop rate of the last branch, 0 to below 1.
        seed: Random seed.
    """
    names = [layer.name for layer in model.layers if isinstance(layer, keras.layers.Add)]
    if not rate or not names:
        return model

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if layer.name not in names:
            return layer(*args, **kwargs)
        shortcut, branch = args[0]
        place = names.index(layer.name) + 1
        drop = keras.layers.Dropout(
            rate * place / len(names),
            noise_shape=(None, *[1] * (len(branch.shape) - 1)),
            seed=seed + place,
            name=f"{layer.name}_drop",
        )
        return layer([shortcut, drop(branch)], **kwargs)

    return keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)


@contextlib.contextmanager
def moving_averages(model: Any) -> Iterator[None]:
    """Inside the block, the weights are their exponential moving averages, where the optimizer keeps them."""
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)  # inside loss scaling
    averages = getattr(optimizer, "_model_variables_moving_average", [])
    weights = model.trainable_variables if averages else []
    own = [np.array(weight) for weight in weights]
    for weight, average in zip(weights, averages, strict=True):
        weight.assign(np.array(average))  # a copy: on JAX, the next step donates the weight's buffer
    try:
        yield
    finally:
        for weight, value in zip(weights, own, strict=True):
            weight.assign(value)


def average_validation(model: Any) -> Any:
    """A callback that validates the moving averages, where the optimizer keeps them."""
    stack = contextlib.ExitStack()
    return library_of(model).callbacks.LambdaCallback(
        on_test_begin=lambda logs=None: stack.enter_context(moving_averages(model)),
        on_test_end=lambda logs=None: stack.close(),
    )


@contextlib.contextmanager
def inference_form(model: Any) -> Iterator[None]:
    """Inside the block, the model is as it is saved: moving averages as weights, layers in float32."""
    with moving_averages(model), float32(model):
        yield
