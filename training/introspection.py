"""Properties of any Keras model: its library, whether its outputs are logits, its shapes as text."""

from typing import Any

from keras_mobilenets.errors import UserError


def library_of(model: Any) -> Any:
    """The library of a model: the module keras, or tf_keras.

    Raises:
        UserError: It is no Keras model.
    """
    import keras

    if isinstance(model, keras.Model):
        return keras
    import tf_keras

    if isinstance(model, tf_keras.Model):
        return tf_keras
    raise UserError(f"a Keras model is needed, not {type(model).__module__}.{type(model).__name__}")


def without_nesting(model: Any) -> Any:
    """A Keras 3 model with the layers of the models inside it in their place; a tf_keras model as it is.

    Raises:
        UserError: It is no Keras model, was never built, or its graph cannot be seen.
    """
    if library_of(model).__name__ != "keras":
        return model
    from keras_mobilenets.graphs.flat_model import flat_model  # loads Keras

    return flat_model(model)


def output_activation(model: Any) -> str:
    """The activation at the end of a model: "softmax", "sigmoid", another's name, or "linear" where there is none."""
    last = getattr(model, "operations", model.layers)[-1]
    if hasattr(last, "layers"):
        return output_activation(last)
    last = getattr(last, "layer", last)  # inside a tfmot wrapper
    if type(last).__name__ == "Softmax":
        return "softmax"
    activation = getattr(last, "activation", None)
    activation = getattr(activation, "activation", activation)  # inside tfmot's quantized activation
    return getattr(activation, "__name__", "linear")


def gives_logits(model: Any) -> bool:
    """Whether a model outputs logits, with no softmax at the end, nor a sigmoid for each of several labels."""
    return output_activation(model) not in ("softmax", "sigmoid")


def shape_text(shape: tuple) -> str:
    """A shape as text, such as 32×32×3."""
    return "×".join("any" if length is None else str(length) for length in shape)
