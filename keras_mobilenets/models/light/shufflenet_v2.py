"""ShuffleNetV2: Ma et al. 2018, "ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design",
arXiv:1807.11164.
"""

from typing import Any

import numpy as np
from keras import layers

from keras_mobilenets import blocks
from keras_mobilenets.models.builder import builder

# Table 5: output channels of stage 2 by the width; each stage after it has twice as many.
CHANNELS = {0.5: 48, 1.0: 116, 1.5: 176, 2.0: 244}
STEM_FILTERS = 24
HEAD_FILTERS = 1024
WIDE_HEAD_FILTERS = 2048  # from width 2.0 on
# Table 5: units in stages 2 to 4; the first of each has stride 2.
REPEATS = (4, 8, 4)


@builder(dropout_rate=0.0)
def ShuffleNetV2(x: Any, *, stem_strides: int, width: float = 1.0, reference_units: bool = False) -> Any:
    """Builds ShuffleNetV2 (table 5); published for width 0.5, 1.0, 1.5 and 2.0.

    Other widths have channels in between, in multiples of 4. The stem has 24 channels at every width.

    Args:
        reference_units: Whether units are those of the authors' own network (megvii-model/ShuffleNet-Series): the
            shortcut of a stage's first unit keeps its channels, and the split takes every second channel. Else each
            branch gives half of the channels, as in the paper's figure 3 and in torchvision.
    """
    x = blocks.conv_bn(x, STEM_FILTERS, strides=stem_strides, activation="relu", name="stem")
    x = layers.MaxPooling2D(3, strides=2, padding="same", name="stem_pool")(x)
    index = 0
    for stage, repeat in enumerate(REPEATS):
        for strides in [2] + [1] * (repeat - 1):
            own = {"shortcut_filters": x.shape[-1], "by_turns": True} if reference_units else {}
            x = blocks.split_shuffle_unit(x, channels(width) * 2**stage, strides=strides, **own, name=f"block_{index}")
            index += 1
    head = HEAD_FILTERS if width < max(CHANNELS) else WIDE_HEAD_FILTERS
    return blocks.conv_bn(x, head, 1, activation="relu", name="head")


def channels(width: float) -> int:
    """Output channels of stage 2: the table's, and between its rows on the line from one to the next."""
    widest = max(CHANNELS)
    if width > widest:
        return round(CHANNELS[widest] * width / widest / 4) * 4
    return max(4, round(float(np.interp(width, [0, *CHANNELS], [0, *CHANNELS.values()])) / 4) * 4)
