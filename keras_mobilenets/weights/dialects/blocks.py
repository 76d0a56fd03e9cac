"""The blocks of a network, on the side of Keras and of PyTorch."""

import re
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

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


def matched_blocks(model: keras.Model, arrays: Mapping[str, Any], pattern: str) -> list[tuple[str, list[str], str]]:
    """The blocks of a model in order, the roles of their layers, and PyTorch's prefixes of them, of that pattern."""
    blocks = blocks_of(weighted(model))
    prefixes = prefixes_of(pattern, arrays, len(blocks))
    return [(block, roles, prefix) for (block, roles), prefix in zip(blocks.items(), prefixes, strict=True)]


def attention_tensors(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The tensors of a transformer as its layers have them.

    Returns:
        Query, key and value each by itself, `....query.weight`; matrices but the classifiers' as 1×1 convolutions.
    """
    result: dict[str, Any] = {}
    for name, array in arrays.items():
        inside = array.ndim == 2 and name.endswith(".weight") and name.count(".") > 2
        array = array[:, :, None, None] if inside else array
        before, middle, leaf = name.rpartition(".qkv.")
        if not middle:
            result[name] = array
            continue
        if f"{before}.attention_biases" in arrays:  # the heads stand side by side, each with its query, key and value
            heads = arrays[f"{before}.attention_biases"].shape[0]
            by_head = array.reshape(heads, -1, *array.shape[1:])
            key_dim = (by_head.shape[1] - arrays[f"{before}.proj.weight"].shape[1] // heads) // 2
            parts = [part.reshape(-1, *array.shape[1:]) for part in np.split(by_head, (key_dim, 2 * key_dim), axis=1)]
        else:
            parts = np.split(array, 3)
        result |= {f"{before}.{role}.{leaf}": part for role, part in zip(("query", "key", "value"), parts, strict=True)}
    return result
