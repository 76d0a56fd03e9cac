"""What PyTorch libraries call the modules of a network: one file a dialect.

Each has `matches(arrays)`, whether tensors have the names of that dialect, and `modules(model, arrays)`, the module of
every layer with weights. One whose tensors are not those of a layer each has `tensors(arrays)`, which makes them so.
"""

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from keras_mobilenets.weights.dialects import clip_text, ssdlite, timm, torchvision
from keras_mobilenets.weights.dialects.families import (
    convnext,
    efficientnet,
    fastvit,
    ghostnet,
    metaformer,
    mobileone,
    mobilevit,
    regnet,
    repvit,
    resnet,
    shufflenet,
    vgg,
    xception,
)

# The first that matches is taken.
_DIALECTS = (
    clip_text, ssdlite, ghostnet, fastvit, mobileone, repvit, convnext, metaformer, mobilevit, shufflenet, resnet, vgg,
    torchvision, timm, regnet, xception, efficientnet,
)  # fmt: skip


def dialect_of(arrays: Mapping[str, Any]) -> ModuleType:
    """The dialect of a state dictionary.

    Raises:
        ValueError: It is none of those known here.
    """
    for dialect in _DIALECTS:
        if dialect.matches(arrays):
            return dialect
    raise ValueError(f"they have no names of timm or torchvision: {', '.join(sorted(arrays)[:3]) or 'none at all'}")
