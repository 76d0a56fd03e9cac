"""Channel shuffle and the units of ShuffleNet: Zhang et al. 2017, arXiv:1707.01083, section 3.

Channel split and the units of ShuffleNetV2: Ma et al. 2018, arXiv:1807.11164, section 3.2.
"""

from typing import Any

from keras import layers

from keras_mobilenets.blocks.convolution import activation, conv_bn, depthwise_bn
from keras_mobilenets.blocks.custom_layers import ChannelSlice, RowsToMap
from keras_mobilenets.errors import UserError


def channel_split(x: Any, *, name: str) -> tuple[Any, Any]:
    """Splits a map into the first and the second half of its channels (ShuffleNetV2, section 3.2 and figure 3).

    It is made of plain layers, which crop the channels as if they were columns; only an open input size has layers of
    the package's own.

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
    half = channels // 2
    if None in x.shape[1:]:
        first, second = ChannelSlice(0, half, name=f"{name}_first"), ChannelSlice(half, channels, name=f"{name}_second")
    else:
        first, second = (
            layers.Cropping2D(((0, 0), crop), data_format="channels_first", name=f"{name}_{part}")
            for part, crop in (("first", (0, half)), ("second", (half, 0)))
        )
    return first(x), second(x)


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


def grouped_shuffle_unit(x: Any, filters: int, groups: int, *, strides: int = 1, reduce_groups: int, name: str) -> Any:
    """The unit of ShuffleNet: 1×1 grouped convolutions around a depthwise one, which a shuffle connects (figure 2).

    The bottleneck has a quarter of the output channels. At stride 2 the shortcut is an average pooling, whose channels
    are the first of the output. As in the reference implementation (megvii-model/ShuffleNet-Series) the shuffle stands
    behind the depthwise convolution, which is the same network, and of the c channels of the bottleneck i goes to
    (i mod groups) · c/groups + i div groups: the inverse of figure 1's shuffle in so many groups.

    Args:
        x: Tensor (batch, height, width, channels).
        filters: Output channels.
        groups: Of the second 1×1 convolution.
        strides: Of the depthwise convolution.
        reduce_groups: Groups of the first 1×1 convolution: 1 in the network's first unit, else as many.
        name: Prefix of the layer names: `{name}_reduce`, `{name}_depthwise`, `{name}_shuffle_groups`, `{name}_expand`,
            `{name}_shortcut_pool`, `{name}_add`.

    Returns:
        Tensor (batch, ⌈height / strides⌉, ⌈width / strides⌉, filters).
    """
    shortcut, bottleneck = x, filters // 4
    x = conv_bn(x, bottleneck, 1, groups=reduce_groups, activation="relu", name=f"{name}_reduce")
    x = depthwise_bn(x, strides=strides, activation=None, name=f"{name}_depthwise")
    if groups > 1:
        x = channel_shuffle(x, bottleneck // groups, name=f"{name}_shuffle")
    if strides == 1:
        x = conv_bn(x, filters, 1, groups=groups, activation=None, name=f"{name}_expand")
        x = layers.Add(name=f"{name}_add")([shortcut, x])
        return activation(x, "relu", name)
    new = filters - shortcut.shape[-1]
    x = conv_bn(x, new, 1, groups=groups, activation="relu", name=f"{name}_expand")
    shortcut = layers.ZeroPadding2D(1, name=f"{name}_shortcut_pad")(shortcut)  # averages of the zeros too
    shortcut = layers.AveragePooling2D(3, strides=strides, name=f"{name}_shortcut_pool")(shortcut)
    return layers.Concatenate(name=f"{name}_concat")([shortcut, x])


def split_shuffle_unit(
    x: Any, filters: int, *, strides: int = 1, shortcut_filters: int | None = None, by_turns: bool = False, name: str
) -> Any:
    """The unit of ShuffleNetV2: half of the channels pass a 1×1, a depthwise and a 1×1 convolution (figure 3 (c), (d)).

    The other half is passed on; at stride 2 both branches read all channels, and the shortcut is a depthwise and a 1×1
    convolution. A shuffle of two groups mixes the halves.

    Args:
        x: Tensor (batch, height, width, channels), at stride 1 with as many channels as `filters`.
        filters: Output channels, an even number.
        strides: Of the depthwise convolutions.
        shortcut_filters: Output channels of the shortcut at stride 2; half of all when not given.
        by_turns: Whether every second channel is passed on, and the channels of the output stand as they were joined.
            It is the same network in another order of channels, if the shortcut has half of them.
        name: Prefix of the layer names: `{name}_split_first`, `{name}_shortcut_depthwise`, `{name}_shortcut`,
            `{name}_conv_1`, `{name}_depthwise`, `{name}_conv_2`, `{name}_shuffle_groups`.

    Returns:
        Tensor (batch, ⌈height / strides⌉, ⌈width / strides⌉, filters).
    """
    half = filters // 2
    if strides == 1:
        x = channel_shuffle(x, half, name=f"{name}_shuffle") if by_turns else x
        shortcut, x = channel_split(x, name=f"{name}_split")
    else:
        shortcut = depthwise_bn(x, strides=strides, activation=None, name=f"{name}_shortcut_depthwise")
        shortcut = conv_bn(shortcut, shortcut_filters or half, 1, activation="relu", name=f"{name}_shortcut")
    x = conv_bn(x, half, 1, activation="relu", name=f"{name}_conv_1")
    x = depthwise_bn(x, strides=strides, activation=None, name=f"{name}_depthwise")
    x = conv_bn(x, filters - shortcut.shape[-1], 1, activation="relu", name=f"{name}_conv_2")
    x = layers.Concatenate(name=f"{name}_concat")([shortcut, x])
    return x if by_turns else channel_shuffle(x, 2, name=f"{name}_shuffle")
