"""Convolutions of parallel branches, which `reparameterized` makes one of after training.

Vasu et al. 2022, arXiv:2206.04040 (MobileOne), section 3.2; Wang et al. 2023, arXiv:2307.09283 (RepViT), section 3.2.
"""

import math
from collections.abc import Callable
from typing import Any

from keras import initializers, layers

from keras_mobilenets.blocks.convolution import activation as activate
from keras_mobilenets.blocks.convolution import batch_norm, conv_bn, depthwise_bn
from keras_mobilenets.blocks.squeeze_excitation import squeeze_excite

# Mean over deviation of a rectified normal variable: normalized and moved by it, most of it is as it was.
RECTIFIED_MEAN = 1 / math.sqrt(math.pi - 1)
SMALL = 0.2  # first factor of convolutions beside an identity that a block begins as


def branched_conv(
    x: Any,
    filters: int | None,
    kernel_size: int | tuple[int, int] = 3,
    *,
    strides: int = 1,
    branches: int = 1,
    multiplier: int = 1,
    activation: str | None = "relu",
    excite: Callable[..., Any] | None = None,
    begins_as_identity: bool = False,
    name: str,
) -> Any:
    """MobileOne's block: parallel convolutions, one of 1×1 and the identity, each with batch normalization, added.

    The 1×1 convolution stands beside kernels of several rows only, the identity where shapes allow (figure 3).

    Args:
        x: Tensor (batch, height, width, channels).
        filters: Output channels; None for a depthwise convolution.
        kernel_size: Side of the square kernel; of a depthwise convolution also its height and width.
        strides: 1, or 2 to halve height and width.
        branches: Number of parallel convolutions of that kernel (the paper's k).
        multiplier: Kernels for each channel of a depthwise convolution.
        activation: After the sum; None keeps it linear.
        begins_as_identity: Whether, before training, a sum with an identity nearly is its input, if that was rectified:
            the identity gets back the mean that its normalization takes, and the convolutions begin small. Dozens of
            such blocks in a row learn in hundreds of steps, where factors of one and offsets of zero learn nothing.
        excite: Applied to the sum as `excite(x, name=name)`, such as a partial `squeeze_excite`.
        name: Of the sum; prefix of the branches `{name}_branch_0`, …, `{name}_point` and `{name}_identity_bn`. A sum of
            one branch is that branch.

    Returns:
        Tensor (batch, ⌈height / strides⌉, ⌈width / strides⌉, filters).
    """

    has_identity = strides == 1 and multiplier == 1 and filters in (None, x.shape[-1])
    small = initializers.Constant(SMALL) if has_identity and begins_as_identity else "ones"
    offset = initializers.Constant(RECTIFIED_MEAN) if begins_as_identity else "zeros"

    def convolved(side: Any, label: str) -> Any:
        settings: dict[str, Any] = {"strides": strides, "activation": None, "gamma": small, "name": f"{name}_{label}"}
        if filters is None:
            return depthwise_bn(x, side, multiplier=multiplier, **settings)
        return conv_bn(x, filters, side, **settings)

    rows = kernel_size if isinstance(kernel_size, int) else kernel_size[0]
    parts = [convolved(kernel_size, f"branch_{index}") for index in range(branches)]
    parts += [convolved(1, "point")] if rows > 1 else []
    if has_identity:
        parts.append(batch_norm(x, f"{name}_identity", beta=offset))
    x = layers.Add(name=name)(parts) if len(parts) > 1 else parts[0]
    x = x if excite is None else excite(x, name=name)
    return activate(x, activation, name)


def repvit_block(
    x: Any,
    expansion: float = 2,
    *,
    kernel_size: int = 3,
    squeeze: int = 0,
    activation: str = "gelu",
    normalizes_sum: bool = True,
    name: str,
) -> Any:
    """RepViT's block: depthwise branches mix places, squeeze-and-excite, then two 1×1 convolutions mix channels.

    The sum of a depthwise convolution, a depthwise 1×1 with bias and the identity is normalized; all of it is one
    depthwise convolution after training (figure 3). The channel mixer is residual.

    Args:
        x: Tensor (batch, height, width, channels).
        expansion: Channels between the 1×1 convolutions, as a multiple of the input channels.
        kernel_size: Side of the depthwise kernel.
        squeeze: Channels of the squeeze-and-excite; 0 for none.
        activation: Between the 1×1 convolutions.
        normalizes_sum: Whether the sum is normalized; else the 1×1 branch is, as in the paper's first version.
        name: Prefix of the layer names: `{name}_depthwise` is the sum, of `{name}_depthwise_branch_0`,
            `{name}_depthwise_point` and the input; `{name}_expand`, `{name}_project`, `{name}_add`.

    Returns:
        Tensor of the shape of `x`.
    """
    mixer = f"{name}_depthwise"
    branch = depthwise_bn(x, kernel_size, activation=None, name=f"{mixer}_branch_0")
    if normalizes_sum:
        point = layers.DepthwiseConv2D(1, name=f"{mixer}_point")(x)
    else:
        point = depthwise_bn(x, 1, activation=None, name=f"{mixer}_point")
    x = layers.Add(name=mixer)([branch, point, x])
    x = batch_norm(x, mixer) if normalizes_sum else x
    if squeeze:
        x = squeeze_excite(x, squeeze, gate="sigmoid", name=name)
    return channel_mixer(x, expansion, activation=activation, name=name)


def channel_mixer(x: Any, expansion: float, *, activation: str = "gelu", name: str) -> Any:
    """Residual feed-forward network of two 1×1 convolutions (RepViT, figure 3).

    Args:
        x: Tensor (batch, height, width, channels).
        expansion: Channels between the convolutions, as a multiple of the input channels.
        activation: Between them.
        name: Prefix of the layer names: `{name}_expand`, `{name}_project`, `{name}_add`.

    Returns:
        Tensor of the shape of `x`.
    """
    channels = x.shape[-1]
    y = conv_bn(x, round(expansion * channels), 1, activation=activation, name=f"{name}_expand")
    y = conv_bn(y, channels, 1, activation=None, name=f"{name}_project")
    return layers.Add(name=f"{name}_add")([x, y])
