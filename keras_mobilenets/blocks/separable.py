"""Depthwise separable convolution: Howard et al. 2017, arXiv:1704.04861 (MobileNetV1), section 3.1.

Without anything between its two convolutions: Chollet 2016, arXiv:1610.02357 (Xception), section 4.7.
Over time, causal and dilated: as in Yuan et al. 2019, arXiv:1808.05163 (NextItNet), section 3.2, but separable.
"""

from typing import Any

from keras import layers

from keras_mobilenets.blocks.convolution import conv_bn, depthwise_bn


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


def separable_bn(
    x: Any,
    filters: int,
    kernel_size: int = 3,
    *,
    strides: int = 1,
    activation: str | None = None,
    name: str,
) -> Any:
    """Xception's separable convolution: depthwise and pointwise with nothing between them, then BN and activation.

    It is a layer SeparableConv2D of Keras as two layers, each of which has its own place in an int8 graph.

    Args:
        x: Tensor (batch, height, width, channels).
        filters: Output channels of the pointwise convolution.
        kernel_size: Side of the depthwise kernel.
        strides: Of the depthwise convolution.
        activation: After the pointwise convolution; None keeps the output linear.
        name: Prefix of the layer names: `{name}_depthwise`, `{name}_pointwise`.

    Returns:
        Tensor (batch, ⌈height / strides⌉, ⌈width / strides⌉, filters).
    """
    x = layers.DepthwiseConv2D(kernel_size, strides=strides, padding="same", use_bias=False, name=f"{name}_depthwise")(
        x
    )
    return conv_bn(x, filters, 1, activation=activation, name=f"{name}_pointwise")


def separable_conv1d(
    x: Any,
    filters: int,
    kernel_size: int = 3,
    *,
    dilation: int = 1,
    activation: str | None = "relu",
    name: str,
) -> Any:
    """Causal separable convolution over time: depthwise, dilated, then pointwise, each with BN and activation.

    A step sees itself and steps before it alone: (kernel_size − 1) · dilation of them, zeros before the first one.
    The layers are two-dimensional with kernels of width 1, which TFLite has an int8 operator for.

    Args:
        x: Tensor (batch, time, channels), or (batch, time, 1, channels), as which such blocks follow each other without
            a change of axes between them.
        filters: Output channels of the pointwise convolution.
        kernel_size: Steps that the depthwise kernel reads.
        dilation: Distance between these steps.
        activation: After both convolutions.
        name: Prefix of the layer names: `{name}_depthwise`, `{name}_pointwise`.

    Returns:
        Tensor of the axes of `x` with `filters` channels.
    """
    shape = tuple(x.shape)
    if len(shape) == 3:
        x = layers.Reshape((*_open(shape[1:2]), 1, shape[2]), name=f"{name}_map")(x)
    before = (kernel_size - 1) * dilation
    x = layers.ZeroPadding2D(((before, 0), (0, 0)), name=f"{name}_pad")(x)
    kernel = (kernel_size, 1)
    x = depthwise_bn(
        x, kernel, padding="valid", dilation=(dilation, 1), activation=activation, name=f"{name}_depthwise"
    )
    x = conv_bn(x, filters, 1, activation=activation, name=f"{name}_pointwise")
    return x if len(shape) == 4 else layers.Reshape((*_open(shape[1:2]), filters), name=f"{name}_steps")(x)


def _open(sizes: Any) -> list[int]:
    """Sizes as `Reshape` takes them: −1 for one that is open."""
    return [-1 if size is None else size for size in sizes]
