"""The names of the classes that a model itself knows, and whether those of others are the same."""

from collections.abc import Sequence
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


def same_classes(known: Sequence[str], given: Sequence[str]) -> bool:
    """Whether class numbers mean the same: the names are the same, but for spelling, or of another vocabulary.

    A class may be "n02123045" here and "tabby" there: as many names, none of which is in both, say nothing of an order.
    """
    one, other = (list(map(_word, names)) for names in (known, given))
    return one == other or (len(one) == len(other) and not set(one) & set(other))


def _word(name: str) -> str:
    return name.replace("_", " ").casefold()
