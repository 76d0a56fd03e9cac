"""MobileOne, of timm, in the form of its training or folded."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from keras_mobilenets.weights.dialects.blocks import blocks_of, weighted


def matches(arrays: Mapping[str, Any]) -> bool:
    """Whether these tensors have the names of this dialect."""
    return any(".conv_kxk.0.conv." in name or ".reparam_conv." in name for name in arrays)


def modules(model: keras.Model, arrays: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """For every layer with weights its module: (layer, module)."""
    names, of = weighted(model), {"stem": "stem"}
    stage, place = -1, 0
    for block in blocks_of(names):
        if max(model.get_layer(f"{block}_depthwise_branch_0").strides) > 1:
            stage, place = stage + 1, 0
        for role in ("depthwise", "pointwise"):
            of[f"{block}_{role}"] = f"stages.{stage}.{place}"
            place += 1
    for name in names:
        match = re.fullmatch(r"(stem|block_\d+_(?:depth|point)wise)_(.+)", name)
        if match:
            yield name, f"{of[match[1]]}.{branch_module(match[2], squeeze='attn')}"
    yield "predictions", "head.fc"


def branch_module(role: str, squeeze: str) -> str:
    """The module of a branch's convolution or batch normalization, or of squeeze-and-excite, which is called so."""
    if role.startswith("se_"):
        return f"{squeeze}.{'fc1' if role == 'se_reduce' else 'fc2'}"
    if role == "identity_bn":
        return "identity"
    branch, is_norm = role.removesuffix("_bn"), role.endswith("_bn")
    place = "conv_scale" if branch == "point" else f"conv_kxk.{branch.removeprefix('branch_')}"
    return f"{place}.{'bn' if is_norm else 'conv'}"
