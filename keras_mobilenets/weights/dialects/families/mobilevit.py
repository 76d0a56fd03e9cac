"""timm's MobileViT."""

from collections.abc import Iterator, Mapping
from typing import Any

import keras

from keras_mobilenets.weights.dialects.blocks import attention_tensors, matched_blocks

RESIDUAL = {"expand": "conv1_1x1", "depthwise": "conv2_kxk", "project": "conv3_1x1"}
# Of a MobileViT block: convolutions with a normalization, ...
CONVOLUTIONS = {"local": "conv_kxk", "project": "conv_proj", "fuse": "conv_fusion"}
# those without, ...
ALONE = {"embed": "conv_1x1", "norm": "norm"}
# ... and the layers of a transformer.
TRANSFORMER = {
    "attention_norm": "norm1",
    "query": "attn.query",
    "key": "attn.key",
    "value": "attn.value",
    "project": "attn.proj",
    "norm": "norm2",
    "expand": "mlp.fc1",
    "reduce": "mlp.fc2",
}


def matches(arrays: Mapping[str, Any]) -> bool:
    """Whether these tensors have the names of this dialect."""
    return any(name.startswith("stages.") and ".conv1_1x1.conv." in name for name in arrays)


def tensors(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Query, key and value each by itself, linear layers as 1×1 convolutions."""
    return attention_tensors(arrays)


def modules(model: keras.Model, arrays: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """For every layer with weights its module: (layer, module)."""
    for block, roles, prefix in matched_blocks(model, arrays, r"stages\.\d+\.\d+"):
        for role in roles:
            number, _, inside = role.partition("_")
            if number.isdigit():
                yield f"{block}_{role}", f"{prefix}.transformer.{number}.{TRANSFORMER[inside]}"
            elif role in ALONE:
                yield f"{block}_{role}", f"{prefix}.{ALONE[role]}"
            else:
                module = (CONVOLUTIONS if "embed" in roles else RESIDUAL)[role]
                yield f"{block}_{role}", f"{prefix}.{module}.conv"
                yield f"{block}_{role}_bn", f"{prefix}.{module}.bn"
    for layer, module in (("stem", "stem"), ("head", "final_conv")):
        yield from ((layer, f"{module}.conv"), (f"{layer}_bn", f"{module}.bn"))
    yield "predictions", "head.fc"
