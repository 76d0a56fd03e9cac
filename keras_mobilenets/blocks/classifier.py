"""Classifiers: of a network that was distilled (Touvron et al. 2020, arXiv:2012.12877, DeiT, section 4), and by cosines
with vectors of the classes' names.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_mobilenets.blocks.convolution import batch_norm


def distilled_classifier(x: Any, classes: int, *, normalized: bool = False, name: str) -> Any:
    """Two classifiers, of which one learned from labels and one from a teacher; in inference their mean counts.

    Args:
        x: Tensor (batch, channels).
        classes: Number of classes.
        normalized: Whether each has a batch normalization in front.
        name: Of the mean; prefix of `{name}_labels` and `{name}_teacher`, and of their `..._bn`.

    Returns:
        Logits (batch, classes).
    """
    parts = []
    for role in ("labels", "teacher"):
        read = batch_norm(x, f"{name}_{role}") if normalized else x
        parts.append(layers.Dense(classes, name=f"{name}_{role}")(read))
    return layers.Average(name=name)(parts)


def cosine_classifier(x: Any, labels: Sequence[str], *, name: str) -> Any:
    """Scores of labels by the cosine of a vector and one of each label: Radford et al. 2021, arXiv:2103.00020 (CLIP).

    The length of x is the deviation of x and −x side by side, whose mean is 0. So a layer normalization divides by it,
    which, unlike a root of a sum of squares, has a form in int8 for every target.

    Args:
        x: Tensor (batch, channels), of any length.
        labels: Names of the classes, which the classifier keeps (`graphs.class_names`).
        name: Of the classifier, whose kernel `cosine_kernel` makes of the vectors of the labels; prefix of
            `{name}_negative`, `{name}_pair` and `{name}_norm`.

    Returns:
        Probabilities (batch, labels).
    """
    negative = layers.Rescaling(-1.0, name=f"{name}_negative")(x)
    x = layers.Concatenate(name=f"{name}_pair")([x, negative])
    x = layers.LayerNormalization(epsilon=1e-12, center=False, scale=False, name=f"{name}_norm")(x)
    return layers.Dense(len(labels), activation="softmax", kernel_initializer=LabelVectors(labels), name=name)(x)


def cosine_kernel(vectors: np.ndarray, scale: float) -> np.ndarray:
    """The kernel with which `cosine_classifier` gives scale · cosine to the softmax.

    Args:
        vectors: One for each label, of length 1: (labels, channels).
        scale: What the cosines are multiplied by.

    Returns:
        float32 (2 · channels, labels).
    """
    rows = vectors.T * (scale / (2 * np.sqrt(vectors.shape[1])))
    return np.concatenate([rows, -rows]).astype(np.float32)


@keras.saving.register_keras_serializable("keras_mobilenets")
class LabelVectors(keras.initializers.GlorotUniform):
    """First values of a classifier's kernel, which know the names of its classes and so keep them in a `.keras` file.

    Args:
        labels: Names of the classes, in their order.
    """

    def __init__(self, labels: Sequence[str], seed: int | None = None):
        super().__init__(seed)
        self.labels = tuple(labels)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this initializer again."""
        return {"labels": list(self.labels)}
