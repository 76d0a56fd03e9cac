"""RepViT: Wang et al. 2023, "RepViT: Revisiting Mobile CNN From ViT Perspective", arXiv:2307.09283."""

from functools import partial
from typing import Any, NamedTuple

from keras_mobilenets import blocks
from keras_mobilenets.blocks import make_divisible
from keras_mobilenets.models.builder import Builder, builder

EXPANSION = 2
SQUEEZE = 0.25  # channels of a squeeze-and-excite over those it weighs; every other block has one


class Variant(NamedTuple):
    """Channels of each stage, its blocks behind the one that halves the image, and where a block normalizes."""

    channels: tuple[int, int, int, int]
    repeats: tuple[int, int, int, int]
    normalizes_sum: bool = True


# The variants of section 4.1, by their latency on an iPhone 12 (figures of the reference implementation); M1 to M3 are
# those of the paper's first version.
VARIANTS = {
    "M0_9": Variant((48, 96, 192, 384), (2, 2, 14, 2)),
    "M1_0": Variant((56, 112, 224, 448), (2, 2, 14, 2)),
    "M1_1": Variant((64, 128, 256, 512), (2, 2, 12, 2)),
    "M1_5": Variant((64, 128, 256, 512), (4, 4, 24, 4)),
    "M2_3": Variant((80, 160, 320, 640), (6, 6, 34, 2)),
    "M1": Variant((48, 96, 192, 384), (2, 2, 14, 2), normalizes_sum=False),
    "M2": Variant((64, 128, 256, 512), (2, 2, 12, 2), normalizes_sum=False),
    "M3": Variant((64, 128, 256, 512), (4, 4, 18, 2), normalizes_sum=False),
}


def _builder(name: str) -> Builder:
    """The public builder of a variant of `VARIANTS`."""
    variant = VARIANTS[name]
    block = partial(blocks.repvit_block, expansion=EXPANSION, normalizes_sum=variant.normalizes_sum)

    def body(x: Any, *, stem_strides: int, alpha: float = 1.0) -> Any:
        widths = [make_divisible(channels * alpha) for channels in variant.channels]
        x = blocks.conv_bn(x, widths[0] // 2, strides=stem_strides, activation="gelu", name="stem")
        x = blocks.conv_bn(x, widths[0], strides=2, activation=None, name="stem_2")
        index = 0
        for filters, repeats in zip(widths, variant.repeats, strict=True):
            if index:
                x = _halved(block(x, name=f"block_{index}_before"), filters, f"block_{index}")
                index += 1
            for repeat in range(repeats):
                squeeze = 0 if repeat % 2 else make_divisible(SQUEEZE * filters)
                x = block(x, squeeze=squeeze, name=f"block_{index}")
                index += 1
        return x

    body.__name__ = body.__qualname__ = f"RepViT{name}"
    body.__doc__ = (
        f"Builds RepViT-{name.replace('_', '.')} as it is trained, with parallel branches and two classifiers.\n\n"
        "    `reparameterized` makes plain layers of them, as `convert` does by itself."
    )
    return builder(dropout_rate=0.0, classifier=partial(blocks.distilled_classifier, normalized=True))(body)


def _halved(x: Any, filters: int, name: str) -> Any:
    """Halves the image behind a block: depthwise and pointwise convolution, channel mixer (section 3.3, figure 4)."""
    x = blocks.depthwise_bn(x, strides=2, activation=None, name=f"{name}_depthwise")
    x = blocks.conv_bn(x, filters, 1, activation=None, name=f"{name}_pointwise")
    return blocks.channel_mixer(x, EXPANSION, name=name)


RepViTM0_9 = _builder("M0_9")
RepViTM1_0 = _builder("M1_0")
RepViTM1_1 = _builder("M1_1")
RepViTM1_5 = _builder("M1_5")
RepViTM2_3 = _builder("M2_3")
RepViTM1 = _builder("M1")
RepViTM2 = _builder("M2")
RepViTM3 = _builder("M3")
