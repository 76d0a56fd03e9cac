"""RepViT, of timm, in the form of its training."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from keras_mobilenets.weights.dialects.blocks import blocks_of, weighted

# The modules of a block's layers (a 1×1 branch that is normalized is inside of its module), ...
_BLOCK = {
    "depthwise_branch_0": "token_mixer.conv.c",
    "depthwise_branch_0_bn": "token_mixer.conv.bn",
    "depthwise_point": "token_mixer.conv1",
    "depthwise_point_bn": "token_mixer.conv1.bn",
    "depthwise_bn": "token_mixer.bn",
    "se_reduce": "se.fc1",
    "se_expand": "se.fc2",
    "expand": "channel_mixer.conv1.c",
    "expand_bn": "channel_mixer.conv1.bn",
    "project": "channel_mixer.conv2.c",
    "project_bn": "channel_mixer.conv2.bn",
}
# ... and of one that halves the image, which has another before it.
_HALVING = {
    "depthwise": "spatial_downsample.c",
    "depthwise_bn": "spatial_downsample.bn",
    "pointwise": "channel_downsample.c",
    "pointwise_bn": "channel_downsample.bn",
    "expand": "ffn.conv1.c",
    "expand_bn": "ffn.conv1.bn",
    "project": "ffn.conv2.c",
    "project_bn": "ffn.conv2.bn",
} | {f"before_{role}": f"pre_block.{module}" for role, module in _BLOCK.items()}
_ENDS = {
    "stem": "stem.conv1.c",
    "stem_bn": "stem.conv1.bn",
    "stem_2": "stem.conv2.c",
    "stem_2_bn": "stem.conv2.bn",
    "predictions_labels_bn": "head.head.bn",
    "predictions_labels": "head.head.l",
    "predictions_teacher_bn": "head.head_dist.bn",
    "predictions_teacher": "head.head_dist.l",
}


def matches(arrays: Mapping[str, Any]) -> bool:
    """Whether these tensors have the names of this dialect."""
    return any(".token_mixer.conv.c." in name for name in arrays)


def modules(model: keras.Model, arrays: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """For every layer with weights its module: (layer, module)."""
    names = weighted(model)
    blocks, stage, place = blocks_of(names), 0, 0
    prefixes = {}
    for block, roles in blocks.items():
        if "pointwise" in roles:  # it halves the image
            stage, place = stage + 1, 0
            prefixes[block] = f"stages.{stage}.downsample"
        else:
            prefixes[block] = f"stages.{stage}.blocks.{place}"
            place += 1
    for name in names:
        match = re.fullmatch(r"(block_\d+)_(.+)", name)
        if match:
            prefix = prefixes[match[1]]
            module = (_HALVING if prefix.endswith(".downsample") else _BLOCK)[match[2]]
            normalized = name.endswith("_point") and f"{name}_bn" in names
            yield name, f"{prefix}.{module}.c" if normalized else f"{prefix}.{module}"
    yield from _ENDS.items()
