"""timm's PoolFormer and EfficientFormer."""

from collections.abc import Iterator, Mapping
from typing import Any

import keras

from keras_mobilenets.weights.dialects.blocks import attention_tensors, matched_blocks, weighted

# Of a block; ...
ROLES = {
    "attention_norm": "norm1",
    "query": "token_mixer.query",
    "key": "token_mixer.key",
    "value": "token_mixer.value",
    "position_bias": "token_mixer.position_bias",
    "project": "token_mixer.proj",
    "attention_scale": "ls1",
    "norm": "norm2",
    "expand": "mlp.fc1",
    "reduce": "mlp.fc2",
    "scale": "ls2",
}
# ... where its mixer is a pooling.
POOLING = {"pool_norm": "norm1", "pool_scale": "ls1", "project": "mlp.fc2"}


def matches(arrays: Mapping[str, Any]) -> bool:
    """Whether these tensors have the names of this dialect."""
    return any(name.startswith("stages.") and name.endswith((".layer_scale1.scale", ".ls1.gamma")) for name in arrays)


def tensors(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """By EfficientFormer's names; query, key and value each by itself, linear layers as 1×1 convolutions."""
    result = {}
    for name, array in attention_tensors(arrays).items():
        if name.endswith(".attention_biases"):
            name, array = name.replace("attention_biases", "position_bias.weight"), array.T
        result[name.replace(".layer_scale", ".ls").replace(".scale", ".gamma")] = array
    return result


def modules(model: keras.Model, arrays: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """For every layer with weights its module: (layer, module)."""
    for block, roles, prefix in matched_blocks(model, arrays, r"stages\.\d+\.blocks\.\d+"):
        for role in roles:
            module = (POOLING if "query" not in roles else {}).get(role) or ROLES[role]
            yield f"{block}_{role}", f"{prefix}.{module}"
            yield f"{block}_{role}_bn", f"{prefix}.{module.replace('fc', 'norm')}"
    for stage in (1, 2, 3):
        yield f"downsample_{stage}", f"stages.{stage}.downsample.conv"
        yield f"downsample_{stage}_bn", f"stages.{stage}.downsample.norm"
    if "stem" in weighted(model):
        yield from (("stem", "stem.conv"), ("head_norm", "head.norm"), ("predictions", "head.fc"))
        return
    for number in (1, 2):
        yield from ((f"stem_{number}", f"stem.conv{number}"), (f"stem_{number}_bn", f"stem.norm{number}"))
    yield from (("head_norm", "norm"), ("predictions_labels", "head"), ("predictions_teacher", "head_dist"))
