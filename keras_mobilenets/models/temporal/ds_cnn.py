"""DS-CNN, keyword spotting on microcontrollers: Zhang et al. 2017, "Hello Edge: Keyword Spotting on Microcontrollers",
arXiv:1711.07128.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
from keras import layers

from keras_mobilenets import blocks
from keras_mobilenets.errors import UserError
from keras_mobilenets.models.builder import Source, builder
from keras_mobilenets.waveforms.features import FEATURES, RATE


class Variant(NamedTuple):
    """A row of the paper's table of networks (appendix A), for 49 × 10 features.

    Attributes:
        filters: Of every convolution.
        stem_strides: Of the first one, a standard convolution of 10 × 4: over coefficients (over time it is 2).
        separable: Strides of each depthwise separable convolution of 3 × 3.
    """

    filters: int
    stem_strides: int
    separable: tuple[int, ...]


SMALL = Variant(64, 2, (1, 1, 1, 1))
MEDIUM = Variant(172, 1, (2, 1, 1, 1))
LARGE = Variant(276, 1, (2, 1, 1, 1, 1))


def _input(shape: Any, default_size: int | None, options: Mapping[str, Any]) -> Any:
    features, front_end = options["features"], options["front_end"]
    if features not in FEATURES:
        raise UserError(f"features={features!r}: choose {', '.join(FEATURES)}")
    shape = tuple(shape) if isinstance(shape, list | tuple) else (RATE,) if shape is None else shape
    sizes = 1 if front_end else 3
    if not isinstance(shape, tuple) or len(shape) not in (1, sizes) or not all(isinstance(n, int) for n in shape):
        wanted = "(samples,), such as (16000,)" + ("" if front_end else ", or (frames, coefficients, 1)")
        raise UserError(f"input_shape={shape!r}: give {wanted}")
    of_features = shape if len(shape) == 3 else FEATURES[features].shape(*shape)
    return keras.Input(shape, name="waveform") if front_end else keras.Input(of_features, name=features)


WAVEFORM = Source(
    _input,
    size="(samples,) at 16 kHz, or without a front end also (frames, coefficients, 1). Default: a second, (16000,)",
    takes="float32 waveforms (batch, samples) in [−1, 1], or features (batch, frames, coefficients, 1),",
    kind="recording",
    unit="samples",
)
_build = builder(source=WAVEFORM, classes=12)


@_build
def DSCNNSmall(x: Any, *, stem_strides: int, alpha: float = 1.0, features: str = "mfcc", front_end: bool = True) -> Any:
    """Builds DS-CNN-S (appendix A) behind its features.

    Args:
        features: What it hears: "mfcc", the paper's 49 × 10 of a second; "log_mel", 49 × 40; "mfcc_30ms", MLPerf
            Tiny's.
        front_end: Whether the network computes the features itself. Without it, they are its input, as MLPerf Tiny has
            it: `waveforms.features.FEATURES[features].values(waveforms)`.
    """
    return _network(x, SMALL, stem_strides, alpha, features, front_end)


@_build
def DSCNNMedium(
    x: Any, *, stem_strides: int, alpha: float = 1.0, features: str = "mfcc", front_end: bool = True
) -> Any:
    """Builds DS-CNN-M (appendix A) behind its features.

    Args:
        features: As in `DSCNNSmall`.
        front_end: Likewise.
    """
    return _network(x, MEDIUM, stem_strides, alpha, features, front_end)


@_build
def DSCNNLarge(x: Any, *, stem_strides: int, alpha: float = 1.0, features: str = "mfcc", front_end: bool = True) -> Any:
    """Builds DS-CNN-L (appendix A) behind its features.

    Args:
        features: As in `DSCNNSmall`.
        front_end: Likewise.
    """
    return _network(x, LARGE, stem_strides, alpha, features, front_end)


def _network(x: Any, variant: Variant, stem_strides: int, alpha: float, features: str, front_end: bool) -> Any:
    filters = blocks.scaled(variant.filters, alpha) if alpha != 1 else variant.filters
    if front_end:
        x = blocks.speech_front_end(x, FEATURES[features], name="features")
    strides = stem_strides, variant.stem_strides
    x = _activated(x, layers.Conv2D(filters, (10, 4), strides, padding="same", name="stem"))
    for index, step in enumerate(variant.separable, 1):
        name = f"block_{index}"
        x = _activated(x, layers.DepthwiseConv2D(3, step, padding="same", name=f"{name}_depthwise"))
        x = _activated(x, layers.Conv2D(filters, 1, name=f"{name}_pointwise"))
    return x


def _activated(x: Any, convolution: Any) -> Any:
    """A convolution with a bias, as the published parameters count it, batch normalization and ReLU."""
    name = convolution.name
    return blocks.activation(blocks.batch_norm(convolution(x), name), "relu", name)
