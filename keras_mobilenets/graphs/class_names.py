"""The names of the classes that a model itself knows."""

from typing import Any


def class_names(model: Any) -> list[str] | None:
    """The names of a Keras model's classes, in the order of its scores; None where it does not know them.

    Args:
        model: Any model. One of `zero_shot` knows its labels, before and after `model.save`.
    """
    for layer in reversed(getattr(model, "layers", [])):
        if hasattr(layer, "layers"):
            return class_names(layer)
        labels = getattr(getattr(layer, "kernel_initializer", None), "labels", None)
        if labels is not None:
            return list(labels)
        if getattr(layer, "weights", None):
            return None
    return None
