"""MobileNetV1: Howard et al. 2017, "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision
Applications", arXiv:1704.04861.
"""

from typing import Any

from keras import layers

from keras_mobilenets import blocks
from keras_mobilenets.blocks import scaled
from keras_mobilenets.models.builder import builder

STEM_FILTERS = 32
# Table 1, the depthwise separable convolutions in order: filters, stride.
TABLE = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (1024, 2),
    (1024, 1),
)


@builder(dropout_rate=1e-3)
def MobileNetV1(x: Any, *, stem_strides: int, alpha: float = 1.0) -> Any:
    """Builds MobileNetV1 (table 1); alpha is the paper's 0.25, 0.5, 0.75 or 1.0 (section 3.3).

    The resolution multiplier (section 3.4) is the choice of the input size: 224, 192, 160, 128.
    """
    x = blocks.conv_bn(x, scaled(STEM_FILTERS, alpha), strides=stem_strides, name="stem")
    for index, (filters, strides) in enumerate(TABLE, 1):
        x = _separable(x, scaled(filters, alpha), strides, f"block_{index}")
    return x


def _separable(x: Any, filters: int, strides: int, name: str) -> Any:
    padding = "same"
    if strides == 2 and any(side is None or side % 2 for side in x.shape[1:3]):
        # keras.applications, whose outputs and weights we share, pads below and right only. For even sizes that is
        # what "same" does; an odd size "same" would pad on both sides.
        x = layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"{name}_pad")(x)
        padding = "valid"
    return blocks.depthwise_separable(x, filters, strides=strides, padding=padding, name=name)
