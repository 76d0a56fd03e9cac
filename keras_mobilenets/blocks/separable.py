"""Depthwise separable convolution: Howard et al. 2017, arXiv:1704.04861 (MobileNetV1), section 3.1.

Without anything between its two convolutions: Chollet 2016, arXiv:1610.02357 (Xception), section 4.7.
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
