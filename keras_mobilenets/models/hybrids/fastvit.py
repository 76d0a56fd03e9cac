"""FastViT: Vasu et al. 2023, "FastViT: A Fast Hybrid Vision Transformer using Structural Reparameterization",
arXiv:2303.14189; MCi, the image towers of MobileCLIP: Vasu et al. 2023, arXiv:2311.17049, section 4.

Stochastic depth is left out.
"""

from functools import partial
from typing import Any, NamedTuple

from keras_mobilenets import blocks
from keras_mobilenets.blocks import make_divisible
from keras_mobilenets.models.builder import Builder, builder

STAGES = 4
EMBEDDING = 2  # channels of the last feature map over those of the last stage
HEAD_SQUEEZE = 1 / 16  # channels of a squeeze-and-excite over those it weighs: of the last feature map, ...
SQUEEZE = 1 / 4  # ... and where the image is halved


class Variant(NamedTuple):
    """A column of table 1: channels of the first stage, which every stage doubles, and the blocks of each.

    Attributes:
        filters: Channels.
        repeats: Blocks.
        expansion: Channels inside a feed-forward network over those outside.
        has_attention: Whether the blocks of the last stage have attention, behind a position encoding.
        is_tower: Whether the image is halved as in MobileCLIP: with GELU between the convolutions, and with
            squeeze-and-excite in front of the last two stages.
    """

    filters: int
    repeats: tuple[int, int, int, int]
    expansion: int = 4
    has_attention: bool = False
    is_tower: bool = False


VARIANTS = {
    "T8": Variant(48, (2, 2, 4, 2), expansion=3),
    "T12": Variant(64, (2, 2, 6, 2), expansion=3),
    "S12": Variant(64, (2, 2, 6, 2)),
    "SA12": Variant(64, (2, 2, 6, 2), has_attention=True),
    "SA24": Variant(64, (4, 4, 12, 4), has_attention=True),
    "SA36": Variant(64, (6, 6, 18, 6), has_attention=True),
    "MA36": Variant(76, (6, 6, 18, 6), has_attention=True),
    "MCI0": Variant(64, (2, 6, 10, 2), expansion=3, has_attention=True, is_tower=True),
    "MCI1": Variant(64, (4, 12, 20, 4), expansion=3, has_attention=True, is_tower=True),
    "MCI2": Variant(80, (4, 12, 24, 4), expansion=3, has_attention=True, is_tower=True),
}


def _builder(name: str) -> Builder:
    """The public builder of a variant of `VARIANTS`."""
    table = VARIANTS[name]

    def body(x: Any, *, stem_strides: int, alpha: float = 1.0, layer_scale: float = 1e-5) -> Any:
        filters = make_divisible(table.filters * alpha, 4)
        x = blocks.branched_conv(x, filters, strides=stem_strides, activation="gelu", name="stem")
        x = blocks.branched_conv(x, None, strides=2, activation="gelu", name="stem_2")
        x = blocks.branched_conv(x, filters, 1, activation="gelu", name="stem_3")
        index = 0
        for stage, repeats in enumerate(table.repeats):
            if stage:
                x = _halved(x, table, stage)
            attends = table.has_attention and stage == STAGES - 1
            if attends:
                x = blocks.conditional_position_encoding(x, name="position")
            block = blocks.convolutional_attention_block if attends else blocks.repmixer_block
            for _ in range(repeats):
                x = block(x, table.expansion, layer_scale=layer_scale, name=f"block_{index}")
                index += 1
        excite = partial(blocks.squeeze_excite, reduced=round(HEAD_SQUEEZE * EMBEDDING * x.shape[-1]), gate="sigmoid")
        return blocks.branched_conv(x, None, multiplier=EMBEDDING, excite=excite, activation="gelu", name="head")

    body.__name__ = body.__qualname__ = f"FastViT{name}"
    summary = (
        f"MCi{name[-1]}, the image tower of MobileCLIP-S{name[-1]}" if table.is_tower else f"FastViT-{name} (table 1)"
    )
    body.__doc__ = (
        f"Builds {summary}, as it is trained, with parallel branches.\n\n"
        "    alpha is a factor on its published width. `reparameterized` makes plain convolutions of the branches, as\n"
        "    `convert` does by itself.\n\n    Args:\n"
        "        layer_scale: First value of the learned scales of each block's outputs. A short training wants more,\n"
        "            such as 0.1.\n    "
    )
    return builder(default_size=256, dropout_rate=0.0, fixed_size=table.has_attention)(body)


def _halved(x: Any, table: Variant, stage: int) -> Any:
    """Halves the image and doubles the channels."""
    excite = None
    if table.is_tower and stage > 1:
        excite = partial(blocks.squeeze_excite, reduced=make_divisible(SQUEEZE * 2 * x.shape[-1]), gate="sigmoid")
    activation = "gelu" if table.is_tower else None
    return blocks.large_kernel_downsample(x, excite=excite, activation=activation, name=f"downsample_{stage}")


FastViTT8 = _builder("T8")
FastViTT12 = _builder("T12")
FastViTS12 = _builder("S12")
FastViTSA12 = _builder("SA12")
FastViTSA24 = _builder("SA24")
FastViTSA36 = _builder("SA36")
FastViTMA36 = _builder("MA36")
FastViTMCI0 = _builder("MCI0")
FastViTMCI1 = _builder("MCI1")
FastViTMCI2 = _builder("MCI2")
