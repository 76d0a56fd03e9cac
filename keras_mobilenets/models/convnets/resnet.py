"""ResNet: He et al. 2015, "Deep Residual Learning for Image Recognition", arXiv:1512.03385, a teacher and a baseline.

The bottleneck halves the image in its 3×3 convolution, not in the 1×1 before it, as every published training since
("version 1.5") and the published figures do.
"""

from typing import Any

from keras import layers

from keras_mobilenets import blocks
from keras_mobilenets.blocks import scaled
from keras_mobilenets.models.builder import builder

STEM_FILTERS = 64
# Table 1, conv2_x to conv5_x: filters, stride of the first block.
STAGES = ((64, 1), (128, 2), (256, 2), (512, 2))
# Table 1: blocks in each stage.
REPEATS_18 = (2, 2, 2, 2)
REPEATS_50 = (3, 4, 6, 3)
BOTTLENECK_EXPANSION = 4


@builder(dropout_rate=0.0)
def ResNet18(x: Any, *, stem_strides: int, alpha: float = 1.0) -> Any:
    """Builds ResNet-18 (table 1): blocks of two 3×3 convolutions."""
    return _network(x, _basic, REPEATS_18, stem_strides, alpha)


@builder(dropout_rate=0.0)
def ResNet50(x: Any, *, stem_strides: int, alpha: float = 1.0) -> Any:
    """Builds ResNet-50 (table 1): bottlenecks of a 1×1, a 3×3 and a 1×1 convolution."""
    return _network(x, _bottleneck, REPEATS_50, stem_strides, alpha)


def _network(x: Any, block: Any, repeats: tuple[int, ...], stem_strides: int, alpha: float) -> Any:
    x = blocks.conv_bn(x, scaled(STEM_FILTERS, alpha), 7, strides=stem_strides, activation="relu", name="stem")
    x = layers.MaxPooling2D(3, strides=2, padding="same", name="stem_pool")(x)
    index = 0
    for (filters, stride), repeat in zip(STAGES, repeats, strict=True):
        for strides in [stride] + [1] * (repeat - 1):
            x = block(x, scaled(filters, alpha), strides, f"block_{index}")
            index += 1
    return x


def _basic(x: Any, filters: int, strides: int, name: str) -> Any:
    shortcut = x
    x = blocks.conv_bn(x, filters, strides=strides, activation="relu", name=f"{name}_conv_1")
    x = blocks.conv_bn(x, filters, activation=None, name=f"{name}_conv_2")
    return blocks.residual_sum(shortcut, x, strides=strides, name=name)


def _bottleneck(x: Any, filters: int, strides: int, name: str) -> Any:
    return blocks.bottleneck(x, BOTTLENECK_EXPANSION * filters, filters, strides=strides, name=name)
