"""ShuffleNet of megvii-model/ShuffleNet-Series, ShuffleNetV2 of torchvision."""

from collections.abc import Iterator, Mapping
from typing import Any

import keras

from keras_mobilenets.weights.dialects.blocks import blocks_of, prefixes_of, weighted

# The convolutions of a unit, each followed by its normalization in the next module.
V1 = {"reduce": "branch_main_1.0", "depthwise": "branch_main_1.3", "expand": "branch_main_2.0"}
V2 = {
    "shortcut_depthwise": "branch1.0",
    "shortcut": "branch1.2",
    "conv_1": "branch2.0",
    "depthwise": "branch2.3",
    "conv_2": "branch2.5",
}


def matches(arrays: Mapping[str, Any]) -> bool:
    """Whether these tensors have the names of this dialect."""
    return any(".branch_main_1." in name or ".branch2.0." in name for name in arrays)


def modules(model: keras.Model, arrays: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """For every layer with weights its module: (layer, module)."""
    blocks = blocks_of(weighted(model))
    is_first = "block_0_reduce" in weighted(model)
    unit, pattern = (V1, r"features\.\d+") if is_first else (V2, r"stage\d+\.\d+")
    for (block, roles), prefix in zip(blocks.items(), prefixes_of(pattern, arrays, len(blocks)), strict=True):
        for role in roles:
            branch, _, number = unit[role].rpartition(".")
            yield f"{block}_{role}", f"{prefix}.{unit[role]}"
            yield f"{block}_{role}_bn", f"{prefix}.{branch}.{int(number) + 1}"
    stem = "first_conv" if is_first else "conv1"
    yield from (("stem", f"{stem}.0"), ("stem_bn", f"{stem}.1"), ("head", "conv5.0"), ("head_bn", "conv5.1"))
    yield "predictions", "classifier.0" if is_first else "fc"
