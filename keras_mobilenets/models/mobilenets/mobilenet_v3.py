"""MobileNetV3: Howard et al. 2019, "Searching for MobileNetV3", arXiv:1905.02244."""

from functools import partial
from typing import Any, NamedTuple

from keras import layers

from keras_mobilenets import blocks
from keras_mobilenets.blocks import make_divisible
from keras_mobilenets.models.builder import builder

STEM_FILTERS = 16


class Row(NamedTuple):
    """A bottleneck of table 1 or 2 as printed: exp size, SE and NL are the paper's columns."""

    kernel_size: int
    expanded: int
    filters: int
    excite: bool
    activation: str
    strides: int


RE, HS = "relu", "hard_silu"  # hard_silu is Keras's name of h-swish, x · ReLU6(x + 3) / 6 (section 5.2)

# Table 1.
LARGE = (
    Row(3, 16, 16, False, RE, 1),
    Row(3, 64, 24, False, RE, 2),
    Row(3, 72, 24, False, RE, 1),
    Row(5, 72, 40, True, RE, 2),
    Row(5, 120, 40, True, RE, 1),
    Row(5, 120, 40, True, RE, 1),
    Row(3, 240, 80, False, HS, 2),
    Row(3, 200, 80, False, HS, 1),
    Row(3, 184, 80, False, HS, 1),
    Row(3, 184, 80, False, HS, 1),
    Row(3, 480, 112, True, HS, 1),
    Row(3, 672, 112, True, HS, 1),
    Row(5, 672, 160, True, HS, 2),
    Row(5, 960, 160, True, HS, 1),
    Row(5, 960, 160, True, HS, 1),
)
LARGE_HIDDEN = 1280

# Table 2.
SMALL = (
    Row(3, 16, 16, True, RE, 2),
    Row(3, 72, 24, False, RE, 2),
    Row(3, 88, 24, False, RE, 1),
    Row(5, 96, 40, True, HS, 2),
    Row(5, 240, 40, True, HS, 1),
    Row(5, 240, 40, True, HS, 1),
    Row(5, 120, 48, True, HS, 1),
    Row(5, 144, 48, True, HS, 1),
    Row(5, 288, 96, True, HS, 2),
    Row(5, 576, 96, True, HS, 1),
    Row(5, 576, 96, True, HS, 1),
)
SMALL_HIDDEN = 1024


def _hidden(x: Any, filters: int, *, alpha: float, minimalistic: bool, **_: Any) -> Any:
    """The layer between pooling and classifier, moved behind the pooling to cost little (section 5.1)."""
    x = layers.Dense(filters if alpha <= 1 else make_divisible(filters * alpha), name="hidden")(x)
    return blocks.activation(x, RE if minimalistic else HS, "hidden")


@builder(dropout_rate=0.2, head=partial(_hidden, filters=LARGE_HIDDEN))
def MobileNetV3Large(
    x: Any, *, stem_strides: int, alpha: float = 1.0, minimalistic: bool = False, reduced_tail: bool = False
) -> Any:
    """Builds MobileNetV3-Large (table 1); published for alpha 0.75 and 1.0, and for 1.0 minimalistic.

    Args:
        minimalistic: Only what every accelerator runs well: 3×3 for 5×5, ReLU for h-swish, no squeeze-and-excite.
        reduced_tail: Half the channels behind the expansion of the block that goes to stride 32, for a detector
            (section 6.3).
    """
    return _network(x, _reduced(LARGE) if reduced_tail else LARGE, stem_strides, alpha, minimalistic)


@builder(dropout_rate=0.2, head=partial(_hidden, filters=SMALL_HIDDEN))
def MobileNetV3Small(
    x: Any, *, stem_strides: int, alpha: float = 1.0, minimalistic: bool = False, reduced_tail: bool = False
) -> Any:
    """Builds MobileNetV3-Small (table 2); published for alpha 0.75 and 1.0, and for 1.0 minimalistic.

    Args:
        minimalistic: Only what every accelerator runs well: 3×3 for 5×5, ReLU for h-swish, no squeeze-and-excite.
        reduced_tail: Half the channels behind the expansion of the block that goes to stride 32, for a detector
            (section 6.3).
    """
    return _network(x, _reduced(SMALL) if reduced_tail else SMALL, stem_strides, alpha, minimalistic)


def _reduced(table: tuple[Row, ...]) -> tuple[Row, ...]:
    """The table with half the channels in its last three rows, but for the first expansion, which a detector reads."""
    *before, first, second, third = table
    first = first._replace(filters=first.filters // 2)
    halved = (row._replace(expanded=row.expanded // 2, filters=row.filters // 2) for row in (second, third))
    return (*before, first, *halved)


def _network(x: Any, table: tuple[Row, ...], stem_strides: int, alpha: float, minimalistic: bool) -> Any:
    if minimalistic:
        table = tuple(row._replace(kernel_size=3, excite=False, activation=RE) for row in table)
    outer = table[-1].activation  # the stem and the head have that of the last rows
    x = blocks.conv_bn(x, STEM_FILTERS, strides=stem_strides, activation=outer, name="stem")
    unscaled = STEM_FILTERS
    for index, row in enumerate(table):
        x = _bottleneck(x, row, row.expanded / unscaled, alpha, f"block_{index}")
        unscaled = row.filters
    return blocks.conv_bn(x, make_divisible(6 * x.shape[-1]), 1, activation=outer, name="head")


def _bottleneck(x: Any, row: Row, expansion: float, alpha: float, name: str) -> Any:
    """One row. The width multiplier keeps the row's expansion, so the expanded channels follow the scaled input's."""
    expanded = make_divisible(expansion * x.shape[-1])
    excite = partial(blocks.squeeze_excite, reduced=make_divisible(expanded / 4)) if row.excite else None
    return blocks.inverted_residual(
        x,
        make_divisible(row.filters * alpha),
        expanded / x.shape[-1],
        kernel_size=row.kernel_size,
        strides=row.strides,
        activation=row.activation,
        excite=excite,
        name=name,
    )
