"""tf_keras layers and activations of Keras 3 that tf_keras lacks or computes differently.

Where TensorFlow Lite computes a layer in two int8 operators, the tensor between them passes through the linear
activation `inner`, where quantization-aware training puts a quantizer.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from keras_mobilenets.blocks.custom_layers import position_distances
from keras_mobilenets.blocks.speech_front_end import computed
from keras_mobilenets.training.compression.tf_keras_normalization import InverseDeviation as InverseDeviation
from keras_mobilenets.training.compression.tf_keras_normalization import MeanOverDeviation as MeanOverDeviation
from keras_mobilenets.waveforms.features import SpeechFeatures

_registered = tf_keras.saving.register_keras_serializable("keras_mobilenets")


@_registered
def hard_sigmoid(x: Any) -> Any:
    """ReLU6(x + 3) / 6; tf_keras' own has a slope of 0.2."""
    return tf.nn.relu6(x + 3.0) * (1 / 6)


@_registered
def hard_silu(x: Any) -> Any:
    """x · ReLU6(x + 3) / 6, also called h-swish, in the form that the converter writes as one operator."""
    return x * tf.nn.relu6(x + 3.0) * (1 / 6)


@_registered
def relu6(x: Any) -> Any:
    """The values clipped to 0 and 6."""
    return tf.nn.relu6(x)


@_registered
def silu(x: Any) -> Any:
    """x · sigmoid(x), also called swish."""
    return tf.nn.silu(x)


@_registered
class HardSigmoid(tf_keras.layers.Layer):
    """`hard_sigmoid` as a layer."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.inner = tf_keras.activations.linear

    def call(self, x: Any) -> Any:
        """Takes a tensor of any shape."""
        return self.inner(tf.nn.relu6(x + 3.0)) * (1 / 6)

    def compute_output_shape(self, shape: Any) -> Any:
        """The input's."""
        return shape


@_registered
class Rescaling(tf_keras.layers.Layer):
    """x · scale + offset, each a number or one for each channel."""

    def __init__(self, scale: float | Sequence[float], offset: float | Sequence[float] = 0.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.scale, self.offset = scale, offset
        self.inner = tf_keras.activations.linear

    def call(self, x: Any) -> Any:
        """Takes a tensor (batch, ..., channels)."""
        y = self.inner(x * tf.constant(self.scale, x.dtype))
        return y + tf.constant(self.offset, x.dtype) if np.any(self.offset) else y

    def compute_output_shape(self, shape: Any) -> Any:
        """The input's."""
        return shape

    def get_config(self) -> dict[str, Any]:
        """The arguments of the layer."""
        return super().get_config() | {"scale": self.scale, "offset": self.offset}


@_registered
class ChannelSlice(tf_keras.layers.Layer):
    """The channels from `start` up to, but not including, `stop`."""

    def __init__(self, start: int, stop: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.start, self.stop = start, stop

    def call(self, x: Any) -> Any:
        """Slices the last axis."""
        return x[..., self.start : self.stop]

    def compute_output_shape(self, shape: Any) -> Any:
        """As the input's, with fewer channels."""
        return tf.TensorShape([*shape[:-1], self.stop - self.start])

    def get_config(self) -> dict[str, Any]:
        """The arguments of the layer."""
        return super().get_config() | {"start": self.start, "stop": self.stop}


@_registered
class RowsToMap(tf_keras.layers.Layer):
    """Gives its first input the shape of its second."""

    def call(self, tensors: Sequence[Any]) -> Any:
        """Reshapes the first tensor."""
        rows, like = tensors
        return tf.reshape(rows, tf.shape(like))

    def compute_output_shape(self, shapes: Sequence[Any]) -> Any:
        """The shape of the second tensor."""
        return shapes[1]


@_registered
class NearestResizing(tf_keras.layers.Layer):
    """Gives its first input the height and width of its second by nearest neighbours."""

    def call(self, tensors: Sequence[Any]) -> Any:
        """Resizes the first tensor."""
        x, like = tensors
        for axis in (1, 2):
            size, target = tf.shape(x)[axis], tf.shape(like)[axis]
            x = tf.gather(x, tf.range(target) * size // target, axis=axis)
        return x

    def compute_output_shape(self, shapes: Sequence[Any]) -> Any:
        """Height and width of the second tensor, channels of the first."""
        return tf.TensorShape([*shapes[1][:3], shapes[0][3]])


@_registered
class PhasesToMap(tf_keras.layers.Layer):
    """Gives the four pixels of 2×2 squares their places, in a map of the size of the second input."""

    def call(self, tensors: Sequence[Any]) -> Any:
        """Reshapes the first tensor and cuts the result."""
        phases, like = tensors
        batch, height, width = (tf.shape(phases)[axis] for axis in range(3))
        result = tf.reshape(phases, (batch, 2 * height, width, like.shape[-1]))
        return result[:, : tf.shape(like)[1], : tf.shape(like)[2]]

    def compute_output_shape(self, shapes: Sequence[Any]) -> Any:
        """The shape of the second tensor."""
        return shapes[1]


@_registered
class UpSampling2D(tf_keras.layers.UpSampling2D):
    """As tf_keras' own, in which copies of rows and columns are made in operators that every int8 target takes."""

    def call(self, x: Any) -> Any:
        """Takes a map (batch, height, width, channels)."""
        if self.interpolation != "nearest" or None in x.shape[1:]:
            return super().call(x)
        (height, width, channels), (rows, columns) = x.shape[1:], self.size
        x = tf.reshape(tf.concat([x] * rows, axis=2), (-1, height * rows, width, channels))
        return tf.reshape(tf.concat([x] * columns, axis=3), (-1, height * rows, width * columns, channels))


@_registered
class MatrixProduct(tf_keras.layers.Layer):
    """Products of two stacks of matrices, of which the second may be taken transposed."""

    def __init__(self, transposed: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.transposed = transposed

    def call(self, tensors: Sequence[Any]) -> Any:
        """Multiplies matrix by matrix."""
        return tf.matmul(*tensors, transpose_b=self.transposed)

    def compute_output_shape(self, shapes: Sequence[Any]) -> Any:
        """(batch, stack, rows of the first, columns of the second)."""
        return tf.TensorShape([*shapes[0][:-1], shapes[1][-2 if self.transposed else -1]])

    def get_config(self) -> dict[str, Any]:
        """The arguments of the layer."""
        return super().get_config() | {"transposed": self.transposed}


@_registered
class AttentionBias(tf_keras.layers.Layer):
    """Adds a learned number for each head and distance of two positions of a map."""

    def __init__(self, height: int, width: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.height, self.width = height, width

    def build(self, shape: Any) -> None:
        """A number for each head and each distance in rows and columns."""
        self.bias = self.add_weight("bias", shape=(shape[1], self.height * self.width), initializer="zeros")

    def call(self, scores: Any) -> Any:
        """Takes scores (batch, heads, positions, positions)."""
        return scores + tf.gather(self.bias, position_distances(self.height, self.width), axis=1)

    def compute_output_shape(self, shape: Any) -> Any:
        """The input's."""
        return shape

    def get_config(self) -> dict[str, Any]:
        """The arguments of the layer."""
        return super().get_config() | {"height": self.height, "width": self.width}


@_registered
class BilinearResizing(tf_keras.layers.Layer):
    """Gives a map another height and width, by the centres of the pixels."""

    def __init__(self, height: int, width: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.height, self.width = height, width

    def call(self, x: Any) -> Any:
        """Takes a tensor (batch, height, width, channels)."""
        return tf.image.resize(x, (self.height, self.width))

    def compute_output_shape(self, shape: Any) -> Any:
        """As the input's, with the other height and width."""
        return tf.TensorShape([shape[0], self.height, self.width, shape[3]])

    def get_config(self) -> dict[str, Any]:
        """The arguments of the layer."""
        return super().get_config() | {"height": self.height, "width": self.width}


@_registered
class FreezingBatchNormalization(tf_keras.layers.BatchNormalization):
    """Batch normalization that uses its moving statistics, without updating them, after a number of steps."""

    def __init__(self, freeze_after: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.freeze_after = freeze_after

    def build(self, shape: Any) -> None:
        """Adds the step counter after the layer's own weights."""
        super().build(shape)
        self.steps = self.add_weight("steps", shape=(), dtype=tf.int32, initializer="zeros", trainable=False)

    def call(self, x: Any, training: Any = None) -> Any:
        """Counts the training steps."""
        if not training:
            return super().call(x, training=False)
        moving = self.steps < self.freeze_after
        self.steps.assign_add(1)
        normal = super().call
        return tf.cond(moving, lambda: normal(x, training=True), lambda: normal(x, training=False))

    def get_config(self) -> dict[str, Any]:
        """The arguments of the layer."""
        return super().get_config() | {"freeze_after": self.freeze_after}


@_registered
class SpeechFrontEnd(tf_keras.layers.Layer):
    """Features of waveforms (batch, samples), as (batch, frames, coefficients, 1)."""

    stays_in_float = True

    def __init__(self, features: dict[str, Any], **kwargs: Any):
        super().__init__(**kwargs)
        self.features = SpeechFeatures(**features)

    def call(self, waveforms: Any) -> Any:
        """As the layer of Keras 3, whose backend is TensorFlow here."""
        return computed(waveforms, self.features)

    def compute_output_shape(self, shape: Any) -> Any:
        """Frames and coefficients."""
        return tf.TensorShape([shape[0], *self.features.shape(shape[1])])

    def get_config(self) -> dict[str, Any]:
        """The arguments of the layer."""
        return super().get_config() | {"features": asdict(self.features)}
