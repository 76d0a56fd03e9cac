"""Separable 3-D convolutions of clips, with batch normalization and activation.

Depthwise 3-D and pointwise: Köpüklü et al. 2019, arXiv:1904.02422, section 3. Space apart from time, (2+1)-D: Tran et
al. 2018, arXiv:1711.11248, section 3.5, here depthwise.
"""

from typing import Any

from keras_mobilenets.blocks.convolution import activation as activate
from keras_mobilenets.blocks.convolution import batch_norm, conv_bn
from keras_mobilenets.blocks.video.strip_convolution import StripConv3D, StripDepthwiseConv3D, Triple, triple


def conv3d_bn(
    x: Any,
    filters: int,
    kernel_size: int | Triple = 3,
    *,
    frames: int,
    strides: int | Triple = 1,
    activation: str | None = "relu6",
    gamma: str = "ones",
    name: str,
) -> Any:
    """Standard 3-D convolution without bias, batch normalization, activation.

    Args:
        x: Strips (batch, frames · height, width, channels): the frames of a clip one below the other.
        filters: Output channels.
        kernel_size: Frames, rows and columns of the kernel; one number for all three.
        frames: Of the clips.
        strides: Likewise; those of rows and columns are equal.
        activation: As in `activation`; None keeps the output linear.
        gamma: As in `batch_norm`.
        name: Name of the convolution layer.

    Returns:
        Strips (batch, ⌈frames / strides⌉ · ⌈height / strides⌉, ⌈width / strides⌉, filters).
    """
    convolution = StripConv3D(frames, filters, kernel_size=kernel_size, strides=strides, name=name)
    return activate(batch_norm(convolution(x), name, gamma), activation, name)


def depthwise3d_bn(
    x: Any,
    kernel_size: int | Triple = 3,
    *,
    frames: int,
    strides: int | Triple = 1,
    factorized: bool = False,
    activation: str | None = "relu6",
    name: str,
) -> Any:
    """Depthwise 3-D convolution without bias, batch normalization, activation.

    Args:
        x: As in `conv3d_bn`.
        kernel_size: Likewise.
        frames: Likewise.
        strides: Likewise.
        factorized: (2+1)-D: over rows and columns, normalization and activation, then over frames. A kernel of 3×3×3
            has 12 weights a channel then instead of 27, and needs no sum of shifted clips.
        activation: After each convolution.
        name: Name of the convolution layer; `{name}_space` and `{name}_time` where it is factorized.

    Returns:
        Strips of the channels of `x`.
    """
    size, steps = triple(kernel_size), triple(strides)
    parts = [(name, size, steps)]
    if factorized:
        parts = [
            (f"{name}_space", (1, *size[1:]), (1, *steps[1:])),
            (f"{name}_time", (size[0], 1, 1), (steps[0], 1, 1)),
        ]
    for part, kernel, stride in parts:
        x = StripDepthwiseConv3D(frames, kernel_size=kernel, strides=stride, name=part)(x)
        x = activate(batch_norm(x, part), activation, part)
    return x


def separable_conv3d(
    x: Any,
    filters: int,
    kernel_size: int | Triple = 3,
    *,
    frames: int,
    strides: int | Triple = 1,
    factorized: bool = False,
    activation: str | None = "relu6",
    name: str,
) -> Any:
    """Depthwise separable 3-D convolution: a depthwise then a pointwise one, each with BN and activation.

    Costs 1/filters + 1/kernel_size³ of the standard 3-D convolution in its place. It is made of operators of images,
    which TensorFlow trains on a CPU and TensorFlow Lite has in int8.

    Args:
        x: As in `conv3d_bn`.
        filters: Output channels of the pointwise convolution.
        kernel_size: Of the depthwise convolution, as in `conv3d_bn`.
        frames: As in `conv3d_bn`.
        strides: Of the depthwise convolution, as in `conv3d_bn`.
        factorized: As in `depthwise3d_bn`.
        activation: After each convolution.
        name: Prefix of the layer names: `{name}_depthwise`, `{name}_pointwise`.

    Returns:
        As in `conv3d_bn`.
    """
    how: dict[str, Any] = {"frames": frames, "strides": strides, "factorized": factorized, "activation": activation}
    x = depthwise3d_bn(x, kernel_size, **how, name=f"{name}_depthwise")
    return conv_bn(x, filters, 1, activation=activation, name=f"{name}_pointwise")
