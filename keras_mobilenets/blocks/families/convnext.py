"""The block of ConvNeXt: Liu et al. 2022, arXiv:2201.03545, section 2 and figure 4."""

from collections.abc import Callable
from typing import Any

from keras import layers

from keras_mobilenets.blocks.convolution import activate, channel_scale

NORM_EPSILON = 1e-6


def layer_norm(x: Any, *, epsilon: float = NORM_EPSILON, name: str) -> Any:
    """Layer normalization over the channels: each position by its own mean and deviation, called `{name}_norm`."""
    return layers.LayerNormalization(epsilon=epsilon, name=f"{name}_norm")(x)


def convnext_block(
    x: Any,
    *,
    kernel_size: int = 7,
    expansion: int = 4,
    layer_scale: float = 1e-6,
    mix: Callable[..., Any] | None = None,
    name: str,
) -> Any:
    """Depthwise convolution, layer normalization, expand 1×1, GELU, project 1×1, scale of the channels, add.

    It has one normalization and one activation (sections 2.5 and 2.6); all convolutions have biases.

    Args:
        x: Tensor (batch, height, width, channels).
        kernel_size: Side of the depthwise kernel.
        expansion: Channels between the 1×1 convolutions, as a multiple of those of `x`.
        layer_scale: First value of the learned scale of the output's channels.
        mix: In the place of the depthwise convolution, called `mix(x, kernel_size, name=...)`, such as `wavelet_conv`.
        name: Prefix of the layer names: `{name}_depthwise`, `{name}_norm`, `{name}_expand`, `{name}_expand_gelu`,
            `{name}_project`, `{name}_scale`, `{name}_add`.

    Returns:
        Tensor of the shape of `x`.
    """
    shortcut, channels = x, x.shape[-1]
    if mix is None:
        x = layers.DepthwiseConv2D(kernel_size, padding="same", name=f"{name}_depthwise")(x)
    else:
        x = mix(x, kernel_size, name=f"{name}_depthwise")
    x = layer_norm(x, name=name)
    x = layers.Conv2D(expansion * channels, 1, name=f"{name}_expand")(x)
    x = activate(x, "gelu", f"{name}_expand")
    x = layers.Conv2D(channels, 1, name=f"{name}_project")(x)
    x = channel_scale(x, layer_scale, name=f"{name}_scale")
    return layers.Add(name=f"{name}_add")([shortcut, x])
