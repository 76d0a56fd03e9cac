"""ShuffleNet: Zhang et al. 2017, "ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile Devices",
arXiv:1707.01083.
"""

import math
from typing import Any

from keras import layers

from keras_mobilenets import blocks
from keras_mobilenets.errors import UserError
from keras_mobilenets.models.builder import builder

# Table 1: output channels of stage 2 by the number of groups; each stage after it has twice as many.
CHANNELS = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}
STEM_FILTERS = 24
# Table 1: units in stages 2 to 4; the first of each has stride 2.
REPEATS = (4, 8, 4)


@builder(dropout_rate=0.0, classifier_bias=False)
def ShuffleNetV1(x: Any, *, stem_strides: int, width: float = 1.0, groups: int = 3) -> Any:
    """Builds ShuffleNet (table 1); published for width 0.25, 0.5, 1.0, 1.5 and 2.0.

    Channels are rounded up until the bottlenecks, a quarter of them, can be divided into the groups. The stem of wide
    networks grows in whole steps: 24 channels up to width 1.5, 48 from 2.0 on, as in the reference implementation
    (megvii-model/ShuffleNet-Series), whose classifier has no bias.

    Args:
        groups: Groups of the 1×1 convolutions: 1, 2, 3, 4 or 8.
    """
    if groups not in CHANNELS:
        raise UserError(f"groups={groups!r}: ShuffleNetV1 has {', '.join(map(str, CHANNELS))} groups (table 1)")
    stem = _whole(STEM_FILTERS * (width if width < 1 else int(width)), groups)
    x = blocks.conv_bn(x, stem, strides=stem_strides, activation="relu", name="stem")
    x = layers.MaxPooling2D(3, strides=2, padding="same", name="stem_pool")(x)
    index = 0
    for stage, repeat in enumerate(REPEATS):
        filters = _whole(CHANNELS[groups] * 2**stage * width, 4 * groups)
        for strides in [2] + [1] * (repeat - 1):
            reduce_groups = groups if index else 1  # the stem has few channels (section 3.3)
            x = blocks.grouped_shuffle_unit(
                x, filters, groups, strides=strides, reduce_groups=reduce_groups, name=f"block_{index}"
            )
            index += 1
    return x


def _whole(channels: float, divisor: int) -> int:
    """Channels rounded up to a multiple."""
    return math.ceil(channels / divisor) * divisor
