"""Layers of a transformer on tokens: Radford et al. 2021, arXiv:2103.00020 (CLIP), section 2.4."""

from typing import Any

import keras
from keras import layers


@keras.saving.register_keras_serializable("keras_mobilenets")
class PositionEmbedding(layers.Layer):
    """Adds to rows (batch, positions, channels) a learned vector for each position."""

    def build(self, shape: Any) -> None:
        """A vector for each position."""
        self.embedding = self.add_weight(shape=shape[1:], initializer="random_normal", name="embedding")

    def call(self, rows: Any) -> Any:
        """Adds."""
        return rows + self.embedding


@keras.saving.register_keras_serializable("keras_mobilenets")
class EndOfText(layers.Layer):
    """Of rows (batch, positions, channels) the one at the end of the text: that of the token of the highest number."""

    def call(self, rows: Any, tokens: Any) -> Any:
        """Takes the rows and their tokens (batch, positions)."""
        place = keras.ops.argmax(tokens, axis=1)[:, None, None]
        return keras.ops.squeeze(keras.ops.take_along_axis(rows, place, axis=1), axis=1)

    def compute_output_shape(self, rows_shape: Any, tokens_shape: Any) -> Any:
        """(batch, channels)."""
        return (rows_shape[0], rows_shape[2])
