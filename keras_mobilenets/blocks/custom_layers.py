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


@keras.saving.register_keras_serializable("keras_mobilenets")
class NearestResizing(layers.Layer):
    """Gives a map (batch, height, width, channels) the height and width of another by its nearest neighbours.

    Row i of H comes from row ⌊i · h / H⌋, as in PyTorch; `Resizing` goes by the centres of the pixels.
    """

    def call(self, x: Any, like: Any) -> Any:
        """Resizes `x` to the height and width of the tensor `like`."""
        for axis in (1, 2):
            size, target = keras.ops.shape(x)[axis], keras.ops.shape(like)[axis]
            x = keras.ops.take(x, keras.ops.arange(target, dtype="int32") * size // target, axis=axis)
        return x

    def compute_output_shape(self, x_shape: Any, like_shape: Any) -> Any:
        """Height and width of the second tensor, channels of the first."""
        return (*like_shape[:3], x_shape[3])


@keras.saving.register_keras_serializable("keras_mobilenets")
class PhasesToMap(layers.Layer):
    """Gives the four pixels of 2×2 squares, in one row (batch, height, 2 · width, 2 · channels), their places.

    The result is (batch, 2 · height, 2 · width, channels), cut to the height and width of a second tensor.
    """

    def call(self, phases: Any, like: Any) -> Any:
        """Reshapes `phases` and cuts the result to the size of the tensor `like`."""
        batch, height, width, _ = keras.ops.shape(phases)
        result = keras.ops.reshape(phases, (batch, 2 * height, width, like.shape[-1]))
        _, height, width, _ = keras.ops.shape(like)
        return result[:, :height, :width]

    def compute_output_shape(self, phases_shape: Any, like_shape: Any) -> Any:
        """The shape of the second tensor."""
        return like_shape
