"""MobileNetV2: Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", arXiv:1801.04381."""

from typing import Any

from keras_mobilenets import blocks
from keras_mobilenets.blocks import make_divisible
from keras_mobilenets.models.builder import builder

STEM_FILTERS = 32
HEAD_FILTERS = 1280
# Table 2: expansion t, channels c, repeats n, stride s of the first repeat.
TABLE = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


@builder(dropout_rate=0.2)
def MobileNetV2(x: Any, *, stem_strides: int, alpha: float = 1.0) -> Any:
    """Builds MobileNetV2 (table 2); published for alpha 0.35, 0.5, 0.75, 1.0, 1.3 and 1.4.

    Channels are rounded to multiples of 8; for alpha below 1 the head keeps its 1280 (section 4).
    """
    x = blocks.conv_bn(x, make_divisible(STEM_FILTERS * alpha), strides=stem_strides, name="stem")
    index = 0
    for expansion, channels, repeats, stride in TABLE:
        filters = make_divisible(channels * alpha)
        for strides in [stride] + [1] * (repeats - 1):
            x = blocks.inverted_residual(x, filters, expansion, strides=strides, name=f"block_{index}")
            index += 1
    return blocks.conv_bn(x, make_divisible(HEAD_FILTERS * max(1.0, alpha)), 1, name="head")
