"""The building blocks of the mobile families, as functions `x = block(x, ..., name=...)` on Keras tensors.

Depthwise separable convolution: Howard et al. 2017, arXiv:1704.04861 (MobileNetV1), section 3.1.
Inverted residual with linear bottleneck: Sandler et al. 2018, arXiv:1801.04381 (MobileNetV2), section 3.
Squeeze-and-excite: Hu et al. 2018, arXiv:1709.01507, section 3.
Fused inverted residual: Tan & Le 2021, arXiv:2104.00298 (EfficientNetV2), section 3.2.

Every block names its layers from its own name: `block_3_expand`, `block_3_expand_bn`, `block_3_expand_relu6`.
"""

from collections.abc import Callable
from typing import Any

from keras import layers

# The running mean and variance must catch up within a short training: with keras.applications' 0.999 a MobileNetV2
# trained for 15 epochs on 1,437 images tests at 8%, with 0.9 at 92%. Long recipes raise it (Recipe.bn_momentum).
BN_MOMENTUM = 0.9
BN_EPSILON = 1e-3


def make_divisible(value: float, divisor: int = 8, minimum: int | None = None) -> int:
    """Rounds a channel count to a multiple of `divisor`, never more than 10% below `value`.

    Args:
        value: Channels after the width multiplier, any positive number.
        divisor: What hardware likes channel counts to be a multiple of.
        minimum: The least result; `divisor` when not given.

    Source: the reference implementation of MobileNetV2 (`_make_divisible`).
    """
    rounded = max(minimum or divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def scaled(filters: int, alpha: float) -> int:
    """Channels times the width multiplier, rounded down as in the reference implementation of MobileNetV1."""
    return max(1, int(filters * alpha))


def activation(x: Any, kind: str | None, name: str) -> Any:
    """Applies an activation as a layer of its own, called `{name}_{kind}`.

    Args:
        x: Any tensor.
        kind: "relu6", any name that `keras.layers.Activation` knows, or None for a linear output.
        name: Name of the layer that is activated.
    """
    if kind is None:
        return x
    if kind == "relu6":
        return layers.ReLU(6.0, name=f"{name}_relu6")(x)
    return layers.Activation(kind, name=f"{name}_{kind}")(x)


def batch_norm(x: Any, name: str) -> Any:
    """Batch normalization over the channels, called `{name}_bn`."""
    return layers.BatchNormalization(momentum=BN_MOMENTUM, epsilon=BN_EPSILON, name=f"{name}_bn")(x)


def conv_bn(
    x: Any,
    filters: int,
    kernel_size: int = 3,
    *,
    strides: int = 1,
    groups: int = 1,
    activation: str | None = "relu6",
    name: str,
) -> Any:
    """Standard convolution without bias, batch normalization, activation.

    Args:
        x: Tensor (batch, height, width, channels).
        filters: Output channels.
        kernel_size: Side of the square kernel; 1 is a pointwise convolution.
        strides: 1, or 2 to halve height and width (rounded up).
        groups: Channel groups that are convolved apart.
        activation: As in `activation`; None keeps the output linear.
        name: Name of the convolution layer.

    Returns:
        Tensor (batch, ⌈height / strides⌉, ⌈width / strides⌉, filters).
    """
    x = layers.Conv2D(filters, kernel_size, strides=strides, padding="same", groups=groups, use_bias=False, name=name)(
        x
    )
    return _activate(batch_norm(x, name), activation, name)


def depthwise_bn(
    x: Any,
    kernel_size: int = 3,
    *,
    strides: int = 1,
    padding: str = "same",
    activation: str | None = "relu6",
    name: str,
) -> Any:
    """Depthwise convolution (one kernel a channel, no bias), batch normalization, activation.

    Args:
        x: Tensor (batch, height, width, channels).
        kernel_size: Side of the square kernel.
        strides: 1, or 2 to halve height and width.
        padding: "same" or "valid".
        activation: As in `activation`; None keeps the output linear.
        name: Name of the convolution layer.

    Returns:
        Tensor with as many channels as `x`.
    """
    x = layers.DepthwiseConv2D(kernel_size, strides=strides, padding=padding, use_bias=False, name=name)(x)
    return _activate(batch_norm(x, name), activation, name)


def depthwise_separable(
    x: Any,
    filters: int,
    *,
    kernel_size: int = 3,
    strides: int = 1,
    padding: str = "same",
    activation: str | None = "relu6",
    name: str,
) -> Any:
    """Depthwise separable convolution: a depthwise then a pointwise convolution, each with BN and activation.

    Costs 1/filters + 1/kernel_size² of the standard convolution in its place (MobileNetV1, section 3.1).

    Args:
        x: Tensor (batch, height, width, channels).
        filters: Output channels of the pointwise convolution.
        kernel_size: Side of the depthwise kernel.
        strides: Of the depthwise convolution.
        padding: Of the depthwise convolution.
        activation: After both convolutions.
        name: Prefix of the layer names: `{name}_depthwise`, `{name}_pointwise`.

    Returns:
        Tensor (batch, ⌈height / strides⌉, ⌈width / strides⌉, filters).
    """
    x = depthwise_bn(x, kernel_size, strides=strides, padding=padding, activation=activation, name=f"{name}_depthwise")
    return conv_bn(x, filters, 1, activation=activation, name=f"{name}_pointwise")


def inverted_residual(
    x: Any,
    filters: int,
    expansion: float,
    *,
    kernel_size: int = 3,
    strides: int = 1,
    activation: str | None = "relu6",
    excite: Callable[..., Any] | None = None,
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
        name: Prefix of the layer names: `{name}_expand`, `{name}_depthwise`, `{name}_project`, `{name}_add`.

    Returns:
        Tensor (batch, ⌈height / strides⌉, ⌈width / strides⌉, filters).
    """
    shortcut, channels = x, x.shape[-1]
    if expansion != 1:
        x = conv_bn(x, round(expansion * channels), 1, activation=activation, name=f"{name}_expand")
    x = depthwise_bn(x, kernel_size, strides=strides, activation=activation, name=f"{name}_depthwise")
    if excite is not None:
        x = excite(x, name=name)
    x = conv_bn(x, filters, 1, activation=None, name=f"{name}_project")
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


def squeeze_excite(x: Any, reduced: int, *, activation: str = "relu", gate: str = "hard_sigmoid", name: str) -> Any:
    """Squeeze-and-excite: weighs every channel by what the whole image says of it.

    Args:
        x: Tensor (batch, height, width, channels).
        reduced: Channels between the two 1×1 convolutions, which have biases.
        activation: Between them.
        gate: Makes the weights: "hard_sigmoid" is ReLU6(x + 3) / 6 (MobileNetV3, section 5.2), or "sigmoid".
        name: Prefix of the layer names: `{name}_se_pool`, `{name}_se_reduce`, `{name}_se_expand`, `{name}_se_scale`.

    Returns:
        Tensor of the shape of `x`.
    """
    weights = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_se_pool")(x)
    weights = layers.Conv2D(reduced, 1, name=f"{name}_se_reduce")(weights)
    weights = _activate(weights, activation, f"{name}_se_reduce")
    weights = layers.Conv2D(x.shape[-1], 1, name=f"{name}_se_expand")(weights)
    weights = _activate(weights, gate, f"{name}_se_expand")
    return layers.Multiply(name=f"{name}_se_scale")([x, weights])


def _residual(shortcut: Any, x: Any, strides: int, name: str) -> Any:
    """Adds the input of a block to its output where their shapes are equal."""
    if strides == 1 and shortcut.shape[-1] == x.shape[-1]:
        return layers.Add(name=f"{name}_add")([shortcut, x])
    return x


_activate = activation  # inside the blocks `activation` is the argument
