"""Sequences of items as the examples of a data set: what a user had, oldest first, as numbers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from keras_mobilenets.training.datasets.kind import Change, Kind


class Sequences(Kind):
    """Histories of one length, held as int32: 0 where nothing was, else 1 + an item's class; there is no scaling."""

    noun = "sequence"
    record = "Sequence"
    dtype = np.dtype(np.int32)
    scaling = None
    mixing = ()
    has_pictures = False

    def __init__(self, length: int):
        """Takes the length of the histories, in items."""
        self.shape = (length,)

    @property
    def parts(self) -> Mapping[str, Change]:
        """None: items stay what they are."""
        return {}

    def scale(self, examples: tf.Tensor) -> tf.Tensor:
        """The numbers as they are."""
        return tf.cast(examples, tf.int32)

    def light(self, examples: tf.Tensor, seed: tf.Tensor, shard: tuple[int, int] = (0, 1)) -> tf.Tensor:
        """The same."""
        return self.scale(examples)

    def scaling_for(self, model: Any) -> Any:
        """None."""
        return None

    def described(self, scaling: Any) -> dict[str, Any]:
        """What the numbers are."""
        return {"input": "items"}

    def values(self, examples: tf.Tensor, scaling: Any) -> tf.Tensor:
        """The numbers."""
        return examples

    def inputs(self, examples: np.ndarray, scaling: Any) -> np.ndarray:
        """The numbers."""
        return examples
