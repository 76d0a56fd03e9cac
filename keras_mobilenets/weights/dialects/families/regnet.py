"""RegNets, of timm and of torchvision."""

from collections.abc import Iterator, Mapping
from typing import Any

import keras

from keras_mobilenets.weights.dialects.blocks import blocks_of, weighted

# What timm and torchvision call the convolutions of a block; the convolution and its normalization are inside of it.
TIMM = {"conv_1": "conv1", "conv_2": "conv2", "conv_3": "conv3", "shortcut": "downsample"}
TORCHVISION = {"conv_1": "f.a", "conv_2": "f.b", "conv_3": "f.c", "shortcut": "proj"}
EXCITE = {"se_reduce": "se.fc1", "se_expand": "se.fc2"}


def matches(arrays: Mapping[str, Any]) -> bool:
    """Whether these tensors have the names of this dialect."""
    return any(name.startswith(("s1.b1.", "trunk_output.")) for name in arrays)


def modules(model: keras.Model, arrays: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """For every layer with weights its module: (layer, module)."""
    torchvision = any(name.startswith("trunk_output.") for name in arrays)
    conv, norm = ("0", "1") if torchvision else ("conv", "bn")
    stage = number = 0
    for block, roles in blocks_of(weighted(model)).items():
        stage, number = (stage + 1, 0) if "shortcut" in roles else (stage, number + 1)
        prefix = f"trunk_output.block{stage}.block{stage}-{number}" if torchvision else f"s{stage}.b{number + 1}"
        for role in roles:
            if role in EXCITE:
                yield f"{block}_{role}", f"{prefix}.{'f.' if torchvision else ''}{EXCITE[role]}"
                continue
            module = (TORCHVISION if torchvision else TIMM)[role]
            yield f"{block}_{role}", f"{prefix}.{module}.{conv}"
            yield f"{block}_{role}_bn", f"{prefix}.{module}.{norm}"
    yield from (("stem", f"stem.{conv}"), ("stem_bn", f"stem.{norm}"))
    yield "predictions", "fc" if torchvision else "head.fc"
