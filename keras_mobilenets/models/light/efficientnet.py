"""EfficientNet: Tan & Le 2019, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
arXiv:1905.11946, and EfficientNet-Lite, its variant for phones (google: models/official/efficientnet/lite).
"""

import math
from functools import partial
from typing import Any, NamedTuple

from keras_mobilenets import blocks
from keras_mobilenets.blocks import make_divisible
from keras_mobilenets.models.builder import Builder, builder


class Stage(NamedTuple):
    """A row of table 1: MBConv blocks, of which the first has the strides."""

    expansion: int
    kernel_size: int
    strides: int
    filters: int
    repeats: int


STEM_FILTERS = 32
HEAD_FILTERS = 1280
# Table 1, the baseline EfficientNet-B0.
TABLE = (
    Stage(1, 3, 1, 16, 1),
    Stage(6, 3, 2, 24, 2),
    Stage(6, 5, 2, 40, 2),
    Stage(6, 3, 2, 80, 3),
    Stage(6, 5, 1, 112, 3),
    Stage(6, 5, 2, 192, 4),
    Stage(6, 3, 1, 320, 1),
)


class Scaling(NamedTuple):
    """How far a variant is from the baseline: factors of width and depth, input side in pixels, classifier dropout."""

    width: float
    depth: float
    size: int
    dropout_rate: float


# The published coefficients.
SCALINGS = {
    "B0": Scaling(1.0, 1.0, 224, 0.2),
    "B1": Scaling(1.0, 1.1, 240, 0.2),
    "B2": Scaling(1.1, 1.2, 260, 0.3),
    "B3": Scaling(1.2, 1.4, 300, 0.3),
    "B4": Scaling(1.4, 1.8, 380, 0.4),
    "B5": Scaling(1.6, 2.2, 456, 0.4),
    "B6": Scaling(1.8, 2.6, 528, 0.5),
    "B7": Scaling(2.0, 3.1, 600, 0.5),
    "Lite0": Scaling(1.0, 1.0, 224, 0.2),
    "Lite1": Scaling(1.0, 1.1, 240, 0.2),
    "Lite2": Scaling(1.1, 1.2, 260, 0.3),
    "Lite3": Scaling(1.2, 1.4, 280, 0.3),
    "Lite4": Scaling(1.4, 1.8, 300, 0.3),
}


def compound_scaling(phi: float) -> Scaling:
    """Scales the baseline by the compound rule (section 3.3, equation 3): 2^phi times its multiply-adds, nearly.

    The published coefficients round it: B1 is at phi 0.5, B2 at 1, B3 at 2, B4 at 3.5, B5 at 5, B6 at 6, B7 at 7, and
    the larger have less depth than the rule gives.

    Args:
        phi: The compound coefficient; 0 is the baseline.

    Returns:
        Width 1.1^phi, depth 1.2^phi, input side 224 · 1.15^phi, and dropout from 0.2 to 0.5 at phi 7 (section 5.2).
    """
    return Scaling(1.1**phi, 1.2**phi, round(224 * 1.15**phi), 0.2 + 0.3 * phi / 7)


def mbconv(x: Any, filters: int, expansion: int, *, excite: bool = True, activation: str = "silu", **block: Any) -> Any:
    """MBConv: an inverted residual, with a squeeze-and-excite to a quarter of the block's input channels.

    Args:
        x: Tensor (batch, height, width, channels).
        filters: Output channels.
        expansion: Channels between the bottlenecks, as a multiple of the input channels.
        excite: Whether there is a squeeze-and-excite.
        activation: After all but the last convolution.
        **block: The other arguments of `blocks.inverted_residual`.
    """
    squeeze = partial(blocks.squeeze_excite, reduced=max(1, x.shape[-1] // 4), activation=activation, gate="sigmoid")
    return blocks.inverted_residual(
        x, filters, expansion, activation=activation, excite=squeeze if excite else None, **block
    )


def _builder(variant: str) -> Builder:
    """The public builder of a variant of `SCALINGS`."""
    scaling, lite = SCALINGS[variant], variant.startswith("Lite")

    def body(x: Any, *, stem_strides: int, alpha: float = 1.0) -> Any:
        return _network(x, scaling._replace(width=scaling.width * alpha), stem_strides, lite)

    body.__name__ = body.__qualname__ = f"EfficientNet{variant}"
    body.__doc__ = f"Builds EfficientNet-{variant} (table 1, scaled); alpha is a factor on its published width."
    return builder(default_size=scaling.size, dropout_rate=scaling.dropout_rate)(body)


def _network(x: Any, scaling: Scaling, stem_strides: int, lite: bool) -> Any:
    """Lite: ReLU6, no squeeze-and-excite; stem, head, and the depth of the first and last stage are not scaled."""
    activation, outer = ("relu6", 1.0) if lite else ("silu", scaling.width)
    stem, head = make_divisible(STEM_FILTERS * outer), make_divisible(HEAD_FILTERS * outer)
    x = blocks.conv_bn(x, stem, strides=stem_strides, activation=activation, name="stem")
    index = 0
    for stage in TABLE:
        kept = lite and stage in (TABLE[0], TABLE[-1])
        for repeat in range(stage.repeats if kept else math.ceil(stage.repeats * scaling.depth)):
            x = mbconv(
                x,
                make_divisible(stage.filters * scaling.width),
                stage.expansion,
                kernel_size=stage.kernel_size,
                strides=1 if repeat else stage.strides,
                activation=activation,
                excite=not lite,
                name=f"block_{index}",
            )
            index += 1
    return blocks.conv_bn(x, head, 1, activation=activation, name="head")


EfficientNetB0 = _builder("B0")
EfficientNetB1 = _builder("B1")
EfficientNetB2 = _builder("B2")
EfficientNetB3 = _builder("B3")
EfficientNetB4 = _builder("B4")
EfficientNetB5 = _builder("B5")
EfficientNetB6 = _builder("B6")
EfficientNetB7 = _builder("B7")
EfficientNetLite0 = _builder("Lite0")
EfficientNetLite1 = _builder("Lite1")
EfficientNetLite2 = _builder("Lite2")
EfficientNetLite3 = _builder("Lite3")
EfficientNetLite4 = _builder("Lite4")
