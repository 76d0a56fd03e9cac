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
}
Y = {
    "200MF": Design(13, 24, 36.44, 2.49, 8),
    "400MF": Design(16, 48, 27.89, 2.09, 8),
    "600MF": Design(15, 48, 32.54, 2.32, 16),
    "800MF": Design(14, 56, 38.84, 2.4, 16),
    "1_6GF": Design(27, 48, 20.71, 2.65, 24),
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
            torchvision does (its X400MF and Y800MF are wider for it), and none by more than 10% down.
    """
    return builder(dropout_rate=0.0)(body)


RegNetX200MF = _builder("X", "200MF", X["200MF"])
RegNetX400MF = _builder("X", "400MF", X["400MF"])
RegNetX600MF = _builder("X", "600MF", X["600MF"])
RegNetX800MF = _builder("X", "800MF", X["800MF"])
RegNetX1_6GF = _builder("X", "1_6GF", X["1_6GF"])
RegNetY200MF = _builder("Y", "200MF", Y["200MF"])
RegNetY400MF = _builder("Y", "400MF", Y["400MF"])
RegNetY600MF = _builder("Y", "600MF", Y["600MF"])
RegNetY800MF = _builder("Y", "800MF", Y["800MF"])
RegNetY1_6GF = _builder("Y", "1_6GF", Y["1_6GF"])
