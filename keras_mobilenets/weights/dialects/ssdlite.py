"""torchvision's SSDLite: its MobileNet in two pieces, extra maps and two heads."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from keras_mobilenets.weights.dialects import torchvision

_BACKBONE = "features."  # behind the prefix backbone., which is taken off before
_HEADS = {"boxes": "head.regression_head.module_list", "scores": "head.classification_head.module_list"}
_LAST = re.compile(r"head\.regression_head\.module_list\.\d+\.1\.(weight|bias)")


def matches(arrays: Mapping[str, Any]) -> bool:
    """Whether these tensors have the names of this dialect."""
    return any(name.startswith(_HEADS["scores"]) for name in arrays)


def classes(arrays: Mapping[str, Any]) -> int:
    """The object classes, without the background; every map has six anchors."""
    return len(arrays[f"{_HEADS['scores']}.0.1.bias"]) // 6 - 1


def tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The backbone as torchvision's classifier names it; offsets in the order y, x, height, width."""
    second = 1 + max(int(name.split(".")[2]) for name in arrays if name.startswith(f"{_BACKBONE}0."))
    split = second - 1  # the block whose expansion ends the first piece
    result = {}
    for name, array in arrays.items():
        if _LAST.fullmatch(name):
            array = array.reshape(-1, 4, *array.shape[1:])[:, [1, 0, 3, 2]].reshape(array.shape)
        if name.startswith(_BACKBONE):
            piece, index, rest = name.removeprefix(_BACKBONE).split(".", 2)
            number = int(index) + (split if piece == "1" else 0)
            if piece == "0" and number == split:
                rest = f"block.0.{rest}"
            elif piece == "1" and index == "0":
                rest = f"block.{rest}"
            name = f"features.{number}.{rest}"
        result[name] = array
    return result


def modules(model: keras.Model, arrays: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """For every layer with weights its module: (layer, module)."""
    yield from torchvision.modules(model, arrays)
    for index in range(4):
        for place, part in enumerate(("reduce", "depthwise", "pointwise")):
            yield f"extra_{index}_{part}", f"extra.{index}.{place}.0"
            yield f"extra_{index}_{part}_bn", f"extra.{index}.{place}.1"
    for kind, head in _HEADS.items():
        for index in range(6):
            yield f"{kind}_{index}_depthwise", f"{head}.{index}.0.0"
            yield f"{kind}_{index}_depthwise_bn", f"{head}.{index}.0.1"
            yield f"{kind}_{index}", f"{head}.{index}.1"
