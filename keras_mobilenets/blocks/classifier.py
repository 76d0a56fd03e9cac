"""The classifiers of a network that was distilled: Touvron et al. 2020, arXiv:2012.12877 (DeiT), section 4."""

from typing import Any

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
