"""MobileViT: Mehta & Rastegari 2021, "MobileViT: Light-weight, General-purpose, and Mobile-friendly Vision
Transformer", arXiv:2110.02178.
"""

from functools import partial
from typing import Any, NamedTuple

from keras_mobilenets import blocks
from keras_mobilenets.blocks import make_divisible
from keras_mobilenets.models.builder import Builder, builder


class Variant(NamedTuple):
    """A column of table 4.

    Attributes:
        filters: Output channels of the five stages.
        channels: Of the transformers in the last three.
        expansion: Of the inverted residuals.
        head_filters: Of the 1×1 convolution at the end.
    """

    filters: tuple[int, ...]
    channels: tuple[int, ...]
    expansion: int
    head_filters: int


STEM_FILTERS = 16
VARIANTS = {
    "XXS": Variant((16, 24, 48, 64, 80), (64, 80, 96), 2, 320),
    "XS": Variant((32, 48, 64, 80, 96), (96, 120, 144), 4, 384),
    "S": Variant((32, 64, 96, 128, 160), (144, 192, 240), 4, 640),
}
# Table 4: inverted residuals in each stage, stride of the first.
REPEATS = ((1, 1), (3, 2), (1, 2), (1, 2), (1, 2))
# Transformers (L) in each of the last three stages.
DEPTHS = (2, 4, 3)


def _builder(variant: str) -> Builder:
    """The public builder of a variant of `VARIANTS`."""
    table = VARIANTS[variant]

    def body(x: Any, *, stem_strides: int, alpha: float = 1.0) -> Any:
        conv_bn = partial(blocks.conv_bn, activation="silu")
        x = conv_bn(x, make_divisible(STEM_FILTERS * alpha), strides=stem_strides, name="stem")
        index = 0
        transformers = dict(zip((2, 3, 4), zip(table.channels, DEPTHS, strict=True), strict=True))
        for stage, ((repeats, stride), filters) in enumerate(zip(REPEATS, table.filters, strict=True)):
            filters = make_divisible(filters * alpha)
            for strides in [stride] + [1] * (repeats - 1):
                x = blocks.inverted_residual(
                    x, filters, table.expansion, strides=strides, activation="silu", name=f"block_{index}"
                )
                index += 1
            if stage in transformers:
                channels, depth = transformers[stage]
                x = blocks.mobilevit_block(x, make_divisible(channels * alpha), depth, name=f"block_{index}")
                index += 1
        return conv_bn(x, make_divisible(table.head_filters * alpha), 1, name="head")

    body.__name__ = body.__qualname__ = f"MobileViT{variant}"
    body.__doc__ = f"Builds MobileViT-{variant} (table 4); alpha is a factor on its published width."
    return builder(default_size=256, dropout_rate=0.1, fixed_size=True)(body)


MobileViTXXS = _builder("XXS")
MobileViTXS = _builder("XS")
MobileViTS = _builder("S")
