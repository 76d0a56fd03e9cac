"""The blocks of a network, on the side of Keras and of PyTorch."""

import re
from collections.abc import Mapping
from typing import Any

import keras

from keras_mobilenets.weights.tensor_names import natural


def weighted(model: keras.Model) -> list[str]:
    """The names of the layers that have weights."""
    return [layer.name for layer in model.layers if layer.weights]


def blocks_of(names: list[str]) -> dict[str, list[str]]:
    """The blocks in order, each with the roles of its layers: block_3 has expand, depthwise, se_reduce, ..."""
    blocks: dict[str, list[str]] = {}
    for name in names:
        match = re.fullmatch(r"(block_\d+)_(.+)", name)
        if match and not name.endswith("_bn"):
            blocks.setdefault(match[1], []).append(match[2])
    return dict(sorted(blocks.items(), key=lambda item: natural(item[0])))


def prefixes_of(pattern: str, arrays: Mapping[str, Any], count: int) -> list[str]:
    """The PyTorch blocks in order; those that the weights lack are numbered on from the last."""
    found = sorted({match[0] for name in arrays if (match := re.match(pattern, name))}, key=natural)[:count]
    while len(found) < count:
        stem, _, number = (found[-1] if found else "blocks.-1").rpartition(".")
        found.append(f"{stem}.{int(number) + 1}")
    return found
