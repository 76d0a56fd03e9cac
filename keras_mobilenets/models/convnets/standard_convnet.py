"""MobileNetV1's body with full 3×3 convolutions: the "Conv MobileNet" that table 4 of Howard et al. 2017,
arXiv:1704.04861, compares the depthwise separable network with.
"""

from typing import Any

from keras_mobilenets import blocks
from keras_mobilenets.blocks import scaled
from keras_mobilenets.models.builder import builder
from keras_mobilenets.models.mobilenets.mobilenet_v1 import STEM_FILTERS, TABLE


@builder(dropout_rate=1e-3)
def StandardConvNet(x: Any, *, stem_strides: int, alpha: float = 1.0) -> Any:
    """Builds MobileNetV1 with a standard convolution in place of each depthwise separable one (table 4)."""
    x = blocks.conv_bn(x, scaled(STEM_FILTERS, alpha), strides=stem_strides, name="stem")
    for index, (filters, strides) in enumerate(TABLE, 1):
        x = blocks.conv_bn(x, scaled(filters, alpha), strides=strides, name=f"block_{index}_conv")
    return x
