"""What can be seen of any model: which Keras it belongs to, whether it gives logits, its shapes in words."""

from typing import Any

from keras_mobilenets.errors import UserError


def library_of(model: Any) -> Any:
    """The Keras that a model belongs to: the module keras, or tf_keras."""
    import keras

    if isinstance(model, keras.Model):
        return keras
    import tf_keras

    if isinstance(model, tf_keras.Model):
        return tf_keras
    raise UserError(f"a Keras model is needed, not {type(model).__module__}.{type(model).__name__}")


def gives_logits(model: Any) -> bool:
    """Whether a model ends without a softmax."""
    last = model.layers[-1]
    if hasattr(last, "layers"):
        return gives_logits(last)
    last = getattr(last, "layer", last)  # inside a wrapper of tfmot
    activation = getattr(last, "activation", None)
    activation = getattr(activation, "activation", activation)  # rounded by tfmot
    return type(last).__name__ != "Softmax" and getattr(activation, "__name__", None) != "softmax"


def shape_text(shape: tuple) -> str:
    """Such as 32×32×3."""
    return "×".join("any" if length is None else str(length) for length in shape)
