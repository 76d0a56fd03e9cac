"""3-D MobileNetV2 for clips: Köpüklü et al. 2019, "Resource Efficient 3D Convolutional Neural Networks",
arXiv:1904.02422.

Followed: the table and the width multiplier of the authors' own code (okankop/Efficient-3DCNNs), kernels of 3×3×3, the
first one a standard convolution that keeps all frames, BN and ReLU6; 3,122,648 parameters for 600 classes, of which
the paper says 3.12 M. Other: zeros lie around a clip as with Keras' padding "same", at strides of 2 behind an even
side; and blocks that add their input begin as nothing but that, without which 750 steps on `motion` leave the network
at chance.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import keras
from keras import layers

from keras_mobilenets import blocks
from keras_mobilenets.errors import UserError
from keras_mobilenets.models.builder import SMALLEST_INPUT, Source, builder
from keras_mobilenets.models.mobilenets.mobilenet_v2 import HEAD_FILTERS, STEM_FILTERS, TABLE

FRAMES = 16
CONVOLUTIONS = ("depthwise", "factorized", "standard")


def _clip(shape: Any, default_size: int | None, options: Mapping[str, Any]) -> Any:
    if options["convolution"] not in CONVOLUTIONS:
        raise UserError(f"convolution={options['convolution']!r}: choose {', '.join(CONVOLUTIONS)}")
    shape = (FRAMES, default_size, default_size, 3) if shape is None else shape
    if not isinstance(shape, list | tuple) or len(shape) != 4 or not all(isinstance(n, int) for n in shape):
        raise UserError(f"input_shape={shape!r}: give (frames, height, width, 3), such as (16, 112, 112, 3)")
    if shape[3] != 3 or shape[0] < 1 or min(shape[1:3]) < SMALLEST_INPUT:
        raise UserError(f"input_shape={shape!r}: give 1 frame or more of 3 channels, {SMALLEST_INPUT} or more a side")
    return keras.Input(tuple(shape), name="clip")


CLIP = Source(
    _clip,
    size="(frames, height, width, 3), 32 or more a side. Default: 16 frames of {size}×{size}",
    takes="float32 clips (batch, frames, height, width, 3) in [−1, 1]",
    kind="clip",
    frames=FRAMES,
)


@builder(source=CLIP, default_size=112, fixed_size=True, dropout_rate=0.2, classes=600)
def MobileNetV2Video(x: Any, *, stem_strides: int, alpha: float = 1.0, convolution: str = "depthwise") -> Any:
    """Builds the 3-D MobileNetV2 (section 3); published for alpha 0.2, 0.45, 0.7 and 1.0.

    Channels are rounded down; for alpha below 1 the head keeps its 1280.

    Args:
        convolution: "depthwise", the paper's, of 3×3×3; "factorized", depthwise too, over space and then over time,
            (2+1)-D; "standard", one 3-D convolution in the place of each depthwise and pointwise one, to compare with.
    """
    frames, height, width, channels = x.shape[1:]
    x = layers.Reshape((frames * height, width, channels), name="strip")(x)
    strides = 1, stem_strides, stem_strides
    x = blocks.conv3d_bn(x, blocks.scaled(STEM_FILTERS, alpha), frames=frames, strides=strides, name="stem")
    index = 0
    for expansion, filters, repeats, stride in TABLE:
        for step in [stride] + [1] * (repeats - 1):
            x = _block(x, blocks.scaled(filters, alpha), expansion, frames, step, convolution, f"block_{index}")
            frames, index = -(-frames // step), index + 1
    return blocks.conv_bn(x, blocks.scaled(HEAD_FILTERS, max(1.0, alpha)), 1, name="head")


def _block(x: Any, filters: int, expansion: int, frames: int, strides: int, convolution: str, name: str) -> Any:
    if convolution != "standard":
        depthwise = partial(blocks.depthwise3d_bn, frames=frames, factorized=convolution == "factorized")
        how: dict[str, Any] = {"strides": strides, "depthwise": depthwise, "zero_gamma": True}
        return blocks.inverted_residual(x, filters, expansion, **how, name=name)
    shortcut, adds = x, strides == 1 and x.shape[-1] == filters
    if expansion != 1:
        x = blocks.conv_bn(x, expansion * x.shape[-1], 1, name=f"{name}_expand")
    settings: dict[str, Any] = {"frames": frames, "strides": strides, "gamma": "zeros" if adds else "ones"}
    x = blocks.conv3d_bn(x, filters, **settings, activation=None, name=f"{name}_project")
    return blocks.residual_sum(shortcut, x, strides=1, activation=None, name=name) if adds else x
