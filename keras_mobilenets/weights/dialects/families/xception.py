"""Xception, of timm (`legacy_xception`) and of the checkpoints that it took over."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from keras_mobilenets.weights.dialects.blocks import blocks_of, weighted

PARTS = {"depthwise": "conv1", "pointwise": "pointwise"}


def matches(arrays: Mapping[str, Any]) -> bool:
    """Whether these tensors have the names of this dialect."""
    return any(re.match(r"block1\.(rep|skip)\.", name) for name in arrays)


def modules(model: keras.Model, arrays: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """For every layer with weights its module: (layer, module)."""
    for number, (block, roles) in enumerate(blocks_of(weighted(model)).items(), 1):
        for role in roles:
            if role == "shortcut":
                yield from (
                    (f"{block}_shortcut", f"block{number}.skip"),
                    (f"{block}_shortcut_bn", f"block{number}.skipbn"),
                )
                continue
            _, index, part = role.split("_")
            # In a sequence of activation, convolution, normalization; the first block's begins with the convolution.
            place = 3 * (int(index) - 1) + (number > 1)
            yield f"{block}_{role}", f"block{number}.rep.{place}.{PARTS[part]}"
            yield f"{block}_{role}_bn", f"block{number}.rep.{place + 1}"
    for n in (1, 2):
        stem = "stem" if n == 1 else "stem_2"
        yield from ((stem, f"conv{n}"), (f"{stem}_bn", f"bn{n}"))
        yield from ((f"head_{n}_{part}", f"conv{n + 2}.{module}") for part, module in PARTS.items())
        yield f"head_{n}_pointwise_bn", f"bn{n + 2}"
    yield "predictions", "fc"
