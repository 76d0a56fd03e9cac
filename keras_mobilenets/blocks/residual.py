"""Inverted residuals.

With linear bottleneck: Sandler et al. 2018, arXiv:1801.04381 (MobileNetV2), section 3.
Fused: Tan & Le 2021, arXiv:2104.00298 (EfficientNetV2), section 3.2.
Universal inverted bottleneck: Qin et al. 2024, arXiv:2404.10518 (MobileNetV4), section 3.
"""

from collections.abc import Callable
from typing import Any

from keras import layers

from keras_mobilenets.blocks.channels import make_divisible
from keras_mobilenets.blocks.convolution import channel_scale, conv_bn, depthwise_bn


def inverted_residual(
    x: Any,
    filters: int,
    expansion: float,
    *,
    kernel_size: int = 3,
    strides: int = 1,
    activation: str | None = "relu6",
    excite: Callable[..., Any] | None = None,
    depthwise: Callable[..., Any] = depthwise_bn,
    zero_gamma: bool = False,
    name: str,
) -> Any:
    """Inverted residual with linear bottleneck: expand 1×1, depthwise, project 1×1 without activation, add.

    The input is added when its shape equals the output's (MobileNetV2, table 1 and figure 4). An expansion of 1 has
    no expanding convolution, as in the network's first block.

    Args:
        x: Tensor (batch, height, width, channels).
        filters: Output channels.
        expansion: Channels between the bottlenecks, as a multiple of the input channels (the paper's t).
        kernel_size: Side of the depthwise kernel.
        strides: Of the depthwise convolution.
        activation: After the expanding and the depthwise convolution.
        excite: Applied to the depthwise output as `excite(x, name=name)`, such as a partial `squeeze_excite`.
        depthwise: The depthwise convolution, such as a partial `depthwise3d_bn` of clips.
        zero_gamma: Whether a block that adds its input begins as nothing but that: the factors of its last
            normalization are 0 at first (Goyal et al. 2017, arXiv:1706.02677, section 5.1).
        name: Prefix of the layer names: `{name}_expand`, `{name}_depthwise`, `{name}_project`, `{name}_add`.

    Returns:
        Tensor (batch, ⌈height / strides⌉, ⌈width / strides⌉, filters).
    """
    shortcut, channels = x, x.shape[-1]
    if expansion != 1:
        x = conv_bn(x, round(expansion * channels), 1, activation=activation, name=f"{name}_expand")
    x = depthwise(x, kernel_size, strides=strides, activation=activation, name=f"{name}_depthwise")
    if excite is not None:
        x = excite(x, name=name)
    gamma = "zeros" if zero_gamma and _adds(shortcut, filters, strides) else "ones"
    x = conv_bn(x, filters, 1, activation=None, gamma=gamma, name=f"{name}_project")
    return _residual(shortcut, x, strides, name)


def fused_inverted_residual(
    x: Any,
    filters: int,
    expansion: float,
    *,
    kernel_size: int = 3,
    strides: int = 1,
    activation: str | None = "silu",
    name: str,
) -> Any:
    """Fused-MBConv: one standard convolution does the expanding and the depthwise convolution's work.

    Early in a network, where channels are few, it is faster than the pair (EfficientNetV2, section 3.2). With an
    expansion of 1 that convolution is the whole block.

    Args:
        x: Tensor (batch, height, width, channels).
        filters: Output channels.
        expansion: Channels between the bottlenecks, as a multiple of the input channels.
        kernel_size: Side of the convolution's kernel.
        strides: Of that convolution.
        activation: After that convolution.
        name: Prefix of the layer names: `{name}_fused`, `{name}_project`, `{name}_add`.

    Returns:
        Tensor (batch, ⌈height / strides⌉, ⌈width / strides⌉, filters).
    """
    shortcut = x
    wide = filters if expansion == 1 else round(expansion * x.shape[-1])
    x = conv_bn(x, wide, kernel_size, strides=strides, activation=activation, name=f"{name}_fused")
    if expansion != 1:
        x = conv_bn(x, filters, 1, activation=None, name=f"{name}_project")
    return _residual(shortcut, x, strides, name)


def universal_inverted_bottleneck(
    x: Any,
    filters: int,
    expansion: float,
    *,
    start: int = 0,
    middle: int = 0,
    strides: int = 1,
    activation: str | None = "relu",
    layer_scale: float | None = None,
    name: str,
) -> Any:
    """Universal inverted bottleneck: an inverted residual with a depthwise convolution at its start, middle or both.

    With both it is the paper's ExtraDW, with the middle the inverted bottleneck (IB), with the start ConvNext, with
    neither the feed-forward network (FFN) (figure 4).

    Args:
        x: Tensor (batch, height, width, channels).
        filters: Output channels.
        expansion: Channels between the 1×1 convolutions, as a multiple of the input channels.
        start: Side of the kernel before the expansion, whose output stays linear; 0 for none.
        middle: Side of the kernel after the expansion; 0 for none.
        strides: Of the middle convolution, or else of the start.
        activation: After the expanding and the middle convolution.
        layer_scale: First value of a learned scale of the output's channels; None for no scale.
        name: Prefix of the layer names: `{name}_start_depthwise`, `{name}_expand`, `{name}_depthwise`,
            `{name}_project`, `{name}_scale`, `{name}_add`.

    Returns:
        Tensor (batch, ⌈height / strides⌉, ⌈width / strides⌉, filters).
    """
    shortcut = x
    if start:
        first = 1 if middle else strides
        x = depthwise_bn(x, start, strides=first, activation=None, name=f"{name}_start_depthwise")
    x = conv_bn(x, make_divisible(expansion * shortcut.shape[-1]), 1, activation=activation, name=f"{name}_expand")
    if middle:
        x = depthwise_bn(x, middle, strides=strides, activation=activation, name=f"{name}_depthwise")
    x = conv_bn(x, filters, 1, activation=None, name=f"{name}_project")
    x = x if layer_scale is None else channel_scale(x, layer_scale, name=f"{name}_scale")
    return _residual(shortcut, x, strides, name)


def _residual(shortcut: Any, x: Any, strides: int, name: str) -> Any:
    """Adds the input of a block to its output where their shapes are equal."""
    return layers.Add(name=f"{name}_add")([shortcut, x]) if _adds(shortcut, x.shape[-1], strides) else x


def _adds(shortcut: Any, filters: int, strides: int) -> bool:
    return strides == 1 and shortcut.shape[-1] == filters
