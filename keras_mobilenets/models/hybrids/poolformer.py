"""PoolFormer: Yu et al. 2021, "MetaFormer is Actually What You Need for Vision", arXiv:2111.11418.

Stochastic depth is left out. The last normalization follows the pooling, over the channels, as in timm, whose weights
are the ones to be had.
"""

from functools import partial
from typing import Any, NamedTuple

from keras import layers

from keras_mobilenets import blocks
from keras_mobilenets.blocks import make_divisible
from keras_mobilenets.models.builder import Builder, builder


class Variant(NamedTuple):
    """A column of table 1: blocks and channels of the four stages, and the first value of the learned scales."""

    repeats: tuple[int, int, int, int]
    filters: tuple[int, int, int, int]
    layer_scale: float


VARIANTS = {
    "S12": Variant((2, 2, 6, 2), (64, 128, 320, 512), 1e-5),
    "S24": Variant((4, 4, 12, 4), (64, 128, 320, 512), 1e-5),
    "S36": Variant((6, 6, 18, 6), (64, 128, 320, 512), 1e-6),
    "M36": Variant((6, 6, 18, 6), (96, 192, 384, 768), 1e-6),
    "M48": Variant((8, 8, 24, 8), (96, 192, 384, 768), 1e-6),
}


def _builder(variant: str) -> Builder:
    """The public builder of a variant of `VARIANTS`."""
    repeats, widths, published_scale = VARIANTS[variant]

    def body(x: Any, *, stem_strides: int, alpha: float = 1.0, layer_scale: float = published_scale) -> Any:
        index = 0
        for stage, (repeat, filters) in enumerate(zip(repeats, widths, strict=True)):
            kernel_size, strides, name = (3, 2, f"downsample_{stage}") if stage else (7, 2 * stem_strides, "stem")
            filters = make_divisible(filters * alpha)
            x = layers.Conv2D(filters, kernel_size, strides=strides, padding="same", name=name)(x)
            for _ in range(repeat):
                x = blocks.poolformer_block(x, layer_scale=layer_scale, name=f"block_{index}")
                index += 1
        return x

    body.__name__ = body.__qualname__ = f"PoolFormer{variant}"
    body.__doc__ = (
        f"Builds PoolFormer-{variant} (table 1); alpha is a factor on its published width.\n\n    Args:\n"
        "        layer_scale: First value of the learned scale of each block's outputs. A short training wants more,\n"
        "            such as 0.1; on small images also `stem_strides=1`, since poolings mix what the stem tells.\n    "
    )
    return builder(dropout_rate=0.0, last=partial(blocks.layer_norm, name="head"))(body)


PoolFormerS12 = _builder("S12")
PoolFormerS24 = _builder("S24")
PoolFormerS36 = _builder("S36")
PoolFormerM36 = _builder("M36")
PoolFormerM48 = _builder("M48")
