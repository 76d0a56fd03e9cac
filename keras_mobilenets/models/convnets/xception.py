"""Xception: Chollet 2016, "Xception: Deep Learning with Depthwise Separable Convolutions", arXiv:1610.02357.

The activation stands before a separable convolution, not between its depthwise and its pointwise part (section 4.7).
"""

from typing import Any, NamedTuple

from keras import layers

from keras_mobilenets import blocks
from keras_mobilenets.blocks import make_divisible
from keras_mobilenets.models.builder import builder


class Block(NamedTuple):
    """A box of figure 5: separable convolutions, and whether a max-pooling halves the image."""

    filters: tuple[int, ...]
    halved: bool


# Figure 5, the entry flow: two convolutions, of which the first has strides 2, without padding.
STEM_FILTERS = (32, 64)
BLOCKS = (
    Block((128, 128), True),
    Block((256, 256), True),
    Block((728, 728), True),
    *(Block((728, 728, 728), False),) * 8,  # the middle flow
    Block((728, 1024), True),  # the exit flow
)
HEAD_FILTERS = (1536, 2048)


@builder(default_size=299, dropout_rate=0.5)
def Xception(x: Any, *, stem_strides: int, alpha: float = 1.0) -> Any:
    """Builds Xception (figure 5). Widths times alpha are rounded to multiples of 8, as in the MobileNets."""
    first, second = (make_divisible(filters * alpha) for filters in STEM_FILTERS)
    x = blocks.conv_bn(x, first, strides=stem_strides, padding="valid", activation="relu", name="stem")
    x = blocks.conv_bn(x, second, padding="valid", activation="relu", name="stem_2")
    for index, block in enumerate(BLOCKS):
        x = _block(x, [make_divisible(filters * alpha) for filters in block.filters], block.halved, index)
    for index, filters in enumerate(HEAD_FILTERS):
        x = blocks.separable_bn(x, make_divisible(filters * alpha), activation="relu", name=f"head_{index + 1}")
    return x


def _block(x: Any, filters: list[int], halved: bool, index: int) -> Any:
    """Separable convolutions with the activation in front (the stem has already activated the first block's input)."""
    shortcut, name = x, f"block_{index}"
    for number, count in enumerate(filters, 1):
        if index or number > 1:
            x = blocks.activation(x, "relu", f"{name}_input" if number == 1 else f"{name}_conv_{number - 1}")
        x = blocks.separable_bn(x, count, name=f"{name}_conv_{number}")
    if halved:
        x = layers.MaxPooling2D(3, strides=2, padding="same", name=f"{name}_pool")(x)
        shortcut = blocks.conv_bn(shortcut, filters[-1], 1, strides=2, activation=None, name=f"{name}_shortcut")
    return layers.Add(name=f"{name}_add")([x, shortcut])
