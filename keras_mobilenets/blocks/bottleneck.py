"""Residual bottlenecks: He et al. 2015, arXiv:1512.03385 (ResNet), section 4.1 and figure 5.

With groups: Xie et al. 2016, arXiv:1611.05431 (ResNeXt), section 3.3; Radosavovic et al. 2020, arXiv:2003.13678
(RegNet), figure 4.
"""

from collections.abc import Callable
from typing import Any

from keras import layers

from keras_mobilenets.blocks.convolution import activation as activate
from keras_mobilenets.blocks.convolution import conv_bn


def bottleneck(
    x: Any,
    filters: int,
    inner: int,
    *,
    strides: int = 1,
    groups: int = 1,
    activation: str | None = "relu",
    excite: Callable[..., Any] | None = None,
    name: str,
) -> Any:
    """Residual bottleneck: 1×1, 3×3 (in groups), 1×1 without activation, the sum with the input, activation.

    The image is halved in the 3×3 convolution.

    Args:
        x: Tensor (batch, height, width, channels).
        filters: Output channels.
        inner: Channels of the 3×3 convolution.
        strides: Of the 3×3 convolution, and of the shortcut.
        groups: Channel groups of the 3×3 convolution, a divisor of `inner`.
        activation: After the first two convolutions and after the sum.
        excite: Applied to the 3×3 convolution's output as `excite(x, name=name)`, such as a partial `squeeze_excite`.
        name: Prefix of the layer names: `{name}_conv_1`, `{name}_conv_2`, `{name}_conv_3`, `{name}_shortcut`,
            `{name}_add`.

    Returns:
        Tensor (batch, ⌈height / strides⌉, ⌈width / strides⌉, filters).
    """
    shortcut = x
    x = conv_bn(x, inner, 1, activation=activation, name=f"{name}_conv_1")
    x = conv_bn(x, inner, strides=strides, groups=groups, activation=activation, name=f"{name}_conv_2")
    if excite is not None:
        x = excite(x, name=name)
    x = conv_bn(x, filters, 1, activation=None, name=f"{name}_conv_3")
    return residual_sum(shortcut, x, strides=strides, activation=activation, name=name)


def residual_sum(shortcut: Any, x: Any, *, strides: int, activation: str | None = "relu", name: str) -> Any:
    """Adds a block's input, through a 1×1 convolution where the shapes differ (ResNet, section 3.3, option B).

    Args:
        shortcut: The block's input.
        x: What the block makes of it, a tensor (batch, height, width, channels).
        strides: Of the block.
        activation: After the sum.
        name: Prefix of the layer names: `{name}_shortcut`, `{name}_add`.

    Returns:
        Tensor of the shape of `x`.
    """
    if strides != 1 or shortcut.shape[-1] != x.shape[-1]:
        shortcut = conv_bn(shortcut, x.shape[-1], 1, strides=strides, activation=None, name=f"{name}_shortcut")
    return activate(layers.Add(name=f"{name}_add")([shortcut, x]), activation, name)
