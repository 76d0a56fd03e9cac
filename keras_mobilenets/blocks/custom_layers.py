"""Custom layers, for what those of Keras cannot do; importing this module registers them for `.keras` files."""

from typing import Any

import keras
from keras import layers


@keras.saving.register_keras_serializable("keras_mobilenets")
class RowsToMap(layers.Layer):
    """Gives rows (batch, positions · n, channels / n) the shape of a map (batch, height, width, channels)."""

    def call(self, rows: Any, like: Any) -> Any:
        """Reshapes `rows` to the shape of the tensor `like`."""
        return keras.ops.reshape(rows, keras.ops.shape(like))

    def compute_output_shape(self, rows_shape: Any, like_shape: Any) -> Any:
        """The shape of the second tensor."""
        return like_shape


@keras.saving.register_keras_serializable("keras_mobilenets")
class ChannelSlice(layers.Layer):
    """The channels from `start` up to, but not including, `stop` of a tensor (batch, ..., channels)."""

    def __init__(self, start: int, stop: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.start, self.stop = start, stop

    def call(self, x: Any) -> Any:
        """Slices the last axis."""
        return x[..., self.start : self.stop]

    def compute_output_shape(self, shape: Any) -> Any:
        """As the input's, with fewer channels."""
        return (*shape[:-1], self.stop - self.start)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again."""
        return super().get_config() | {"start": self.start, "stop": self.stop}
