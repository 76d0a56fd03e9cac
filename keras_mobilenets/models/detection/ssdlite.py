"""A worked example of feature taps: the SSDLite detector of MobileNetV2 (arXiv:1801.04381, section 6.2).

SSD (arXiv:1512.02325) with every standard convolution of the head made a depthwise separable one. The first map is
taken inside the block that goes to stride 32, after its expansion; the extra maps are those of the authors' code.
"""

from typing import Any

import keras
from keras import layers

from keras_mobilenets import blocks
from keras_mobilenets.errors import UserError
from keras_mobilenets.graphs.feature_maps import features

EXTRA_FILTERS = (512, 256, 256, 128)  # of the maps behind the network's last, each half the size of the one before
ANCHORS = (3, 6, 6, 6, 6, 6)  # boxes at each position, map by map


def ssdlite(backbone: keras.Model, classes: int = 80) -> keras.Model:
    """Puts an SSDLite head on a network: `ssdlite(km.MobileNetV2((320, 320, 3), include_top=False))`.

    Args:
        backbone: What a builder returned for a fixed input size, without the classifier.
        classes: Object classes; one more, the background, is added (COCO: 80).

    Returns:
        A model from images in [−1, 1] to {"boxes": (batch, anchors, 4) offsets, "scores": (batch, anchors, classes + 1)
        logits}. Anchors run map by map, from the finest, row by row, as SSD's matching and decoding expect them.

    Raises:
        UserError: The network has no taps at strides 16 and 32.
    """
    taps = features(backbone, expanded=True)
    maps = taps.output
    if not {"stride_16", "stride_32"} <= set(maps):
        raise UserError(f"{backbone.name} has no feature maps at strides 16 and 32, which SSDLite needs")
    pyramid = [maps["stride_16"], maps["stride_32"]]
    for index, filters in enumerate(EXTRA_FILTERS):
        x = blocks.conv_bn(pyramid[-1], filters // 2, 1, name=f"extra_{index}_reduce")
        pyramid.append(blocks.depthwise_separable(x, filters, strides=2, name=f"extra_{index}"))
    outputs = {
        kind: layers.Concatenate(axis=1, name=kind)(
            [
                _predict(x, anchors, values, f"{kind}_{i}")
                for i, (x, anchors) in enumerate(zip(pyramid, ANCHORS, strict=True))
            ]
        )
        for kind, values in (("boxes", 4), ("scores", classes + 1))
    }
    return keras.Model(backbone.inputs, outputs, name=f"{backbone.name}_ssdlite")


def _predict(x: Any, anchors: int, values: int, name: str) -> Any:
    """`values` numbers for each of the anchors at each position: (batch, positions · anchors, values)."""
    x = blocks.depthwise_bn(x, name=f"{name}_depthwise")
    x = layers.Conv2D(anchors * values, 1, name=name)(x)
    return layers.Reshape((-1, values), name=f"{name}_rows")(x)
