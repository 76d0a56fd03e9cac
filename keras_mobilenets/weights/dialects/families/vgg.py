"""VGG, of timm and of torchvision."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import keras
from keras import layers


def matches(arrays: Mapping[str, Any]) -> bool:
    """Whether these tensors have the names of this dialect."""
    return any(re.match(r"features\.\d+\.(weight|bias)", name) for name in arrays)


def modules(model: keras.Model, arrays: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The convolutions stand in one sequence with their ReLUs and the poolings."""
    index = 0
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D):
            yield layer.name, f"features.{index}"
            index += 2
        elif isinstance(layer, layers.MaxPooling2D):
            index += 1
    timm = any(name.startswith("pre_logits.") for name in arrays)
    yield "hidden_1", "pre_logits.fc1" if timm else "classifier.0"
    yield "hidden_2", "pre_logits.fc2" if timm else "classifier.3"
    yield "predictions", "head.fc" if timm else "classifier.6"
