"""EfficientFormer: Li et al. 2022, "EfficientFormer: Vision Transformers at MobileNet Speed", arXiv:2206.01191.

The answer is the mean of two classifiers, of which the second learned from a teacher (section 4). Stochastic depth is
left out. The position biases of the attention are those of one image size.
"""

from typing import Any, NamedTuple

from keras import layers

from keras_mobilenets import blocks
from keras_mobilenets.blocks import make_divisible
from keras_mobilenets.blocks.families.metaformer import NORM_EPSILON
from keras_mobilenets.models.builder import Builder, builder


class Variant(NamedTuple):
    """A column of table 4: blocks and channels of the four stages, and how many blocks at the end have attention."""

    repeats: tuple[int, int, int, int]
    filters: tuple[int, int, int, int]
    attention: int


VARIANTS = {
    "L1": Variant((3, 2, 6, 4), (48, 96, 224, 448), 1),
    "L3": Variant((4, 4, 12, 6), (64, 128, 320, 512), 4),
    "L7": Variant((6, 6, 18, 8), (96, 192, 384, 768), 8),
}
# Section 3.2: of the attention.
HEADS = 8
KEY_DIM = 32
VALUE_DIM = 4 * KEY_DIM
LAYER_SCALE = 1e-5


def _builder(variant: str) -> Builder:
    """The public builder of a variant of `VARIANTS`."""
    table = VARIANTS[variant]

    def body(x: Any, *, stem_strides: int, alpha: float = 1.0, layer_scale: float = LAYER_SCALE) -> Any:
        widths = [make_divisible(filters * alpha) for filters in table.filters]
        for number, (filters, strides) in enumerate(((widths[0] // 2, stem_strides), (widths[0], 2)), start=1):
            x = _conv_bn(x, filters, strides, f"stem_{number}")
            x = blocks.activation(x, "relu", f"stem_{number}")
        index, count = 0, sum(table.repeats)
        for stage, (repeats, filters) in enumerate(zip(table.repeats, widths, strict=True)):
            if stage:
                x = _conv_bn(x, filters, 2, f"downsample_{stage}")
            for _ in range(repeats):
                name = f"block_{index}"
                if index < count - table.attention:
                    x = blocks.pooling_block(x, layer_scale=layer_scale, name=name)
                else:
                    x = blocks.attention_block(x, HEADS, KEY_DIM, VALUE_DIM, layer_scale=layer_scale, name=name)
                index += 1
        return blocks.layer_norm(x, epsilon=NORM_EPSILON, name="head")

    body.__name__ = body.__qualname__ = f"EfficientFormer{variant}"
    body.__doc__ = (
        f"Builds EfficientFormer-{variant} (table 4); alpha is a factor on its published width.\n\n    Args:\n"
        "        layer_scale: First value of the learned scale of each block's outputs. A short training wants more,\n"
        "            such as 0.1.\n    "
    )
    return builder(dropout_rate=0.0, fixed_size=True, classifier=blocks.distilled_classifier)(body)


def _conv_bn(x: Any, filters: int, strides: int, name: str) -> Any:
    """3×3 convolution with a bias, batch normalization."""
    return blocks.batch_norm(layers.Conv2D(filters, 3, strides=strides, padding="same", name=name)(x), name)


EfficientFormerL1 = _builder("L1")
EfficientFormerL3 = _builder("L3")
EfficientFormerL7 = _builder("L7")
