"""tf_keras counterparts of the layers that `int8_form` writes a normalization in."""

from typing import Any

import tensorflow as tf
import tf_keras

_registered = tf_keras.saving.register_keras_serializable("keras_mobilenets")


@_registered
class InverseDeviation(tf_keras.layers.Layer):
    """1 / √(variance + epsilon), of each position's channels or of a whole map."""

    def __init__(self, epsilon: float = 1e-3, of_map: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.epsilon, self.of_map = epsilon, of_map

    def call(self, x: Any) -> Any:
        """Takes a tensor (batch, ..., channels)."""
        return self._statistics(x)[1]

    def compute_output_shape(self, shape: Any) -> Any:
        """One number a position, or one a map."""
        return tf.TensorShape([shape[0], *(1 for _ in shape[1:])] if self.of_map else [*shape[:-1], 1])

    def get_config(self) -> dict[str, Any]:
        """The arguments of the layer."""
        return super().get_config() | {"epsilon": self.epsilon, "of_map": self.of_map}

    def _statistics(self, x: Any) -> tuple[Any, Any]:
        axes = list(range(1, x.shape.rank)) if self.of_map else [-1]
        mean = tf.reduce_mean(x, axes, keepdims=True)
        variance = tf.nn.relu(tf.reduce_mean(x * x, axes, keepdims=True) - mean * mean)
        return mean, tf.math.rsqrt(variance + self.epsilon)


@_registered
class MeanOverDeviation(InverseDeviation):
    """The mean times what `InverseDeviation` gives."""

    def call(self, x: Any) -> Any:
        """Takes a tensor (batch, ..., channels)."""
        mean, root = self._statistics(x)
        return mean * root
