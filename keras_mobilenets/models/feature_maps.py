"""Feature maps at several scales, for a detector or a segmenter on top of a network."""

import re
from typing import Any

import keras
from keras import layers

from keras_mobilenets.errors import UserError

STRIDES = (4, 8, 16, 32)
_STRIDED = (layers.Conv2D, layers.DepthwiseConv2D, layers.MaxPooling2D, layers.AveragePooling2D)


def features(model: keras.Model, *, expanded: bool = False) -> keras.Model:
    """Taps a network at strides 4, 8, 16 and 32: where a pixel of the map stands for so many of the image.

    Args:
        model: What a builder returned, with or without the classifier.
        expanded: Tap inside the block that follows, after its expansion and before it halves the image, as SSDLite
            does (MobileNetV2, section 6.2). Blocks without an expansion are tapped at their end.

    Returns:
        A model of the same layers and weights, without the classifier. Its output is a dictionary from "stride_4",
        "stride_8", ... to the output of the last block at that stride; the last of them is the last feature map.
        Strides that the network does not have are left out.

    Raises:
        UserError: The model is not one of a builder's.
    """
    if not isinstance(model, keras.Model) or not any(layer.name.startswith("block_") for layer in model.layers):
        raise UserError("features() takes a model of this package's builders, such as MobileNetV2(include_top=False)")
    ends = _blocks(model)
    strides = _strides(model)
    taps: dict[str, Any] = {}
    for index, layer in enumerate(ends):
        stride = strides[id(layer.output)]
        if stride in STRIDES:
            following = ends[index + 1].name if index + 1 < len(ends) else ""
            inside = _expansion(model, following) if expanded else None
            taps[f"stride_{stride}"] = layer.output if inside is None else inside
    return keras.Model(model.inputs, taps, name=f"{model.name}_features")


def _blocks(model: keras.Model) -> list[Any]:
    """The last layer of every block, and of the head, in order: layers of a block have its name in front."""
    ends: dict[str, Any] = {}
    for layer in model.layers:
        match = re.match(r"(block_\d+|head)(_|$)", layer.name)
        if match and len(layer.output.shape) == 4:
            ends[match[1]] = layer
    return list(ends.values())


def _strides(model: keras.Model) -> dict[int, int]:
    """Of every tensor, by its id, how many pixels of the input one of its positions stands for."""
    strides: dict[int, int] = {}
    for layer in model.layers:
        try:
            tensors, output = layer.input, layer.output
        except AttributeError:  # in front of the network, shared with another
            continue
        own = max(layer.strides) if isinstance(layer, _STRIDED) else 1
        strides[id(output)] = own * max((strides.get(id(x), 1) for x in keras.tree.flatten(tensors)), default=1)
    return strides


def _expansion(model: keras.Model, name: str) -> Any:
    """The activated expansion of the block that a layer belongs to, or None."""
    block = re.match(r"block_\d+", name)
    inside = [layer for layer in model.layers if block and re.match(rf"{block[0]}_expand(_|$)", layer.name)]
    return inside[-1].output if inside else None
