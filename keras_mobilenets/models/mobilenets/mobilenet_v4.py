"""MobileNetV4: Qin et al. 2024, "MobileNetV4: Universal Models for the Mobile Ecosystem", arXiv:2404.10518."""

from typing import Any, NamedTuple

from keras import layers

from keras_mobilenets import blocks
from keras_mobilenets.blocks import make_divisible
from keras_mobilenets.models.builder import Builder, builder


class Conv(NamedTuple):
    """A standard convolution."""

    kernel_size: int
    strides: int
    filters: int


class FusedIB(NamedTuple):
    """A fused inverted bottleneck: 3×3 expansion, 1×1 projection."""

    strides: int
    filters: int
    expansion: float


class UIB(NamedTuple):
    """A universal inverted bottleneck; 0 where a depthwise kernel is absent.

    ExtraDW has both, IB the middle one, ConvNext the start, FFN neither.
    """

    start: int
    middle: int
    strides: int
    filters: int
    expansion: float


class Attention(NamedTuple):
    """Mobile multi-query attention with as many channels as the row above it."""

    heads: int
    key_dim: int
    kv_strides: int


Row = Conv | FusedIB | UIB | Attention
CONV_SMALL = (
    Conv(3, 2, 32),
    Conv(1, 1, 32),
    Conv(3, 2, 96),
    Conv(1, 1, 64),
    UIB(5, 5, 2, 96, 3),
    UIB(0, 3, 1, 96, 2),
    UIB(0, 3, 1, 96, 2),
    UIB(0, 3, 1, 96, 2),
    UIB(0, 3, 1, 96, 2),
    UIB(3, 0, 1, 96, 4),
    UIB(3, 3, 2, 128, 6),
    UIB(5, 5, 1, 128, 4),
    UIB(0, 5, 1, 128, 4),
    UIB(0, 5, 1, 128, 3),
    UIB(0, 3, 1, 128, 4),
    UIB(0, 3, 1, 128, 4),
)
CONV_MEDIUM = (
    FusedIB(2, 48, 4),
    UIB(3, 5, 2, 80, 4),
    UIB(3, 3, 1, 80, 2),
    UIB(3, 5, 2, 160, 6),
    UIB(3, 3, 1, 160, 4),
    UIB(3, 3, 1, 160, 4),
    UIB(3, 5, 1, 160, 4),
    UIB(3, 3, 1, 160, 4),
    UIB(3, 0, 1, 160, 4),
    UIB(0, 0, 1, 160, 2),
    UIB(3, 0, 1, 160, 4),
    UIB(5, 5, 2, 256, 6),
    UIB(5, 5, 1, 256, 4),
    UIB(3, 5, 1, 256, 4),
    UIB(3, 5, 1, 256, 4),
    UIB(0, 0, 1, 256, 4),
    UIB(3, 0, 1, 256, 4),
    UIB(3, 5, 1, 256, 2),
    UIB(5, 5, 1, 256, 4),
    UIB(0, 0, 1, 256, 4),
    UIB(0, 0, 1, 256, 4),
    UIB(5, 0, 1, 256, 2),
)
CONV_LARGE = (
    FusedIB(2, 48, 4),
    UIB(3, 5, 2, 96, 4),
    UIB(3, 3, 1, 96, 4),
    UIB(3, 5, 2, 192, 4),
    UIB(3, 3, 1, 192, 4),
    UIB(3, 3, 1, 192, 4),
    UIB(3, 3, 1, 192, 4),
    UIB(3, 5, 1, 192, 4),
    UIB(5, 3, 1, 192, 4),
    UIB(5, 3, 1, 192, 4),
    UIB(5, 3, 1, 192, 4),
    UIB(5, 3, 1, 192, 4),
    UIB(5, 3, 1, 192, 4),
    UIB(3, 0, 1, 192, 4),
    UIB(5, 5, 2, 512, 4),
    UIB(5, 5, 1, 512, 4),
    UIB(5, 5, 1, 512, 4),
    UIB(5, 5, 1, 512, 4),
    UIB(5, 0, 1, 512, 4),
    UIB(5, 3, 1, 512, 4),
    UIB(5, 0, 1, 512, 4),
    UIB(5, 0, 1, 512, 4),
    UIB(5, 3, 1, 512, 4),
    UIB(5, 5, 1, 512, 4),
    UIB(5, 0, 1, 512, 4),
    UIB(5, 0, 1, 512, 4),
    UIB(5, 0, 1, 512, 4),
)
HYBRID_MEDIUM = (
    FusedIB(2, 48, 4),
    UIB(3, 5, 2, 80, 4),
    UIB(3, 3, 1, 80, 2),
    UIB(3, 5, 2, 160, 6),
    UIB(0, 0, 1, 160, 2),
    UIB(3, 3, 1, 160, 4),
    UIB(3, 5, 1, 160, 4),
    Attention(4, 64, 2),
    UIB(3, 3, 1, 160, 4),
    Attention(4, 64, 2),
    UIB(3, 0, 1, 160, 4),
    Attention(4, 64, 2),
    UIB(3, 3, 1, 160, 4),
    Attention(4, 64, 2),
    UIB(3, 0, 1, 160, 4),
    UIB(5, 5, 2, 256, 6),
    UIB(5, 5, 1, 256, 4),
    UIB(3, 5, 1, 256, 4),
    UIB(3, 5, 1, 256, 4),
    UIB(0, 0, 1, 256, 2),
    UIB(3, 5, 1, 256, 2),
    UIB(0, 0, 1, 256, 2),
    UIB(0, 0, 1, 256, 4),
    Attention(4, 64, 1),
    UIB(3, 0, 1, 256, 4),
    Attention(4, 64, 1),
    UIB(5, 5, 1, 256, 4),
    Attention(4, 64, 1),
    UIB(5, 0, 1, 256, 4),
    Attention(4, 64, 1),
    UIB(5, 0, 1, 256, 4),
)
HYBRID_LARGE = (
    FusedIB(2, 48, 4),
    UIB(3, 5, 2, 96, 4),
    UIB(3, 3, 1, 96, 4),
    UIB(3, 5, 2, 192, 4),
    UIB(3, 3, 1, 192, 4),
    UIB(3, 3, 1, 192, 4),
    UIB(3, 3, 1, 192, 4),
    UIB(3, 5, 1, 192, 4),
    UIB(5, 3, 1, 192, 4),
    UIB(5, 3, 1, 192, 4),
    Attention(8, 48, 2),
    UIB(5, 3, 1, 192, 4),
    Attention(8, 48, 2),
    UIB(5, 3, 1, 192, 4),
    Attention(8, 48, 2),
    UIB(5, 3, 1, 192, 4),
    Attention(8, 48, 2),
    UIB(3, 0, 1, 192, 4),
    UIB(5, 5, 2, 512, 4),
    UIB(5, 5, 1, 512, 4),
    UIB(5, 5, 1, 512, 4),
    UIB(5, 5, 1, 512, 4),
    UIB(5, 0, 1, 512, 4),
    UIB(5, 3, 1, 512, 4),
    UIB(5, 0, 1, 512, 4),
    UIB(5, 0, 1, 512, 4),
    UIB(5, 3, 1, 512, 4),
    UIB(5, 5, 1, 512, 4),
    Attention(8, 64, 1),
    UIB(5, 0, 1, 512, 4),
    Attention(8, 64, 1),
    UIB(5, 0, 1, 512, 4),
    Attention(8, 64, 1),
    UIB(5, 0, 1, 512, 4),
    Attention(8, 64, 1),
    UIB(5, 0, 1, 512, 4),
)

HEAD_FILTERS = 960
HIDDEN = 1280
LAYER_SCALE = 1e-5  # of the hybrids


class Variant(NamedTuple):
    """A published network: its rows, the filters of its stem, its activation, its input side in pixels."""

    table: tuple[Row, ...]
    stem_filters: int
    activation: str
    size: int

    @property
    def hybrid(self) -> bool:
        """Whether attention is among the rows."""
        return any(isinstance(row, Attention) for row in self.table)


VARIANTS = {
    "ConvSmall": Variant(CONV_SMALL, 32, "relu", 224),
    "ConvMedium": Variant(CONV_MEDIUM, 32, "relu", 256),
    "ConvLarge": Variant(CONV_LARGE, 24, "relu", 384),
    "HybridMedium": Variant(HYBRID_MEDIUM, 32, "relu", 256),
    "HybridLarge": Variant(HYBRID_LARGE, 24, "gelu", 384),
}


def _builder(variant: str) -> Builder:
    """The public builder of a variant of `VARIANTS`."""
    table, stem_filters, activation, size = VARIANTS[variant]
    hybrid = VARIANTS[variant].hybrid

    def body(x: Any, *, stem_strides: int, alpha: float = 1.0) -> Any:
        stem = make_divisible(stem_filters * max(1.0, alpha))
        x = blocks.conv_bn(x, stem, strides=stem_strides, activation=activation, name="stem")
        for index, row in enumerate(table):
            x = _block(x, row, alpha, activation, LAYER_SCALE if hybrid else None, f"block_{index}")
        return blocks.conv_bn(x, make_divisible(HEAD_FILTERS * alpha), 1, activation=activation, name="head")

    def hidden(x: Any, *, dropout_rate: float, alpha: float) -> Any:
        x = blocks.batch_norm(layers.Dense(HIDDEN, use_bias=False, name="hidden")(x), "hidden")
        return blocks.activation(x, activation, "hidden")

    body.__name__ = body.__qualname__ = f"MobileNetV4{variant}"
    body.__doc__ = f"""Builds MobileNetV4-{variant} (appendix D); the paper's width is alpha 1.

    Stem and classifier keep their width for alpha below 1.
    """
    return builder(default_size=size, dropout_rate=0.2, head=hidden)(body)


def _block(x: Any, row: Row, alpha: float, activation: str, layer_scale: float | None, name: str) -> Any:
    if isinstance(row, Attention):
        return blocks.multi_query_attention(x, row.heads, row.key_dim, kv_strides=row.kv_strides, name=name)
    filters = make_divisible(row.filters * alpha)
    if isinstance(row, Conv):
        return blocks.conv_bn(
            x, filters, row.kernel_size, strides=row.strides, activation=activation, name=f"{name}_conv"
        )
    if isinstance(row, FusedIB):
        return blocks.fused_inverted_residual(
            x, filters, row.expansion, strides=row.strides, activation=activation, name=name
        )
    return blocks.universal_inverted_bottleneck(
        x,
        filters,
        row.expansion,
        start=row.start,
        middle=row.middle,
        strides=row.strides,
        activation=activation,
        layer_scale=layer_scale,
        name=name,
    )


MobileNetV4ConvSmall = _builder("ConvSmall")
MobileNetV4ConvMedium = _builder("ConvMedium")
MobileNetV4ConvLarge = _builder("ConvLarge")
MobileNetV4HybridMedium = _builder("HybridMedium")
MobileNetV4HybridLarge = _builder("HybridLarge")
