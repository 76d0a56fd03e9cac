"""Ghost module and bottleneck: Han et al. 2019, arXiv:1911.11907 (GhostNet), section 3.

Decoupled fully connected (DFC) attention: Tang et al. 2022, arXiv:2211.12905 (GhostNetV2), section 3.
"""

from collections.abc import Callable
from typing import Any

from keras import layers

from keras_mobilenets.blocks.convolution import activation as activate
from keras_mobilenets.blocks.convolution import batch_norm, conv_bn, depthwise_bn
from keras_mobilenets.blocks.custom_layers import ChannelSlice
from keras_mobilenets.blocks.upsampling import upsample_like
from keras_mobilenets.errors import UserError


def ghost_module(
    x: Any,
    filters: int,
    kernel_size: int = 1,
    *,
    strides: int = 1,
    ratio: int = 2,
    cheap_kernel_size: int = 3,
    activation: str | None = "relu",
    name: str,
) -> Any:
    """Ghost module: a convolution gives a part of the channels, cheap depthwise convolutions of these the others.

    It costs about 1/ratio of the convolution in its place (GhostNet, section 3.1, equation 5).

    Args:
        x: Tensor (batch, height, width, channels).
        filters: Output channels.
        kernel_size: Side of the primary convolution's kernel.
        strides: Of the primary convolution.
        ratio: Output channels over those of the primary convolution (the paper's s), 2 or more.
        cheap_kernel_size: Side of the depthwise kernels (the paper's d).
        activation: After both convolutions; None keeps the output linear.
        name: Prefix of the layer names: `{name}_primary`, `{name}_cheap`, `{name}_concat`; `{name}_slice` where the
            filters are no multiple of the ratio.

    Returns:
        Tensor (batch, ⌈height / strides⌉, ⌈width / strides⌉, filters), the primary channels first.

    Raises:
        UserError: The ratio is less than 2.
    """
    if ratio < 2:
        raise UserError(f"{name}: ratio={ratio} leaves a ghost module no cheap channels; give 2 or more")
    primary = -(-filters // ratio)
    x = conv_bn(x, primary, kernel_size, strides=strides, activation=activation, name=f"{name}_primary")
    cheap = layers.DepthwiseConv2D(
        cheap_kernel_size, padding="same", depth_multiplier=ratio - 1, use_bias=False, name=f"{name}_cheap"
    )(x)
    cheap = activate(batch_norm(cheap, f"{name}_cheap"), activation, f"{name}_cheap")
    x = layers.Concatenate(name=f"{name}_concat")([x, cheap])
    return x if x.shape[-1] == filters else ChannelSlice(0, filters, name=f"{name}_slice")(x)


def dfc_attention(x: Any, filters: int, *, kernel_size: int = 5, name: str) -> Any:
    """Decoupled fully connected attention: how much of each place and channel of a map is to pass.

    A fully connected layer along each row, then along each column, both shared by all places and so depthwise
    convolutions, at half the resolution (GhostNetV2, sections 3.2 and 3.3, figures 4 and 5).

    Args:
        x: Tensor (batch, height, width, channels): what the map is computed from.
        filters: Channels of the map.
        kernel_size: Length of the two kernels.
        name: Prefix of the layer names: `{name}_pool`, `{name}_pointwise`, `{name}_horizontal`, `{name}_vertical`,
            `{name}_upsample`.

    Returns:
        Tensor (batch, height, width, filters) of values between 0 and 1.
    """
    halved = tuple(min(2, side or 2) for side in x.shape[1:3])  # a side of one pixel stays
    gate = layers.AveragePooling2D(halved, name=f"{name}_pool")(x)
    gate = conv_bn(gate, filters, 1, activation=None, name=f"{name}_pointwise")
    gate = depthwise_bn(gate, (1, kernel_size), activation=None, name=f"{name}_horizontal")
    gate = depthwise_bn(gate, (kernel_size, 1), activation=None, name=f"{name}_vertical")
    gate = activate(gate, "sigmoid", f"{name}_vertical")
    return upsample_like(gate, x, name=f"{name}_upsample")


def ghost_bottleneck(
    x: Any,
    filters: int,
    expanded: int,
    *,
    kernel_size: int = 3,
    strides: int = 1,
    excite: Callable[..., Any] | None = None,
    attention: bool = False,
    name: str,
) -> Any:
    """Ghost bottleneck: a ghost module expands, a depthwise convolution strides, a linear ghost module projects, add.

    Where shapes differ, the input is added through a depthwise and a pointwise convolution (GhostNet, section 3.2 and
    figure 3, as in the reference implementation).

    Args:
        x: Tensor (batch, height, width, channels).
        filters: Output channels.
        expanded: Channels between the ghost modules.
        kernel_size: Side of the depthwise kernels.
        strides: Of the block; with 1 there is no depthwise convolution between the ghost modules.
        excite: Applied before the projection as `excite(x, name=name)`, such as a partial `squeeze_excite`.
        attention: Whether the expanded channels are multiplied by `dfc_attention` (GhostNetV2, section 3.3).
        name: Prefix of the layer names: `{name}_expand_primary`, `{name}_expand_cheap`, `{name}_gate_pointwise`,
            `{name}_depthwise`, `{name}_project_primary`, `{name}_project_cheap`, `{name}_shortcut_depthwise`,
            `{name}_shortcut`, `{name}_add` and so on.

    Returns:
        Tensor (batch, ⌈height / strides⌉, ⌈width / strides⌉, filters).
    """
    shortcut = x
    x = ghost_module(x, expanded, name=f"{name}_expand")
    if attention:
        gate = dfc_attention(shortcut, expanded, name=f"{name}_gate")
        x = layers.Multiply(name=f"{name}_gate")([x, gate])
    if strides > 1:
        x = depthwise_bn(x, kernel_size, strides=strides, activation=None, name=f"{name}_depthwise")
    if excite is not None:
        x = excite(x, name=name)
    x = ghost_module(x, filters, activation=None, name=f"{name}_project")
    if strides > 1 or shortcut.shape[-1] != filters:
        shortcut_name = f"{name}_shortcut_depthwise"
        shortcut = depthwise_bn(shortcut, kernel_size, strides=strides, activation=None, name=shortcut_name)
        shortcut = conv_bn(shortcut, filters, 1, activation=None, name=f"{name}_shortcut")
    return layers.Add(name=f"{name}_add")([x, shortcut])
