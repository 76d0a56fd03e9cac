"""MobileNetV2: Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", arXiv:1801.04381,
table 2.
"""

from typing import Any

import keras

from keras_mobilenets import blocks, network

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


def MobileNetV2(
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
    dropout_rate: float = 0.2,
    name: str | None = None,
) -> keras.Model:
    """Builds MobileNetV2.

    Args:
        input_shape: (height, width, 3), 32 or more a side. Default 224 with the classifier, any size without it.
        alpha: Width multiplier: channels times alpha, rounded to multiples of 8; the head keeps 1280 for alpha below 1
            (section 4). Published: 0.35, 0.5, 0.75, 1.0, 1.3, 1.4.
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
        (batch, ⌈height / 32⌉, ⌈width / 32⌉, head channels).

    Raises:
        UserError: An argument is out of its range.
    """
    network.check_arguments(
        alpha=alpha, classes=classes, pooling=pooling, stem_strides=stem_strides, dropout_rate=dropout_rate
    )
    inputs = network.image_input(input_shape, input_tensor, include_top)
    x = blocks.conv_bn(inputs, blocks.make_divisible(STEM_FILTERS * alpha), strides=stem_strides, name="stem")
    index = 0
    for expansion, channels, repeats, stride in TABLE:
        for repeat in range(repeats):
            x = blocks.inverted_residual(
                x,
                blocks.make_divisible(channels * alpha),
                expansion,
                strides=stride if repeat == 0 else 1,
                name=f"block_{index}",
            )
            index += 1
    x = blocks.conv_bn(x, blocks.make_divisible(HEAD_FILTERS * max(1.0, alpha)), 1, name="head")
    if include_top:
        outputs = network.classifier(x, classes, classifier_activation, dropout_rate)
    else:
        outputs = network.global_pool(x, pooling)
    return network.finish(
        inputs, outputs, name or f"mobilenet_v2_{alpha:g}", weights, ("MobileNetV2", {"alpha": alpha})
    )
