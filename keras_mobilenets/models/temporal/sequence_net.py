"""Next-item recommenders: dilated causal convolutions over a history of items, after NextItNet (Yuan et al. 2019,
"A Simple Convolutional Generative Network for Next Item Recommendation", arXiv:1808.05163), but depthwise separable;
and the same between fully connected layers, as Covington et al. 2016 ("Deep Neural Networks for YouTube
Recommendations", section 3.2) have them.
"""

from collections.abc import Mapping
from typing import Any

import keras
from keras import layers

from keras_mobilenets import blocks
from keras_mobilenets.errors import UserError
from keras_mobilenets.graphs.input_names import HISTORY
from keras_mobilenets.models.builder import Source, builder

LENGTH = 32  # items of a history
DIMENSION = 64  # of an item's embedding, and channels of the convolutions
DILATIONS = ((1, 2), (4, 8))  # of a block's two convolutions (section 3.2.2); begun anew after the last
HIDDEN = (128, 64)  # units of the fully connected layers


def _input(shape: Any, default_size: int | None, options: Mapping[str, Any]) -> Any:
    shape = (LENGTH,) if shape is None else tuple(shape) if isinstance(shape, list | tuple) else shape
    if not isinstance(shape, tuple) or len(shape) != 1 or not isinstance(shape[0], int) or shape[0] < 1:
        raise UserError(f"input_shape={shape!r}: give (items,), the length of a history, such as ({LENGTH},)")
    return keras.Input(shape, dtype="int32", name=HISTORY)


ITEMS = Source(
    _input,
    size=f"(items,), the length of a history. Default: ({LENGTH},)",
    takes="int32 histories (batch, items), the last item at the end: 0 where nothing was, else 1 + an item's class,",
    kind="sequence",
    unit="items",
)
# Scores stay logits: a softmax of int8 has 256 levels from 0 to 1, and of a thousand items most would be 0.
_build = builder(source=ITEMS, stem_strides=1, classifier_activation=None, task="next_item")


@_build
def SeparableSequenceNet(
    x: Any, *, stem_strides: int, classes: int, alpha: float = 1.0, depth: int = 2, kernel_size: int = 3
) -> Any:
    """Builds a next-item recommender of dilated causal separable convolutions; its classes are the items.

    Args:
        depth: Residual blocks of two convolutions; dilations are 1, 2, 4, 8 and again. With 2 blocks and kernels of 3,
            31 items are seen.
        kernel_size: Items that a kernel reads.
    """
    _check(stem_strides, depth=depth, kernel_size=kernel_size)
    channels = _scaled(DIMENSION, alpha)
    x = _embedded(x, classes, channels)
    steps = x.shape[1]
    x = layers.Reshape((steps, 1, channels), name="items_map")(x)
    for index in range(depth):
        shortcut, name = x, f"block_{index + 1}"
        for number, dilation in enumerate(DILATIONS[index % len(DILATIONS)], 1):
            x = blocks.separable_conv1d(x, channels, kernel_size, dilation=dilation, name=f"{name}_{number}")
        x = blocks.residual_sum(shortcut, x, strides=1, activation=None, name=name)
    x = layers.Cropping2D(((steps - 1, 0), (0, 0)), name="last")(x)
    return layers.Flatten(name="last_vector")(x)


@_build
def DenseSequenceNet(x: Any, *, stem_strides: int, classes: int, alpha: float = 1.0) -> Any:
    """Builds the same recommender with fully connected layers in the place of the convolutions, to compare with."""
    _check(stem_strides)
    x = layers.Flatten(name="items_vector")(_embedded(x, classes, _scaled(DIMENSION, alpha)))
    for number, units in enumerate(HIDDEN, 1):
        name = f"hidden_{number}"
        x = layers.Dense(_scaled(units, alpha), use_bias=False, name=name)(x)
        x = blocks.activation(blocks.batch_norm(x, name), "relu", name)
    return x


def _embedded(x: Any, classes: int, channels: int) -> Any:
    return layers.Embedding(classes + 1, channels, name="items")(x)


def _scaled(channels: int, alpha: float) -> int:
    return channels if alpha == 1 else blocks.scaled(channels, alpha)


def _check(stem_strides: int, **sizes: int) -> None:
    if stem_strides != 1:
        raise UserError("stem_strides=2: a history has no stem that would halve it; leave stem_strides at 1")
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise UserError(f"{name}={size!r}: give a whole number, 1 or more")
