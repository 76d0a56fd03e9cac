"""The front end of a network that hears: features of speech as convolutions, which every TensorFlow Lite runtime takes.

The Fourier transform is a convolution whose kernels are cosines and sines under the window, of those frequencies alone
that the mel filters read; filters and cosine transform are 1×1 convolutions.
"""

import math
from dataclasses import asdict
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_mobilenets.waveforms.features import FLOOR, SpeechFeatures


def speech_front_end(x: Any, features: SpeechFeatures | None = None, *, name: str) -> Any:
    """Waveforms (batch, samples) as features (batch, frames, coefficients, 1).

    Args:
        x: Waveforms in [−1, 1].
        features: Which; MFCCs as in Zhang et al. 2017 when not given.
        name: Of the layer.
    """
    return SpeechFrontEnd(features, name=name)(x)


@keras.saving.register_keras_serializable("keras_mobilenets")
class SpeechFrontEnd(layers.Layer):
    """`SpeechFeatures` as a layer: (batch, samples) in [−1, 1] to (batch, frames, coefficients, 1).

    It has no weights. An int8 model computes it in float: 8 bits are too few for a waveform.
    """

    stays_in_float = True

    def __init__(self, features: SpeechFeatures | dict[str, Any] | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.features = SpeechFeatures(**features) if isinstance(features, dict) else features or SpeechFeatures()

    def call(self, waveforms: Any) -> Any:
        """Takes waveforms of one length."""
        return computed(waveforms, self.features)

    def compute_output_shape(self, shape: Any) -> Any:
        """Frames and coefficients."""
        return shape[0], *self.features.shape(shape[1])

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again."""
        return super().get_config() | {"features": asdict(self.features)}


def computed(waveforms: Any, features: SpeechFeatures, ops: Any = keras.ops) -> Any:
    """Features of a tensor (batch, samples): convolutions, a magnitude and a logarithm, all of four axes.

    Args:
        waveforms: In [−1, 1].
        features: Which.
        ops: What computes: `keras.ops`, or another library's functions of these names.
    """
    window, stride = features.window_samples, features.stride_samples
    frames, coefficients, _ = features.shape(waveforms.shape[1])
    step = math.gcd(window, stride)  # of which frames are made, so that the convolution reads rows of so many samples
    rows = ((frames - 1) * stride + window) // step
    heard = waveforms if waveforms.shape[1] == rows * step else waveforms[:, : rows * step]
    x = ops.reshape(heard, (-1, rows, 1, step))

    def dense(x: Any, matrix: np.ndarray, *strides: int) -> Any:
        kernel = matrix.astype(np.float32).reshape(-1, 1, x.shape[-1], matrix.shape[1])
        return ops.conv(x, kernel, strides or (1, 1), padding="valid")

    real, imaginary = (dense(x, kernel, stride // step, 1) for kernel in features.kernels())
    x = dense(ops.sqrt(real * real + imaginary * imaginary), features.filters())
    x = ops.log(x + FLOOR)
    if features.kind == "mfcc":
        x = dense(x, features.transform())
    return ops.reshape(x, (-1, frames, coefficients, 1))
