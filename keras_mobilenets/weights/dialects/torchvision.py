"""torchvision: MobileNets and EfficientNets."""

from collections.abc import Iterator, Mapping
from typing import Any

import keras

from keras_mobilenets.weights.dialects.blocks import blocks_of, prefixes_of, weighted


def matches(arrays: Mapping[str, Any]) -> bool:
    """Whether these tensors have the names of this dialect."""
    return any(name.startswith("features.") for name in arrays)


def modules(model: keras.Model, arrays: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """For every layer with weights its module: (layer, module)."""
    names = weighted(model)
    blocks = blocks_of(names)
    prefixes = prefixes_of(r"features\.\d+\.(\d+\.)?(conv|block)(?=\.)", arrays, len(blocks))
    for (block, roles), prefix in zip(blocks.items(), prefixes, strict=True):
        index = 0
        for role in roles:
            if role == "se_expand":
                yield f"{block}_{role}", f"{prefix}.{index - 1}.fc2"
                continue
            bare = role == "project" and prefix.endswith(".conv")  # MobileNetV2's is not in a module of its own
            if role == "se_reduce":
                yield f"{block}_{role}", f"{prefix}.{index}.fc1"
            else:
                yield f"{block}_{role}", f"{prefix}.{index}" + ("" if bare else ".0")
                yield f"{block}_{role}_bn", f"{prefix}.{index + 1}" if bare else f"{prefix}.{index}.1"
            index += 1
    head = f"features.{int(prefixes[-1].split('.')[1]) + 1}"
    yield from (("stem", "features.0.0"), ("stem_bn", "features.0.1"), ("head", f"{head}.0"), ("head_bn", f"{head}.1"))
    yield from (("hidden", "classifier.0"), ("predictions", "classifier.3" if "hidden" in names else "classifier.1"))
