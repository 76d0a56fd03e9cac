"""ResNets, of timm and of torchvision."""

from collections.abc import Iterator, Mapping
from typing import Any

import keras

from keras_mobilenets.weights.dialects.blocks import matched_blocks


def matches(arrays: Mapping[str, Any]) -> bool:
    """Whether these tensors have the names of this dialect."""
    return any(name.startswith("layer1.") for name in arrays)


def modules(model: keras.Model, arrays: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """For every layer with weights its module: (layer, module)."""
    for block, roles, prefix in matched_blocks(model, arrays, r"layer\d+\.\d+"):
        for role in roles:
            shortcut = role == "shortcut"
            yield f"{block}_{role}", f"{prefix}.downsample.0" if shortcut else f"{prefix}.{role.replace('_', '')}"
            yield (
                f"{block}_{role}_bn",
                f"{prefix}.downsample.1" if shortcut else f"{prefix}.{role.replace('conv_', 'bn')}",
            )
    yield from (("stem", "conv1"), ("stem_bn", "bn1"), ("predictions", "fc"))
