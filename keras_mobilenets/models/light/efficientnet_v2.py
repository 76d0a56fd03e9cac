"""EfficientNetV2: Tan & Le 2021, "EfficientNetV2: Smaller Models and Faster Training", arXiv:2104.00298."""

import math
from typing import Any, NamedTuple

from keras_mobilenets import blocks
from keras_mobilenets.models.builder import Builder, builder
from keras_mobilenets.models.light.efficientnet import Scaling, mbconv


class Stage(NamedTuple):
    """A row of table 4: blocks of which the first has the strides; MBConv with squeeze-and-excite, or fused."""

    fused: bool
    expansion: int
    kernel_size: int
    strides: int
    filters: int
    repeats: int


HEAD_FILTERS = 1280
# The baseline that B0 to B3 scale.
BASE = (
    Stage(True, 1, 3, 1, 16, 1),
    Stage(True, 4, 3, 2, 32, 2),
    Stage(True, 4, 3, 2, 48, 2),
    Stage(False, 4, 3, 2, 96, 3),
    Stage(False, 6, 3, 1, 112, 5),
    Stage(False, 6, 3, 2, 192, 8),
)
# Table 4.
SMALL = (
    Stage(True, 1, 3, 1, 24, 2),
    Stage(True, 4, 3, 2, 48, 4),
    Stage(True, 4, 3, 2, 64, 4),
    Stage(False, 4, 3, 2, 128, 6),
    Stage(False, 6, 3, 1, 160, 9),
    Stage(False, 6, 3, 2, 256, 15),
)
MEDIUM = (
    Stage(True, 1, 3, 1, 24, 3),
    Stage(True, 4, 3, 2, 48, 5),
    Stage(True, 4, 3, 2, 80, 5),
    Stage(False, 4, 3, 2, 160, 7),
    Stage(False, 6, 3, 1, 176, 14),
    Stage(False, 6, 3, 2, 304, 18),
    Stage(False, 6, 3, 1, 512, 5),
)
LARGE = (
    Stage(True, 1, 3, 1, 32, 4),
    Stage(True, 4, 3, 2, 64, 7),
    Stage(True, 4, 3, 2, 96, 7),
    Stage(False, 4, 3, 2, 192, 10),
    Stage(False, 6, 3, 1, 224, 19),
    Stage(False, 6, 3, 2, 384, 25),
    Stage(False, 6, 3, 1, 640, 7),
)


class Variant(NamedTuple):
    """A published network: its table, the filters of its stem before scaling, and its scaling."""

    table: tuple[Stage, ...]
    stem_filters: int
    scaling: Scaling


VARIANTS = {
    "B0": Variant(BASE, 32, Scaling(1.0, 1.0, 224, 0.2)),
    "B1": Variant(BASE, 32, Scaling(1.0, 1.1, 240, 0.2)),
    "B2": Variant(BASE, 32, Scaling(1.1, 1.2, 260, 0.3)),
    "B3": Variant(BASE, 32, Scaling(1.2, 1.4, 300, 0.3)),
    "S": Variant(SMALL, 24, Scaling(1.0, 1.0, 384, 0.2)),
    "M": Variant(MEDIUM, 24, Scaling(1.0, 1.0, 480, 0.3)),
    "L": Variant(LARGE, 32, Scaling(1.0, 1.0, 480, 0.4)),
}


def _builder(variant: str) -> Builder:
    """The public builder of a variant of `VARIANTS`."""
    table, stem_filters, scaling = VARIANTS[variant]

    def body(x: Any, *, stem_strides: int, alpha: float = 1.0) -> Any:
        width = scaling.width * alpha
        x = blocks.conv_bn(x, _rounded(stem_filters * width), strides=stem_strides, activation="silu", name="stem")
        index = 0
        for stage in table:
            filters = _rounded(stage.filters * width)
            for repeat in range(math.ceil(stage.repeats * scaling.depth)):
                strides = 1 if repeat else stage.strides
                block = blocks.fused_inverted_residual if stage.fused else mbconv
                x = block(
                    x,
                    filters,
                    stage.expansion,
                    kernel_size=stage.kernel_size,
                    strides=strides,
                    activation="silu",
                    name=f"block_{index}",
                )
                index += 1
        return blocks.conv_bn(x, _rounded(HEAD_FILTERS * width), 1, activation="silu", name="head")

    body.__name__ = body.__qualname__ = f"EfficientNetV2{variant}"
    body.__doc__ = f"Builds EfficientNetV2-{variant} (table 4); alpha is a factor on its published width."
    return builder(default_size=scaling.size, dropout_rate=scaling.dropout_rate)(body)


def _rounded(filters: float) -> int:
    """To the nearest multiple of 8: unlike `make_divisible`, as far below as that may be (reference implementation)."""
    return max(8, int(filters + 4) // 8 * 8)


EfficientNetV2B0 = _builder("B0")
EfficientNetV2B1 = _builder("B1")
EfficientNetV2B2 = _builder("B2")
EfficientNetV2B3 = _builder("B3")
EfficientNetV2S = _builder("S")
EfficientNetV2M = _builder("M")
EfficientNetV2L = _builder("L")
