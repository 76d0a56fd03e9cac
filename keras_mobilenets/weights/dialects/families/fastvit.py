"""FastViT of timm, in the form of its training or folded."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from keras_mobilenets.weights.dialects.blocks import attention_tensors, blocks_of, prefixes_of, weighted
from keras_mobilenets.weights.dialects.families.mobileone import branch_module

# Of a block, ...
_BLOCK = {
    "mixer_norm_bn": "token_mixer.norm.identity",
    "mixer_scale": "token_mixer.layer_scale",
    "attention_bn": "norm",
    "query": "token_mixer.query",
    "key": "token_mixer.key",
    "value": "token_mixer.value",
    "project": "token_mixer.proj",
    "attention_scale": "layer_scale_1",
    "depthwise": "mlp.conv.conv",
    "depthwise_bn": "mlp.conv.bn",
    "expand": "mlp.fc1",
    "reduce": "mlp.fc2",
}
# ... and where the image is halved.
_HALVING = {
    "large": "proj.0.large_conv.conv",
    "large_bn": "proj.0.large_conv.bn",
    "small": "proj.0.small_conv.conv",
    "small_bn": "proj.0.small_conv.bn",
    "se_reduce": "proj.0.se.fc1",
    "se_expand": "proj.0.se.fc2",
}
_ENDS = {"stem": "stem.0", "stem_2": "stem.1", "stem_3": "stem.2", "head": "final_conv"}


def matches(arrays: Mapping[str, Any]) -> bool:
    """Whether these tensors have the names of this dialect."""
    return any(".token_mixer.mixer." in name or ".token_mixer.reparam_conv." in name for name in arrays)


def tensors(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Query, key and value each by itself, linear layers as 1×1 convolutions, a scale as one number a channel."""
    flat = {name: array.reshape(-1) if name.endswith(".gamma") else array for name, array in arrays.items()}
    return attention_tensors(flat)


def modules(model: keras.Model, arrays: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """For every layer with weights its module: (layer, module)."""
    names = weighted(model)
    blocks = blocks_of(names)
    prefixes = dict(zip(blocks, prefixes_of(r"stages\.\d+\.blocks\.\d+", arrays, len(blocks)), strict=True))
    for name in names:
        if match := re.fullmatch(r"(block_\d+)_(.+)", name):
            yield name, f"{prefixes[match[1]]}.{block_module(match[2], attends='query' in blocks[match[1]])}"
        elif match := re.fullmatch(r"downsample_(\d)_(pointwise_)?(.+)", name):
            module = f"proj.1.{branch_module(match[3], 'se')}" if match[2] else _HALVING[match[3]]
            yield name, f"stages.{match[1]}.downsample.{module}"
        elif match := re.fullmatch(r"(stem|stem_2|stem_3|head)_((?:branch|point|identity|se).*)", name):
            yield name, f"{_ENDS[match[1]]}.{branch_module(match[2], 'se')}"
    yield from (("position", "stages.3.pos_emb.pos_enc"), ("predictions", "head.fc"))


def block_module(role: str, *, attends: bool) -> str:
    """The module inside of a block that has attention or not."""
    if role == "scale":
        return "layer_scale_2" if attends else "layer_scale"
    if role not in _BLOCK:
        return f"token_mixer.mixer.{branch_module(role.removeprefix('mixer_'), 'se')}"
    return _BLOCK[role]
