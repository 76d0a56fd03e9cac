"""The building blocks of the mobile families, as functions `x = block(x, ..., name=...)` on Keras tensors.

Depthwise separable convolution: Howard et al. 2017, arXiv:1704.04861 (MobileNetV1), section 3.1.
Inverted residual with linear bottleneck: Sandler et al. 2018, arXiv:1801.04381 (MobileNetV2), section 3.
Squeeze-and-excite: Hu et al. 2018, arXiv:1709.01507, section 3.
Fused inverted residual: Tan & Le 2021, arXiv:2104.00298 (EfficientNetV2), section 3.2.
Universal inverted bottleneck, multi-query attention: Qin et al. 2024, arXiv:2404.10518 (MobileNetV4), sections 3 and 4.
Channel shuffle: Zhang et al. 2017, arXiv:1707.01083 (ShuffleNet), section 3.1.
Channel split: Ma et al. 2018, arXiv:1807.11164 (ShuffleNetV2), section 3.2.

Every block names its layers from its own name: `block_3_expand`, `block_3_expand_bn`, `block_3_expand_relu6`.
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import initializers, layers

from keras_mobilenets.errors import UserError

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
    conv = layers.Conv2D(
        filters, kernel_size, strides=strides, padding="same", groups=groups, use_bias=False, name=name
    )
    return _activate(batch_norm(conv(x), name), activation, name)


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


def multi_query_attention(
    x: Any, heads: int, key_dim: int, *, kv_strides: int = 1, layer_scale: float = 1e-5, name: str
) -> Any:
    """Mobile multi-query attention: every position looks at all others, the heads share one key and one value.

    It is made of plain layers, which every exporter knows; only an open input size needs a layer of the package's own.

    Args:
        x: Tensor (batch, height, width, channels).
        heads: Number of heads.
        key_dim: Channels of a head's query, of the key and of the value.
        kv_strides: 2 halves height and width of key and value by a depthwise 3×3 convolution.
        layer_scale: First value of the learned scale of the output's channels.
        name: Prefix of the layer names: `{name}_input_bn`, `{name}_query`, `{name}_key_depthwise`, `{name}_key`,
            `{name}_value_depthwise`, `{name}_value`, `{name}_scores`, `{name}_attended`, `{name}_project`,
            `{name}_scale`, `{name}_add`.

    Returns:
        Tensor of the shape of `x`.
    """
    _, height, width, channels = x.shape
    normal = batch_norm(x, f"{name}_input")
    query = layers.Conv2D(heads * key_dim, 1, use_bias=False, name=f"{name}_query")(normal)
    query_map = layers.Rescaling(key_dim**-0.5, name=f"{name}_query_rescale")(query)
    query = layers.Reshape((-1, key_dim), name=f"{name}_query_rows")(query_map)
    key, value = (_shared_head(normal, key_dim, kv_strides, f"{name}_{role}") for role in ("key", "value"))
    weights = layers.Dot(axes=2, name=f"{name}_scores")([query, key])
    weights = layers.Softmax(name=f"{name}_softmax")(weights)
    attended = layers.Dot(axes=(2, 1), name=f"{name}_attended")([weights, value])
    if None in (height, width):
        attended = RowsToMap(name=f"{name}_attended_map")(attended, query_map)
    else:
        attended = layers.Reshape((height, width, heads * key_dim), name=f"{name}_attended_map")(attended)
    attended = layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_project")(attended)
    return layers.Add(name=f"{name}_add")([x, channel_scale(attended, layer_scale, name=f"{name}_scale")])


@keras.saving.register_keras_serializable("keras_mobilenets")
class RowsToMap(layers.Layer):
    """Gives rows (batch, positions · n, channels / n) the shape of a map (batch, height, width, channels)."""

    def call(self, rows: Any, like: Any) -> Any:
        """Reshapes `rows` to the shape of the tensor `like`."""
        return keras.ops.reshape(rows, keras.ops.shape(like))

    def compute_output_shape(self, rows_shape: Any, like_shape: Any) -> Any:
        """The shape of the second tensor."""
        return like_shape


def channel_scale(x: Any, initial: float, *, name: str) -> Any:
    """Multiplies every channel by a learned number: a depthwise 1×1 convolution, as a plain layer.

    Args:
        x: Tensor (batch, height, width, channels).
        initial: First value of all the numbers; 1e-5 lets a deep residual network start as the identity.
        name: Name of the layer.
    """
    constant = initializers.Constant(initial)
    return layers.DepthwiseConv2D(1, use_bias=False, depthwise_initializer=constant, name=name)(x)


def channel_split(x: Any, *, name: str) -> tuple[Any, Any]:
    """Splits a map into the first and the second half of its channels (ShuffleNetV2, section 3.2 and figure 3).

    Args:
        x: Tensor (batch, height, width, channels) of an even number of channels.
        name: Prefix of the layer names: `{name}_first`, `{name}_second`.

    Returns:
        Two tensors (batch, height, width, channels / 2).

    Raises:
        UserError: The number of channels is odd.
    """
    channels = x.shape[-1]
    if channels % 2:
        raise UserError(f"{name}: {channels} channels cannot be split in halves; give an even number of channels")
    first = ChannelSlice(0, channels // 2, name=f"{name}_first")(x)
    return first, ChannelSlice(channels // 2, channels, name=f"{name}_second")(x)


@keras.saving.register_keras_serializable("keras_mobilenets")
class ChannelSlice(layers.Layer):
    """The channels from `start` up to, but not including, `stop` of a tensor (batch, ..., channels)."""

    def __init__(self, start: int, stop: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.start, self.stop = start, stop

    def call(self, x: Any) -> Any:
        """Slices the last axis."""
        return x[..., self.start : self.stop]

    def compute_output_shape(self, shape: Any) -> Any:
        """As the input's, with fewer channels."""
        return (*shape[:-1], self.stop - self.start)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again."""
        return super().get_config() | {"start": self.start, "stop": self.stop}


def channel_shuffle(x: Any, groups: int, *, name: str) -> Any:
    """Mixes channel groups: of c channels, input channel i goes to (i mod c/groups) · groups + i div c/groups.

    So every group of the next grouped convolution sees all groups of the one before (ShuffleNet, section 3.1 and
    figure 1). It is made of plain layers; only an open input size needs a layer of the package's own.

    Args:
        x: Tensor (batch, height, width, channels).
        groups: Number of groups, a divisor of the channels.
        name: Prefix of the layer names: `{name}_groups`, `{name}_transpose`, `{name}_map`.

    Returns:
        Tensor of the shape of `x`.

    Raises:
        UserError: The channels cannot be divided into so many groups.
    """
    _, height, width, channels = x.shape
    if groups < 1 or channels % groups:
        raise UserError(f"{name}: {channels} channels cannot be shuffled in {groups} groups; give a divisor of them")
    shuffled = layers.Reshape((-1, groups, channels // groups), name=f"{name}_groups")(x)
    shuffled = layers.Permute((1, 3, 2), name=f"{name}_transpose")(shuffled)
    if None in (height, width):
        return RowsToMap(name=f"{name}_map")(shuffled, x)
    return layers.Reshape((height, width, channels), name=f"{name}_map")(shuffled)


def _shared_head(x: Any, key_dim: int, strides: int, name: str) -> Any:
    """The key or the value: (batch, positions, key_dim)."""
    if strides > 1:
        x = depthwise_bn(x, strides=strides, activation=None, name=f"{name}_depthwise")
    x = layers.Conv2D(key_dim, 1, use_bias=False, name=name)(x)
    return layers.Reshape((-1, key_dim), name=f"{name}_rows")(x)


def _residual(shortcut: Any, x: Any, strides: int, name: str) -> Any:
    """Adds the input of a block to its output where their shapes are equal."""
    if strides == 1 and shortcut.shape[-1] == x.shape[-1]:
        return layers.Add(name=f"{name}_add")([shortcut, x])
    return x


_activate = activation  # inside the blocks `activation` is the argument
