"""EfficientNets of EfficientNet-PyTorch (lukemelas) and of EfficientNet-Lite's port, which has its names."""

from collections.abc import Iterator, Mapping
from typing import Any

import keras

from keras_mobilenets.weights.dialects.blocks import blocks_of, weighted

# What it calls the layers of a block; a block without expansion has no first normalization, and none is renumbered.
ROLES = {
    "expand": ("_expand_conv", "_bn0"),
    "depthwise": ("_depthwise_conv", "_bn1"),
    "project": ("_project_conv", "_bn2"),
    "se_reduce": ("_se_reduce", ""),
    "se_expand": ("_se_expand", ""),
}


def matches(arrays: Mapping[str, Any]) -> bool:
    """Whether these tensors have the names of this dialect."""
    return any(name.startswith("_blocks.") for name in arrays)


def modules(model: keras.Model, arrays: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """For every layer with weights its module: (layer, module)."""
    for number, (block, roles) in enumerate(blocks_of(weighted(model)).items()):
        for role in roles:
            convolution, norm = ROLES.get(role, (role, role))
            yield f"{block}_{role}", f"_blocks.{number}.{convolution}"
            if norm:
                yield f"{block}_{role}_bn", f"_blocks.{number}.{norm}"
    yield from (("stem", "_conv_stem"), ("stem_bn", "_bn0"), ("head", "_conv_head"), ("head_bn", "_bn1"))
    yield "predictions", "_fc"
