"""Class weights: how much an example counts in the loss, so that rare classes count as much as frequent ones."""

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops


def balanced(counts: np.ndarray) -> np.ndarray:
    """Examples / (classes · examples of the class), as scikit-learn's `compute_class_weight("balanced")`.

    Args:
        counts: Examples of each class, along the first axis; 0 for one that has none.

    Returns:
        float32 of the same shape; the mean weight of the examples is 1.
    """
    total = counts.sum(axis=0) / len(counts)
    return np.divide(total, counts, out=np.zeros(counts.shape), where=counts > 0).astype(np.float32)


def weighted(loss: Callable[[Any, Any], Any], weights: np.ndarray) -> Callable[[Any, Any], Any]:
    """A loss that counts the classes of an example as much as their weights say.

    Args:
        loss: Function of soft labels N×C and outputs to a loss for each example.
        weights: C.
    """

    def weighted_loss(rows: Any, outputs: Any) -> Any:
        return loss(rows, outputs) * ops.sum(rows * ops.convert_to_tensor(weights), axis=-1)

    return weighted_loss
