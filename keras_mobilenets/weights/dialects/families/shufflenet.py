"""ShuffleNet and ShuffleNetV2 of megvii-model/ShuffleNet-Series, ShuffleNetV2 of torchvision."""

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from keras_mobilenets.weights.dialects.blocks import matched_blocks, weighted

# The convolutions of a unit, each followed by its normalization in the next module.
V1 = {"reduce": "branch_main_1.0", "depthwise": "branch_main_1.3", "expand": "branch_main_2.0"}
V2 = {
    "shortcut_depthwise": "branch_proj.0",
    "shortcut": "branch_proj.2",
    "conv_1": "branch_main.0",
    "depthwise": "branch_main.3",
    "conv_2": "branch_main.5",
}
TORCHVISION_V2 = {
    "shortcut_depthwise": "branch1.0",
    "shortcut": "branch1.2",
    "conv_1": "branch2.0",
    "depthwise": "branch2.3",
    "conv_2": "branch2.5",
}


def matches(arrays: Mapping[str, Any]) -> bool:
    """Whether these tensors have the names of this dialect."""
    return any(part in name for name in arrays for part in (".branch_main_1.", ".branch_main.0.", ".branch2.0."))


def tensors(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """With a bias of zeros for the classifier of megvii's ShuffleNetV2, which has none."""
    classifier = arrays.get("classifier.0.weight")
    if "conv_last.0.weight" not in arrays or classifier is None or "classifier.0.bias" in arrays:
        return dict(arrays)
    return {**arrays, "classifier.0.bias": np.zeros(len(classifier), np.float32)}


def modules(model: keras.Model, arrays: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """For every layer with weights its module: (layer, module)."""
    if "block_0_reduce" in weighted(model):
        unit, pattern, stem, head, classifier = V1, r"features\.\d+", "first_conv", "conv5", "classifier.0"
    elif "conv_last.0.weight" in arrays:
        unit, pattern, stem, head, classifier = V2, r"features\.\d+", "first_conv", "conv_last", "classifier.0"
    else:
        unit, pattern, stem, head, classifier = TORCHVISION_V2, r"stage\d+\.\d+", "conv1", "conv5", "fc"
    for block, roles, prefix in matched_blocks(model, arrays, pattern):
        for role in roles:
            branch, _, number = unit[role].rpartition(".")
            yield f"{block}_{role}", f"{prefix}.{unit[role]}"
            yield f"{block}_{role}_bn", f"{prefix}.{branch}.{int(number) + 1}"
    yield from (("stem", f"{stem}.0"), ("stem_bn", f"{stem}.1"), ("head", f"{head}.0"), ("head_bn", f"{head}.1"))
    yield "predictions", classifier
