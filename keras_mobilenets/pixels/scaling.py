"""Pixels to model input: one scaling for every model of the package."""

from typing import Any


def preprocess_input(images: Any) -> Any:
    """Scales pixels to what every model of the package takes: x / 127.5 − 1.

    Args:
        images: Pixels 0..255 in RGB order, any shape and dtype: an array, a list, or a tensor of the Keras backend.

    Returns:
        float32 of the same shape in [−1, 1]: a tensor for a tensor, otherwise a NumPy array.
    """
    import numpy as np

    if isinstance(images, np.ndarray | np.generic | list | tuple):
        return np.asarray(images, np.float32) / np.float32(127.5) - np.float32(1)
    from keras import ops

    return ops.cast(images, "float32") / 127.5 - 1.0
