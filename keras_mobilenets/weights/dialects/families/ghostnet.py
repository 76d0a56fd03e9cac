"""GhostNet and GhostNetV2, of timm and of their authors."""

from collections.abc import Iterator, Mapping
from typing import Any

import keras

from keras_mobilenets.weights.dialects.blocks import blocks_of, prefixes_of, weighted

# The modules of a block and, where it has any, of the batch normalization.
_MODULES = {
    "expand_primary": ("ghost1.primary_conv.0", "ghost1.primary_conv.1"),
    "expand_cheap": ("ghost1.cheap_operation.0", "ghost1.cheap_operation.1"),
    "gate_pointwise": ("ghost1.short_conv.0", "ghost1.short_conv.1"),
    "gate_horizontal": ("ghost1.short_conv.2", "ghost1.short_conv.3"),
    "gate_vertical": ("ghost1.short_conv.4", "ghost1.short_conv.5"),
    "depthwise": ("conv_dw", "bn_dw"),
    "se_reduce": ("se.conv_reduce", ""),
    "se_expand": ("se.conv_expand", ""),
    "project_primary": ("ghost2.primary_conv.0", "ghost2.primary_conv.1"),
    "project_cheap": ("ghost2.cheap_operation.0", "ghost2.cheap_operation.1"),
    "shortcut_depthwise": ("shortcut.0", "shortcut.1"),
    "shortcut": ("shortcut.2", "shortcut.3"),
}


def matches(arrays: Mapping[str, Any]) -> bool:
    """Whether these tensors have the names of this dialect."""
    return any(".ghost1.primary_conv.0." in name for name in arrays)


def modules(model: keras.Model, arrays: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """For every layer with weights its module: (layer, module)."""
    blocks = blocks_of(weighted(model))
    *prefixes, head = prefixes_of(r"blocks\.\d+\.\d+", arrays, len(blocks) + 1)
    for (block, roles), prefix in zip(blocks.items(), prefixes, strict=True):
        for role in roles:
            convolution, normalization = _MODULES[role]
            yield f"{block}_{role}", f"{prefix}.{convolution}"
            yield f"{block}_{role}_bn", f"{prefix}.{normalization}"
    yield from (("stem", "conv_stem"), ("stem_bn", "bn1"), ("head", f"{head}.conv"), ("head_bn", f"{head}.bn1"))
    yield from (("hidden", "conv_head"), ("predictions", "classifier"))
