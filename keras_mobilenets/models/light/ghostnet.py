"""GhostNet: Han et al. 2019, "GhostNet: More Features from Cheap Operations", arXiv:1911.11907.

GhostNetV2: Tang et al. 2022, "GhostNetV2: Enhance Cheap Operation with Long-Range Attention", arXiv:2211.12905.
"""

from functools import partial
from typing import Any, NamedTuple

from keras import layers

from keras_mobilenets import blocks
from keras_mobilenets.blocks import make_divisible
from keras_mobilenets.models.builder import builder


class Row(NamedTuple):
    """A ghost bottleneck of table 7 as printed: #exp, #out, SE, Stride are the paper's columns."""

    kernel_size: int
    expanded: int
    filters: int
    excite: bool
    strides: int


STEM_FILTERS = 16
HIDDEN = 1280
# Table 7 of GhostNet; GhostNetV2 has the same.
TABLE = (
    Row(3, 16, 16, False, 1),
    Row(3, 48, 24, False, 2),
    Row(3, 72, 24, False, 1),
    Row(5, 72, 40, True, 2),
    Row(5, 120, 40, True, 1),
    Row(3, 240, 80, False, 2),
    Row(3, 200, 80, False, 1),
    Row(3, 184, 80, False, 1),
    Row(3, 184, 80, False, 1),
    Row(3, 480, 112, True, 1),
    Row(3, 672, 112, True, 1),
    Row(5, 672, 160, True, 2),
    Row(5, 960, 160, False, 1),
    Row(5, 960, 160, True, 1),
    Row(5, 960, 160, False, 1),
    Row(5, 960, 160, True, 1),
)
SQUEEZE = 0.25  # channels of a squeeze-and-excite over those it weighs
FIRST_ATTENTION = 2  # GhostNetV2's first blocks, which see few pixels at once anyway, have none (reference code)


def _hidden(x: Any, *, dropout_rate: float, width: float) -> Any:
    """The layer between pooling and classifier, which the width multiplier leaves as it is."""
    return blocks.activation(layers.Dense(HIDDEN, name="hidden")(x), "relu", "hidden")


@builder(dropout_rate=0.2, head=_hidden)
def GhostNet(x: Any, *, stem_strides: int, width: float = 1.0) -> Any:
    """Builds GhostNet (table 7); published for width 0.5, 1.0 and 1.3. Channels are rounded to multiples of 4."""
    return _network(x, stem_strides, width, len(TABLE))


@builder(dropout_rate=0.2, head=_hidden)
def GhostNetV2(x: Any, *, stem_strides: int, width: float = 1.0) -> Any:
    """Builds GhostNetV2: GhostNet with attention over rows and columns; published for width 1.0, 1.3 and 1.6."""
    return _network(x, stem_strides, width, FIRST_ATTENTION)


def _network(x: Any, stem_strides: int, width: float, first_attention: int) -> Any:
    x = blocks.conv_bn(x, _scaled(STEM_FILTERS, width), strides=stem_strides, activation="relu", name="stem")
    for index, row in enumerate(TABLE):
        expanded = _scaled(row.expanded, width)
        reduced = make_divisible(SQUEEZE * expanded, 4)
        x = blocks.ghost_bottleneck(
            x,
            _scaled(row.filters, width),
            expanded,
            kernel_size=row.kernel_size,
            strides=row.strides,
            excite=partial(blocks.squeeze_excite, reduced=reduced) if row.excite else None,
            attention=index >= first_attention,
            name=f"block_{index}",
        )
    return blocks.conv_bn(x, _scaled(TABLE[-1].expanded, width), 1, activation="relu", name="head")


def _scaled(channels: int, width: float) -> int:
    return make_divisible(channels * width, 4)
