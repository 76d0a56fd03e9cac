"""MobileNetV1: Howard et al. 2017, "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision
Applications", arXiv:1704.04861, table 1.
"""

from typing import Any

import keras
from keras import layers

from keras_mobilenets import blocks, network

STEM_FILTERS = 32
# Table 1, the depthwise separable convolutions in order: filters, stride.
TABLE = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *((512, 1),) * 5,
    (1024, 2),
    (1024, 1),
)


def MobileNetV1(
    input_shape: tuple[int | None, int | None, int] | None = None,
    alpha: float = 1.0,
    *,
    include_top: bool = True,
    weights: Any = None,
    input_tensor: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    stem_strides: int = 2,
    dropout_rate: float = 1e-3,
    name: str | None = None,
) -> keras.Model:
    """Builds MobileNetV1.

    Args:
        input_shape: (height, width, 3), 32 or more a side; the paper's resolution multiplier is a choice of size
            (224, 192, 160, 128). Default 224 with the classifier, any size without it.
        alpha: Width multiplier (section 3.3): every layer's channels times alpha. The paper's: 0.25, 0.5, 0.75, 1.0.
        include_top: Whether to end in the classifier.
        weights: None (random), "imagenet", or a file for `load_weights`.
        input_tensor: Keras tensor to build on instead of a new input.
        pooling: Without the classifier: None for the feature map, "avg" or "max" for a vector.
        classes: Number of classes.
        classifier_activation: "softmax", or None for logits.
        stem_strides: 2, or 1 for small images such as 32×32.
        dropout_rate: Dropout before the classifier.
        name: Name of the model.

    Returns:
        A functional model: float32 (batch, height, width, 3) in [−1, 1] to (batch, classes), or to the feature map
        (batch, ⌊height / 32⌋, ⌊width / 32⌋, 1024·alpha).

    Raises:
        UserError: An argument is out of its range.
    """
    network.check_arguments(
        alpha=alpha, classes=classes, pooling=pooling, stem_strides=stem_strides, dropout_rate=dropout_rate
    )
    inputs = network.image_input(input_shape, input_tensor, include_top)
    x = blocks.conv_bn(inputs, max(1, int(STEM_FILTERS * alpha)), strides=stem_strides, name="stem")
    for index, (filters, strides) in enumerate(TABLE, 1):
        x = _separable(x, max(1, int(filters * alpha)), strides, f"block_{index}")
    if include_top:
        outputs = network.classifier(x, classes, classifier_activation, dropout_rate)
    else:
        outputs = network.global_pool(x, pooling)
    return network.finish(
        inputs, outputs, name or f"mobilenet_v1_{alpha:g}", weights, ("MobileNetV1", {"alpha": alpha})
    )


def _separable(x, filters, strides, name):
    padding = "same"
    if strides == 2 and any(side is None or side % 2 for side in x.shape[1:3]):
        # keras.applications, whose outputs and weights we share, pads below and right only. For even sizes that is
        # what "same" does; an odd size "same" would pad on both sides.
        x = layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"{name}_pad")(x)
        padding = "valid"
    return blocks.depthwise_separable(x, filters, strides=strides, padding=padding, name=name)
