"""RegNetX and RegNetY: Radosavovic et al. 2020, "Designing Network Design Spaces", arXiv:2003.13678.

Four parameters and a group width are the whole network: widths grow linearly from block to block, are quantized to
powers of one factor, and blocks of the same width are a stage (section 3.2).
"""

from functools import partial
from typing import Any, NamedTuple

import numpy as np

from keras_mobilenets import blocks
from keras_mobilenets.models.builder import Builder, builder


class Design(NamedTuple):
    """A network's parameters (section 3.2): depth d, initial width w_0, slope w_a, quantization w_m, group width."""

    depth: int
    initial_width: int
    slope: float
    factor: float
    group_width: int


class Stage(NamedTuple):
    """Blocks of the same width, of which the first halves the image."""

    width: int
    repeats: int
    group_width: int


STEM_FILTERS = 32
WIDTH_STEP = 8  # widths are multiples of it (section 3.2)
EXCITE_RATIO = 0.25  # of a block's input channels (section 5)
# Tables 2 and 3 of the appendix give what follows from these; the parameters are in the published configurations.
X = {
    "200MF": Design(13, 24, 36.44, 2.49, 8),
    "400MF": Design(22, 24, 24.48, 2.54, 16),
    "600MF": Design(16, 48, 36.97, 2.24, 24),
    "800MF": Design(16, 56, 35.73, 2.28, 16),
    "1_6GF": Design(18, 80, 34.01, 2.25, 24),
    "3_2GF": Design(25, 88, 26.31, 2.25, 48),
    "4GF": Design(23, 96, 38.65, 2.43, 40),
    "6_4GF": Design(17, 184, 60.83, 2.07, 56),
    "8GF": Design(23, 80, 49.56, 2.88, 120),
    "12GF": Design(19, 168, 73.36, 2.37, 112),
    "16GF": Design(22, 216, 55.59, 2.1, 128),
    "32GF": Design(23, 320, 69.86, 2.0, 168),
}
Y = {
    "200MF": Design(13, 24, 36.44, 2.49, 8),
    "400MF": Design(16, 48, 27.89, 2.09, 8),
    "600MF": Design(15, 48, 32.54, 2.32, 16),
    "800MF": Design(14, 56, 38.84, 2.4, 16),
    "1_6GF": Design(27, 48, 20.71, 2.65, 24),
    "3_2GF": Design(21, 80, 42.63, 2.66, 24),
    "4GF": Design(22, 96, 31.41, 2.24, 64),
    "6_4GF": Design(25, 112, 33.22, 2.27, 72),
    "8GF": Design(17, 192, 76.82, 2.19, 56),
    "12GF": Design(19, 168, 73.36, 2.37, 112),
    "16GF": Design(18, 200, 106.23, 2.48, 112),
    "32GF": Design(20, 232, 115.89, 2.53, 232),
}


def stages(design: Design, alpha: float = 1.0, torchvision_widths: bool = False) -> list[Stage]:
    """The stages that follow from the parameters (section 3.2, equations 2 to 4).

    Block j has the linear width u_j = w_0 + w_a · j, which is quantized to w_j = w_0 · w_m^s with the nearest whole s,
    then to a multiple of 8, then to a multiple of the group width; a stage narrower than that is one group.

    Args:
        design: The network's parameters.
        alpha: Width multiplier on w_0 and w_a, so that a stage keeps its blocks. The group width stays.
        torchvision_widths: As in the builders.

    Returns:
        The stages in order.
    """
    linear = design.initial_width + design.slope * np.arange(design.depth)
    powers = np.round(np.log(linear / design.initial_width) / np.log(design.factor))
    found = []
    for power in np.unique(powers):
        width = max(WIDTH_STEP, _multiple(alpha * design.initial_width * design.factor**power, WIDTH_STEP))
        group_width = min(design.group_width, width)
        rounded = blocks.make_divisible if torchvision_widths else _multiple
        found.append(Stage(rounded(width, group_width), int(np.sum(powers == power)), group_width))
    return found


def _multiple(width: float, divisor: int) -> int:
    """The nearest multiple, the even one of two that are as near (as the reference implementation rounds)."""
    return round(width / divisor) * divisor


def _builder(kind: str, variant: str, design: Design) -> Builder:
    """The public builder of a row of `X` or `Y`."""

    def body(x: Any, *, stem_strides: int, alpha: float = 1.0, torchvision_widths: bool = False) -> Any:
        stem = max(WIDTH_STEP, _multiple(alpha * STEM_FILTERS, WIDTH_STEP))
        x = blocks.conv_bn(x, stem, strides=stem_strides, activation="relu", name="stem")
        index = 0
        for stage in stages(design, alpha, torchvision_widths):
            for repeat in range(stage.repeats):
                squeeze = partial(blocks.squeeze_excite, reduced=round(EXCITE_RATIO * x.shape[-1]), gate="sigmoid")
                x = blocks.bottleneck(
                    x,
                    stage.width,
                    stage.width,
                    strides=1 if repeat else 2,
                    groups=stage.width // stage.group_width,
                    excite=squeeze if kind == "Y" else None,
                    name=f"block_{index}",
                )
                index += 1
        return x

    body.__name__ = body.__qualname__ = f"RegNet{kind}{variant}"
    body.__doc__ = f"""Builds RegNet{kind} of {variant.replace("_", ".")} multiply-adds (section 5).

    `alpha` multiplies w_0 and w_a: every stage keeps its blocks, and widths stay multiples of the group width.

    Args:
        torchvision_widths: Whether a width halfway between two multiples of the group width is rounded up, as
            torchvision does (its X400MF, Y800MF and Y8GF are wider for it), and none by more than 10% down.
    """
    return builder(dropout_rate=0.0)(body)


RegNetX200MF = _builder("X", "200MF", X["200MF"])
RegNetX400MF = _builder("X", "400MF", X["400MF"])
RegNetX600MF = _builder("X", "600MF", X["600MF"])
RegNetX800MF = _builder("X", "800MF", X["800MF"])
RegNetX1_6GF = _builder("X", "1_6GF", X["1_6GF"])
RegNetX3_2GF = _builder("X", "3_2GF", X["3_2GF"])
RegNetX4GF = _builder("X", "4GF", X["4GF"])
RegNetX6_4GF = _builder("X", "6_4GF", X["6_4GF"])
RegNetX8GF = _builder("X", "8GF", X["8GF"])
RegNetX12GF = _builder("X", "12GF", X["12GF"])
RegNetX16GF = _builder("X", "16GF", X["16GF"])
RegNetX32GF = _builder("X", "32GF", X["32GF"])
RegNetY200MF = _builder("Y", "200MF", Y["200MF"])
RegNetY400MF = _builder("Y", "400MF", Y["400MF"])
RegNetY600MF = _builder("Y", "600MF", Y["600MF"])
RegNetY800MF = _builder("Y", "800MF", Y["800MF"])
RegNetY1_6GF = _builder("Y", "1_6GF", Y["1_6GF"])
RegNetY3_2GF = _builder("Y", "3_2GF", Y["3_2GF"])
RegNetY4GF = _builder("Y", "4GF", Y["4GF"])
RegNetY6_4GF = _builder("Y", "6_4GF", Y["6_4GF"])
RegNetY8GF = _builder("Y", "8GF", Y["8GF"])
RegNetY12GF = _builder("Y", "12GF", Y["12GF"])
RegNetY16GF = _builder("Y", "16GF", Y["16GF"])
RegNetY32GF = _builder("Y", "32GF", Y["32GF"])
