"""Custom layers, for what those of Keras cannot do; importing this module registers them for `.keras` files."""

from typing import Any

import keras
import numpy as np
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


@keras.saving.register_keras_serializable("keras_mobilenets")
class MatrixProduct(layers.Layer):
    """Products of two stacks of matrices (batch, stack, rows, columns); the second may be taken transposed."""

    def __init__(self, transposed: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.transposed = transposed

    def call(self, first: Any, second: Any) -> Any:
        """Multiplies matrix by matrix."""
        return keras.ops.einsum("bsij,bskj->bsik" if self.transposed else "bsij,bsjk->bsik", first, second)

    def compute_output_shape(self, first_shape: Any, second_shape: Any) -> Any:
        """(batch, stack, rows of the first, columns of the second)."""
        return (*first_shape[:-1], second_shape[-2 if self.transposed else -1])

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again."""
        return super().get_config() | {"transposed": self.transposed}


@keras.saving.register_keras_serializable("keras_mobilenets")
class AttentionBias(layers.Layer):
    """Adds to scores (batch, heads, positions, positions) a learned number for each head and distance of two positions.

    Args:
        height: Rows of the map that the positions are of.
        width: Its columns.
    """

    def __init__(self, height: int, width: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.height, self.width = height, width

    def build(self, shape: Any) -> None:
        """A number for each head and each distance in rows and columns."""
        self.bias = self.add_weight(shape=(shape[1], self.height * self.width), initializer="zeros", name="bias")

    def call(self, scores: Any) -> Any:
        """Adds."""
        return scores + keras.ops.take(self.bias, position_distances(self.height, self.width), axis=1)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again."""
        return super().get_config() | {"height": self.height, "width": self.width}


@keras.saving.register_keras_serializable("keras_mobilenets")
class BilinearResizing(layers.Layer):
    """Gives a map another height and width, by the centres of the pixels.

    Keras' own `Resizing`, called without `training`, puts every layer behind it into training mode (3.15).
    """

    def __init__(self, height: int, width: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.height, self.width = height, width

    def call(self, x: Any) -> Any:
        """Takes a tensor (batch, height, width, channels)."""
        return keras.ops.image.resize(x, (self.height, self.width), data_format="channels_last")

    def compute_output_shape(self, shape: Any) -> Any:
        """As the input's, with the other height and width."""
        return (shape[0], self.height, self.width, shape[3])

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again."""
        return super().get_config() | {"height": self.height, "width": self.width}


@keras.saving.register_keras_serializable("keras_mobilenets")
class InverseDeviation(layers.Layer):
    """1 / √(variance + epsilon): of the channels of each position (batch, ..., 1), or of a map (batch, 1, 1, 1).

    The variance is the mean of squares less the square of the mean, of which nothing but numbers like these is as large
    as the input: the form that int8 computes a normalization in.

    Args:
        epsilon: Added to the variance.
        of_map: Whether channels and positions count together.
    """

    def __init__(self, epsilon: float = 1e-3, of_map: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.epsilon, self.of_map = epsilon, of_map

    def call(self, x: Any) -> Any:
        """Takes a tensor (batch, ..., channels)."""
        return self._statistics(x)[1]

    def compute_output_shape(self, shape: Any) -> Any:
        """One number a position, or one a map."""
        return (shape[0], *(1 for _ in shape[1:])) if self.of_map else (*shape[:-1], 1)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again."""
        return super().get_config() | {"epsilon": self.epsilon, "of_map": self.of_map}

    def _statistics(self, x: Any) -> tuple[Any, Any]:
        axes = tuple(range(1, len(x.shape))) if self.of_map else (-1,)
        mean = keras.ops.mean(x, axes, keepdims=True)
        variance = keras.ops.relu(keras.ops.mean(x * x, axes, keepdims=True) - mean * mean)
        return mean, keras.ops.rsqrt(variance + self.epsilon)


@keras.saving.register_keras_serializable("keras_mobilenets")
class MeanOverDeviation(InverseDeviation):
    """The mean times what `InverseDeviation` gives."""

    def call(self, x: Any) -> Any:
        """Takes a tensor (batch, ..., channels)."""
        mean, root = self._statistics(x)
        return mean * root


def position_distances(height: int, width: int) -> np.ndarray:
    """For two positions of a map, row by row, the number of their distance in rows and columns."""
    rows, columns = np.divmod(np.arange(height * width), width)
    return abs(rows[:, None] - rows) * width + abs(columns[:, None] - columns)
