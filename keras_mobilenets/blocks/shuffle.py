"""Channel shuffle: Zhang et al. 2017, arXiv:1707.01083 (ShuffleNet), section 3.1.

Channel split: Ma et al. 2018, arXiv:1807.11164 (ShuffleNetV2), section 3.2.
"""

from typing import Any

from keras import layers

from keras_mobilenets.blocks.custom_layers import ChannelSlice, RowsToMap
from keras_mobilenets.errors import UserError


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
