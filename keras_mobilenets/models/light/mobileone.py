"""MobileOne: Vasu et al. 2022, "MobileOne: An Improved One millisecond Mobile Backbone", arXiv:2206.04040."""

from functools import partial
from typing import Any, NamedTuple

from keras_mobilenets import blocks
from keras_mobilenets.blocks import make_divisible
from keras_mobilenets.models.builder import Builder, builder

# Table 2: channels before scaling and blocks of each stage; every stage begins at stride 2.
CHANNELS = (64, 128, 256, 512)
REPEATS = (2, 8, 10, 1)
SQUEEZE = 1 / 16  # channels of a squeeze-and-excite over those it weighs


class Variant(NamedTuple):
    """A column of table 2: width factor of each stage, parallel convolutions, last blocks of a stage that excite."""

    widths: tuple[float, float, float, float]
    branches: int = 1
    excited: tuple[int, int, int, int] = (0, 0, 0, 0)


VARIANTS = {
    "S0": Variant((0.75, 1.0, 1.0, 2.0), branches=4),
    "S1": Variant((1.5, 1.5, 2.0, 2.5)),
    "S2": Variant((1.5, 2.0, 2.5, 4.0)),
    "S3": Variant((2.0, 2.5, 3.0, 4.0)),
    "S4": Variant((3.0, 3.5, 3.5, 4.0), excited=(0, 0, 5, 1)),
}


def _builder(name: str) -> Builder:
    """The public builder of a variant of `VARIANTS`."""
    variant = VARIANTS[name]

    def body(x: Any, *, stem_strides: int, alpha: float = 1.0) -> Any:
        widths = [make_divisible(c * w * alpha) for c, w in zip(CHANNELS, variant.widths, strict=True)]
        x = blocks.branched_conv(x, min(CHANNELS[0], widths[0]), strides=stem_strides, name="stem")
        index = 0
        for filters, repeats, excited in zip(widths, REPEATS, variant.excited, strict=True):
            for repeat in range(repeats):
                x = _block(x, filters, 1 if repeat else 2, variant.branches, repeat >= repeats - excited, index)
                index += 1
        return x

    body.__name__ = body.__qualname__ = f"MobileOne{name}"
    body.__doc__ = (
        f"Builds MobileOne-{name} (table 2) as it is trained, with parallel branches.\n\n"
        "    `reparameterized` makes plain convolutions of them, as `convert` does by itself."
    )
    return builder(dropout_rate=0.0)(body)


def _block(x: Any, filters: int, strides: int, branches: int, excites: bool, index: int) -> Any:
    """A depthwise and a pointwise convolution, each of parallel branches."""
    for role, kernel_size, count in (("depthwise", 3, None), ("pointwise", 1, filters)):
        reduced = make_divisible(SQUEEZE * (count or x.shape[-1]))
        x = blocks.branched_conv(
            x,
            count,
            kernel_size,
            strides=strides if count is None else 1,
            branches=branches,
            excite=partial(blocks.squeeze_excite, reduced=reduced, gate="sigmoid") if excites else None,
            begins_as_identity=True,  # the paper's begin with factors of one and take 300 epochs
            name=f"block_{index}_{role}",
        )
    return x


MobileOneS0 = _builder("S0")
MobileOneS1 = _builder("S1")
MobileOneS2 = _builder("S2")
MobileOneS3 = _builder("S3")
MobileOneS4 = _builder("S4")
