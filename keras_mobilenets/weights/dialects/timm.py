"""timm: MobileNets, EfficientNets and MobileNetV4."""

from collections.abc import Iterator, Mapping
from typing import Any

import keras

from keras_mobilenets.weights.dialects.blocks import blocks_of, prefixes_of, weighted

# What timm calls the convolutions of an inverted residual, ...
ROLES = {
    "expand": "conv_pw",
    "depthwise": "conv_dw",
    "pointwise": "conv_pw",
    "fused": "conv_exp",
    "project": "conv_pwl",
}
# ... of a universal inverted bottleneck, ...
UNIVERSAL = {"start_depthwise": "dw_start", "expand": "pw_exp", "depthwise": "dw_mid", "project": "pw_proj"}
# ... and of multi-query attention.
ATTENTION = {
    "query": "query.proj",
    "key_depthwise": "key.down_conv",
    "key_depthwise_bn": "key.norm",
    "key": "key.proj",
    "value_depthwise": "value.down_conv",
    "value_depthwise_bn": "value.norm",
    "value": "value.proj",
    "project": "output.proj",
}


def matches(arrays: Mapping[str, Any]) -> bool:
    """Whether these tensors have the names of this dialect."""
    return any(name.startswith("blocks.") for name in arrays)


def modules(model: keras.Model, arrays: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """For every layer with weights its module: (layer, module)."""
    names = weighted(model)
    blocks = blocks_of(names)
    cut = "hidden" in names  # the head is a block of its own where another convolution follows the pooling
    prefixes = prefixes_of(r"blocks\.\d+\.\d+", arrays, len(blocks) + cut)
    universal = any(".pw_exp." in name for name in arrays)
    for (block, roles), prefix in zip(blocks.items(), prefixes, strict=False):
        inside = _attention() if "query" in roles else _block(roles, universal and "expand" in roles)
        yield from ((f"{block}_{role}", f"{prefix}.{module}") for role, module in inside)
    yield from (("stem", "conv_stem"), ("stem_bn", "bn1"), ("predictions", "classifier"))
    yield from (("hidden", "conv_head"), ("hidden_bn", "norm_head"))
    yield "head", f"{prefixes[-1]}.conv" if cut else "conv_head"
    yield "head_bn", f"{prefixes[-1]}.bn1" if cut else "bn2"


def _attention() -> Iterator[tuple[str, str]]:
    yield from ((role, f"attn.{module}") for role, module in ATTENTION.items())
    yield from (("input_bn", "norm"), ("scale", "layer_scale"))


def _block(roles: list[str], universal: bool) -> Iterator[tuple[str, str]]:
    """The modules of a block: its normalizations are numbered, except a universal one's."""
    number = 0
    for role in roles:
        if role == "scale":
            yield role, "layer_scale"
        elif role.startswith("se_"):
            yield role, role.replace("se_", "se.conv_")
        elif universal:
            yield role, f"{UNIVERSAL[role]}.conv"
            yield f"{role}_bn", f"{UNIVERSAL[role]}.bn"
        else:
            number += 1
            second = role == "project" and roles[0] == "depthwise"  # of a depthwise separable block
            yield role, "conv" if len(roles) == 1 else "conv_pw" if second else ROLES[role]
            yield f"{role}_bn", f"bn{number}"
