"""What every builder does alike: check the arguments, make the input, put the classifier on top, load weights."""

from collections.abc import Callable
from typing import Any

import keras
from keras import layers

from keras_mobilenets.errors import UserError

SMALLEST_INPUT = 32


def check_arguments(*, alpha: float = 1.0, classes: int, pooling: str | None, stem_strides: int, dropout_rate: float):
    """Checks what every builder takes.

    Raises:
        UserError: An argument is out of its range; the message names the range.
    """
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 < alpha < 100:
        raise UserError(f"alpha={alpha!r}: the width multiplier must be a positive number such as 0.35, 0.5 or 1.0")
    if isinstance(classes, bool) or not isinstance(classes, int) or classes < 1:
        raise UserError(f"classes={classes!r}: give a whole number of classes, 1 or more")
    if pooling not in (None, "avg", "max"):
        raise UserError(f'pooling={pooling!r}: choose None, "avg" or "max"')
    if stem_strides not in (1, 2):
        raise UserError(f"stem_strides={stem_strides!r}: choose 2, or 1 for small images such as 32×32")
    if not isinstance(dropout_rate, int | float) or not 0 <= dropout_rate < 1:
        raise UserError(f"dropout_rate={dropout_rate!r}: give a rate from 0 up to, but not including, 1")


def image_input(input_shape: Any, input_tensor: Any, include_top: bool, default_size: int = 224) -> Any:
    """The tensor a network starts from.

    Args:
        input_shape: (height, width, 3), each side 32 or more or None; None means `default_size` with the classifier
            and any size without it.
        input_tensor: A Keras tensor to build on instead (any number of channels).
        include_top: Whether the classifier follows.
        default_size: The paper's input size.

    Raises:
        UserError: The shape is not an RGB image's, or is too small.
    """
    if input_tensor is not None:
        if not keras.backend.is_keras_tensor(input_tensor):
            raise UserError("input_tensor must be a Keras tensor, such as keras.Input(shape=(224, 224, 3))")
        return input_tensor
    if input_shape is None:
        input_shape = (default_size, default_size, 3) if include_top else (None, None, 3)
    shape = tuple(input_shape) if isinstance(input_shape, list | tuple) else (input_shape,)
    if len(shape) != 3 or not all(side is None or isinstance(side, int) for side in shape):
        raise UserError(f"input_shape={input_shape!r}: give (height, width, 3), for example (224, 224, 3)")
    if shape[2] != 3:
        raise UserError(
            f"input_shape={input_shape!r} has {shape[2]} channels: the models take RGB images, 3 channels "
            "(build on input_tensor= for anything else)"
        )
    if any(side is not None and side < SMALLEST_INPUT for side in shape[:2]):
        raise UserError(f"input_shape={input_shape!r}: height and width must be {SMALLEST_INPUT} or more")
    return keras.Input(shape, name="image")


def classifier(x: Any, classes: int, activation: str | Callable | None, dropout_rate: float) -> Any:
    """Global average pooling, dropout and a dense layer, named `pool`, `dropout`, `predictions`."""
    try:
        activation = keras.activations.get(activation)
    except ValueError as error:
        raise UserError(f'classifier_activation={activation!r} is unknown: use "softmax" or None for logits') from error
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    if dropout_rate:
        x = layers.Dropout(dropout_rate, name="dropout")(x)
    return layers.Dense(classes, activation=activation, name="predictions")(x)


def global_pool(x: Any, pooling: str | None) -> Any:
    """The output of a network without classifier: the feature map, or its mean or maximum over the image."""
    if pooling == "avg":
        return layers.GlobalAveragePooling2D(name="pool")(x)
    if pooling == "max":
        return layers.GlobalMaxPooling2D(name="pool")(x)
    return x


def finish(x: Any, outputs: Any, name: str, weights: Any, variant: tuple[str, dict[str, Any]]) -> keras.Model:
    """Makes the model from its first and last tensor and loads its weights.

    Args:
        x: The tensor the network started from (from `image_input`).
        outputs: The last tensor.
        name: Name of the model.
        weights: None for random weights, else a source for `load_weights`.
        variant: Builder and the arguments that name a published variant; found again as `model.variant`.
    """
    model = keras.Model(keras.utils.get_source_inputs(x), outputs, name=name)
    model.variant = variant
    if weights is not None:
        from keras_mobilenets.weights import load_weights

        load_weights(model, weights)
    return model
