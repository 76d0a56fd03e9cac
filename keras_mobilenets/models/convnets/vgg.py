"""VGG: Simonyan & Zisserman 2014, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
arXiv:1409.1556, for the comparison of cost.
"""

from typing import Any

from keras import layers

from keras_mobilenets import blocks
from keras_mobilenets.blocks import scaled
from keras_mobilenets.models.builder import builder

# Table 1, configuration D: filters and number of 3×3 convolutions, each row ended by a 2×2 max pooling.
TABLE = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
HIDDEN = 4096


def _hidden(x: Any, *, dropout_rate: float, alpha: float) -> Any:
    """The two layers before the classifier; dropout follows both (section 3.1), the second's is the builder's own."""
    for index in (1, 2):
        x = layers.Dense(scaled(HIDDEN, alpha), name=f"hidden_{index}")(x)
        x = blocks.activation(x, "relu", f"hidden_{index}")
        if index == 1 and dropout_rate:
            x = layers.Dropout(dropout_rate, name="hidden_1_dropout")(x)
    return x


@builder(dropout_rate=0.5, stem_strides=1, head=_hidden, flatten=True)
def VGG16(x: Any, *, stem_strides: int, alpha: float = 1.0) -> Any:
    """Builds VGG-16 (table 1, configuration D), without batch normalization.

    Its classifier reads every position of the last feature map: the input size decides how many parameters it has.
    """
    for stage, (filters, repeats) in enumerate(TABLE):
        for index in range(1, repeats + 1):
            name = "stem" if (stage, index) == (0, 1) else f"block_{stage}_conv_{index}"
            strides = stem_strides if name == "stem" else 1
            x = layers.Conv2D(scaled(filters, alpha), 3, strides=strides, padding="same", name=name)(x)
            x = blocks.activation(x, "relu", name)
        x = layers.MaxPooling2D(2, name=f"block_{stage}_pool")(x)
    return x
