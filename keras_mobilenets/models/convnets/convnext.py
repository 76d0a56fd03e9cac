"""ConvNeXt: Liu et al. 2022, "A ConvNet for the 2020s", arXiv:2201.03545.

WTConvNeXt: Finder et al. 2024, "Wavelet Convolutions for Large Receptive Fields", arXiv:2407.05848: ConvNeXt with
wavelet convolutions in the place of its depthwise ones.

Images and maps are cut into patches: what a stride does not fill at the lower and right edge is dropped, as in both
reference implementations. Stochastic depth is left out.
"""

from functools import partial
from typing import Any, NamedTuple

from keras import layers

from keras_mobilenets import blocks
from keras_mobilenets.blocks import make_divisible
from keras_mobilenets.models.builder import Builder, builder


class Variant(NamedTuple):
    """A row of the table.

    Attributes:
        repeats: Blocks of the four stages.
        filters: Of the first stage; each later one has twice as many.
        stem_share: Filters of the first convolution of an overlapping stem over those of the second.
    """

    repeats: tuple[int, int, int, int]
    filters: int
    stem_share: float = 0.5


# Section 3, "Settings"; Atto to Nano are timm's.
VARIANTS = {
    "Atto": Variant((2, 2, 6, 2), 40),
    "Femto": Variant((2, 2, 6, 2), 48),
    "Pico": Variant((2, 2, 6, 2), 64),
    "Nano": Variant((2, 2, 8, 2), 80, stem_share=1),
    "Tiny": Variant((3, 3, 9, 3), 96),
    "Small": Variant((3, 3, 27, 3), 96),
    "Base": Variant((3, 3, 27, 3), 128),
    "Large": Variant((3, 3, 27, 3), 192),
}
KERNEL_SIZE = 7
# Finder et al., section 4.1: kernel and wavelet levels of the four stages.
WAVELET_KERNEL_SIZE = 5
WAVELET_LEVELS = (5, 4, 3, 2)
# Section 3: first value of the scale of every block's output.
LAYER_SCALE = 1e-6
_ARGUMENT = """

    Args:
        layer_scale: First value of the learned scale of each block's output. A short training wants more, such as 0.1.
    """
_OVERLAPPING = """    overlapping_stem: Whether the stem is two 3×3 convolutions of strides 2, as in timm's `_ols`,
            in the place of one of patches.
    """


def _builder(variant: str) -> Builder:
    """The public builder of a variant of `VARIANTS`."""

    def body(
        x: Any,
        *,
        stem_strides: int,
        alpha: float = 1.0,
        layer_scale: float = LAYER_SCALE,
        overlapping_stem: bool = False,
    ) -> Any:
        table = VARIANTS[variant]
        stem = partial(_overlapping_stem, share=table.stem_share) if overlapping_stem else _patch_stem
        block = partial(blocks.convnext_block, kernel_size=KERNEL_SIZE, layer_scale=layer_scale)
        return _network(stem(x, make_divisible(table.filters * alpha), stem_strides), table, [block] * 4, alpha)

    body.__name__ = body.__qualname__ = f"ConvNeXt{variant}"
    body.__doc__ = f"Builds ConvNeXt-{variant[0]} (section 3); alpha is a factor on its published width.{_ARGUMENT}"
    if variant in ("Atto", "Femto", "Pico", "Nano"):
        body.__doc__ = f"Builds timm's ConvNeXt-{variant}; alpha is a factor on its published width.{_ARGUMENT}"
    body.__doc__ += _OVERLAPPING
    return builder(dropout_rate=0.0, last=partial(blocks.layer_norm, name="head"))(body)


def _wavelet_builder(variant: str) -> Builder:
    """The public builder of a variant of `VARIANTS` with wavelet convolutions."""

    def body(
        x: Any,
        *,
        stem_strides: int,
        alpha: float = 1.0,
        layer_scale: float = LAYER_SCALE,
        levels: tuple[int, ...] = WAVELET_LEVELS,
    ) -> Any:
        stages = [
            partial(
                blocks.convnext_block,
                kernel_size=WAVELET_KERNEL_SIZE,
                layer_scale=layer_scale,
                mix=partial(blocks.wavelet_conv, levels=number),
            )
            for number in levels
        ]
        table = VARIANTS[variant]
        return _network(_patch_stem(x, make_divisible(table.filters * alpha), stem_strides), table, stages, alpha)

    body.__name__ = body.__qualname__ = f"WTConvNeXt{variant}"
    body.__doc__ = (
        f"Builds WTConvNeXt-{variant[0]} (Finder et al., section 4.1); alpha is a factor on its published width."
        f"{_ARGUMENT}    levels: Wavelet levels of the four stages. Small images want fewer.\n    "
    )
    return builder(dropout_rate=0.0, last=partial(blocks.layer_norm, name="head"))(body)


def _patch_stem(x: Any, filters: int, strides: int) -> Any:
    """Patches of 4×4, or of 2×2 for small images."""
    return layers.Conv2D(filters, 2 * strides, strides=2 * strides, name="stem")(x)


def _overlapping_stem(x: Any, filters: int, strides: int, share: float) -> Any:
    x = layers.Conv2D(make_divisible(share * filters), 3, strides=strides, padding="same", name="stem")(x)
    return layers.Conv2D(filters, 3, strides=2, padding="same", name="stem_2")(x)


def _network(x: Any, variant: Variant, stages: list[Any], alpha: float) -> Any:
    """What follows the convolutions of the stem."""
    x, index = blocks.layer_norm(x, name="stem"), 0
    for stage, (block, repeats) in enumerate(zip(stages, variant.repeats, strict=True)):
        if stage:
            x = blocks.layer_norm(x, name=f"downsample_{stage}")
            filters = make_divisible(variant.filters * 2**stage * alpha)
            x = layers.Conv2D(filters, 2, strides=2, name=f"downsample_{stage}")(x)
        for _ in range(repeats):
            x = block(x, name=f"block_{index}")
            index += 1
    return x


ConvNeXtAtto = _builder("Atto")
ConvNeXtFemto = _builder("Femto")
ConvNeXtPico = _builder("Pico")
ConvNeXtNano = _builder("Nano")
ConvNeXtTiny = _builder("Tiny")
ConvNeXtSmall = _builder("Small")
ConvNeXtBase = _builder("Base")
ConvNeXtLarge = _builder("Large")
WTConvNeXtTiny = _wavelet_builder("Tiny")
WTConvNeXtSmall = _wavelet_builder("Small")
WTConvNeXtBase = _wavelet_builder("Base")
