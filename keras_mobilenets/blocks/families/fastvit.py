"""The blocks of FastViT: Vasu et al. 2023, arXiv:2303.14189, section 3 and figure 2.

Their mixers of positions are sums of linear branches, which `reparameterized` makes one depthwise convolution of.
"""

from collections.abc import Callable
from typing import Any

from keras import layers

from keras_mobilenets.blocks.attention import multi_head_attention
from keras_mobilenets.blocks.branches import branched_conv
from keras_mobilenets.blocks.convolution import activate, batch_norm, channel_scale, depthwise_bn

Kernel = int | tuple[int, int]


def repmixer_block(
    x: Any,
    expansion: float = 4,
    *,
    kernel_size: Kernel = 3,
    mlp_kernel_size: Kernel = 7,
    layer_scale: float = 1e-5,
    name: str,
) -> Any:
    """FastViT's block: a depthwise convolution of branches mixes positions, then a convolutional feed-forward network.

    The mixer is x + scale · (branches of x − normalization of x), all of it linear (section 3.1).

    Args:
        x: Tensor (batch, height, width, channels).
        expansion: Channels inside the feed-forward network, as a multiple of those of `x`.
        kernel_size: Side of the mixer's kernel, or its height and width.
        mlp_kernel_size: The same of the depthwise convolution in the feed-forward network.
        layer_scale: First value of the learned scales of both outputs' channels.
        name: Prefix of the layer names: `{name}_mixer` is the sum of the branches, `{name}_mixer_norm_bn`,
            `{name}_mixer_scale`, `{name}_mixer_add`, and what `convolutional_mlp` has.

    Returns:
        Tensor of the shape of `x`.
    """
    mixed = branched_conv(x, None, kernel_size, activation=None, name=f"{name}_mixer")
    mixed = layers.Subtract(name=f"{name}_mixer_subtract")([mixed, batch_norm(x, f"{name}_mixer_norm")])
    mixed = channel_scale(mixed, layer_scale, name=f"{name}_mixer_scale")
    x = layers.Add(name=f"{name}_mixer_add")([x, mixed])
    return convolutional_mlp(x, expansion, kernel_size=mlp_kernel_size, layer_scale=layer_scale, name=name)


def convolutional_attention_block(
    x: Any, expansion: float = 4, *, head_dim: int = 32, layer_scale: float = 1e-5, name: str
) -> Any:
    """FastViT's block of the last stage: attention between all positions in the place of the mixer (section 3.3).

    Args:
        x: Tensor (batch, height, width, channels) of known height and width.
        expansion: Channels inside the feed-forward network, as a multiple of those of `x`.
        head_dim: Channels of a head, a divisor of those of `x`.
        layer_scale: First value of the learned scales of both outputs' channels.
        name: Prefix of the layer names: `{name}_attention_bn`, `{name}_query` and what else `multi_head_attention` has,
            `{name}_attention_scale`, `{name}_attention_add`, and what `convolutional_mlp` has.

    Returns:
        Tensor of the shape of `x`.
    """
    normal = batch_norm(x, f"{name}_attention")
    heads = x.shape[-1] // head_dim
    attended = multi_head_attention(normal, heads, head_dim, whole_map=True, use_bias=False, name=name)
    attended = channel_scale(attended, layer_scale, name=f"{name}_attention_scale")
    x = layers.Add(name=f"{name}_attention_add")([x, attended])
    return convolutional_mlp(x, expansion, layer_scale=layer_scale, name=name)


def convolutional_mlp(x: Any, expansion: float, *, kernel_size: Kernel = 7, layer_scale: float, name: str) -> Any:
    """Residual feed-forward network: a depthwise convolution, then two 1×1 convolutions with GELU (section 3.2.2).

    Args:
        x: Tensor (batch, height, width, channels).
        expansion: Channels between the 1×1 convolutions, as a multiple of those of `x`.
        kernel_size: Side of the depthwise kernel, or its height and width.
        layer_scale: First value of the learned scale of the output's channels.
        name: Prefix of the layer names: `{name}_depthwise`, `{name}_expand`, `{name}_reduce`, `{name}_scale`,
            `{name}_add`.

    Returns:
        Tensor of the shape of `x`.
    """
    channels = x.shape[-1]
    y = depthwise_bn(x, kernel_size, activation=None, name=f"{name}_depthwise")
    y = layers.Conv2D(int(expansion * channels), 1, name=f"{name}_expand")(y)
    y = activate(y, "gelu", f"{name}_expand")
    y = layers.Conv2D(channels, 1, name=f"{name}_reduce")(y)
    return layers.Add(name=f"{name}_add")([x, channel_scale(y, layer_scale, name=f"{name}_scale")])


def large_kernel_downsample(
    x: Any,
    multiplier: int = 2,
    *,
    excite: Callable[..., Any] | None = None,
    activation: str | None = None,
    name: str,
) -> Any:
    """Halves the image: depthwise kernels of 7×7 and 3×3, added, then a 1×1 convolution of branches (section 3.2.1).

    Args:
        x: Tensor (batch, height, width, channels).
        multiplier: Output channels, as a multiple of the input channels.
        excite: Applied to the sum as `excite(x, name=name)`, such as a partial `squeeze_excite`.
        activation: Between the depthwise and the 1×1 convolution; None for none.
        name: Of the sum; prefix of `{name}_large`, `{name}_small` and `{name}_pointwise`.

    Returns:
        Tensor (batch, ⌈height / 2⌉, ⌈width / 2⌉, multiplier · channels).
    """
    settings: dict[str, Any] = {"strides": 2, "multiplier": multiplier, "activation": None}
    kernels = ((7, "large"), (3, "small"))
    parts = [depthwise_bn(x, side, **settings, name=f"{name}_{role}") for side, role in kernels]
    x = layers.Add(name=name)(parts)
    x = x if excite is None else excite(x, name=name)
    x = activate(x, activation, name)
    return branched_conv(x, x.shape[-1], 1, activation="gelu", name=f"{name}_pointwise")


def conditional_position_encoding(x: Any, *, kernel_size: int = 7, name: str) -> Any:
    """Adds to each position what a depthwise convolution of its neighbours says: Chu et al. 2021, arXiv:2102.10882.

    Args:
        x: Tensor (batch, height, width, channels).
        kernel_size: Side of the kernel.
        name: Of the convolution; the sum is `{name}_add`.

    Returns:
        Tensor of the shape of `x`.
    """
    encoding = layers.DepthwiseConv2D(kernel_size, padding="same", name=name)(x)
    return layers.Add(name=f"{name}_add")([x, encoding])
