"""The ImageNet weights that keras.applications publishes: where they are, and in what their networks differ.

`imagenet.csv` has URL and hash of every file (MD5 or SHA-256); those of MobileNetV1 and V2 were published without.
"""

import csv
import re
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_mobilenets.errors import UserError, first_line
from keras_mobilenets.variant import parse_arguments
from keras_mobilenets.weights.hdf5 import Stored, kind_of

# What the published models do to pixels 0..255 before their first convolution.
IMAGENET_MEAN = np.array([0.485, 0.456, 0.406])
IMAGENET_STDDEV = np.array([0.229, 0.224, 0.225])
CAFFE_MEAN = np.array([123.68, 116.779, 103.939])


class Pretrained(NamedTuple):
    """A row of imagenet.csv."""

    builder: str
    arguments: str
    sizes: str
    url: str
    without_top: str
    hash: str
    hash_without_top: str


def published() -> list[Pretrained]:
    """Every row of imagenet.csv."""
    text = (files("keras_mobilenets.weights") / "imagenet.csv").read_text(encoding="utf-8")
    return [Pretrained(*row) for row in csv.reader(text.splitlines()[1:])]


def download(model: Any) -> Path:
    """The file of a builder's published weights, downloaded once by `keras.utils.get_file`.

    Raises:
        UserError: None are published for this model, or they cannot be downloaded.
    """
    name, options = _variant(model)
    rows = [row for row in published() if row.builder == name]
    if not rows:
        have = ", ".join(dict.fromkeys(row.builder for row in published()))
        raise UserError(f'no weights="imagenet" are published for {name}; there are for {have}')
    defaults = {"alpha": 1.0, "minimalistic": False}
    row = next((row for row in rows if defaults | parse_arguments(row.arguments) == defaults | options), None)
    if row is None:
        have = "; ".join(row.arguments.replace(";", ",") or "alpha=1.0" for row in rows)
        raise UserError(f'weights="imagenet" for {name} are published for {have}')
    top = model.layers[-1].name == "predictions"
    if top and model.output_shape[-1] != 1000:
        raise UserError(f'weights="imagenet" have 1000 classes, not {model.output_shape[-1]}: use include_top=False')
    size = next((s for s in row.sizes.split() if model.input_shape[1:3] == (int(s), int(s))), "224")
    url = row.url.format(size=size, top="" if top else row.without_top)
    expected = (row.hash if top else row.hash_without_top) or None
    try:
        return Path(keras.utils.get_file(url.rsplit("/", 1)[1], url, cache_subdir="models", file_hash=expected))
    except Exception as error:  # urllib, http and ssl have their own kinds
        raise UserError(f"cannot download {url}: {first_line(error)}; put the file into ~/.keras/models") from error


def scaling_of(name: str, source: Any, stored: Stored) -> tuple[list[float], list[float]] | None:
    """Factors and offsets that make of our input, pixels / 127.5 − 1, what the network of these weights saw."""
    if re.match("EfficientNetB", name):
        normalization = next((arrays for _, arrays in stored if kind_of(arrays) == "normalization"), None)
        if normalization is None:
            return None
        mean, deviation = normalization[0].ravel(), np.sqrt(normalization[1].ravel())
        if source == "imagenet":  # those were trained with pixels divided by the variance (keras.applications says)
            deviation = deviation * np.sqrt(IMAGENET_STDDEV)
        factors, offsets = 1 / 255 / deviation, -mean / deviation
    elif re.match("EfficientNetV2B", name) or (name.startswith("ConvNeXt") and _normalizes(source, stored)):
        factors, offsets = 1 / 255 / IMAGENET_STDDEV, -IMAGENET_MEAN / IMAGENET_STDDEV
    elif re.match("RegNet", name):
        factors, offsets = np.full(3, 1 / 255), np.zeros(3)
    elif re.match("EfficientNetV2", name):
        factors, offsets = np.full(3, 1 / 128), np.full(3, -1.0)
    elif name in ("ResNet50", "VGG16") and source == "imagenet":
        factors, offsets = np.ones(3), -CAFFE_MEAN
    else:
        return None
    return (factors * 127.5).tolist(), (offsets + factors * 127.5).tolist()


def epsilon_of(name: str) -> float | None:
    """The epsilon of the batch normalizations in a builder's published network, where the builder has another."""
    return 1e-5 if name.startswith("RegNet") else 1.001e-5 if name == "ResNet50" else None


def layers_in_order(model: Any) -> list[Any]:
    """The layers of a model as its published file has them: RegNet's has a block's shortcut behind the convolutions."""
    if not builder_name(model).startswith("RegNet"):
        return list(model.layers)
    places = {layer.name: index for index, layer in enumerate(model.layers)}
    behind = {layer.name: places[layer.name.replace("_shortcut", "_conv_3")] for layer in model.layers}
    return sorted(model.layers, key=lambda layer: (behind[layer.name], "_shortcut" in layer.name))


def _normalizes(source: Any, stored: Stored) -> bool:
    """Whether a ConvNeXt of keras.applications has its preprocessing inside: a layer of that name, without weights."""
    return source == "imagenet" or any(re.search(r"(^|prestem_)normalization$", name) for name, _ in stored)


def stride_first(model: Any) -> Callable[[Any], dict[str, Any]]:
    """For `adapted`: moves the stride of a bottleneck from its second convolution to the first."""
    strides = {layer.name: layer.strides for layer in model.layers if isinstance(layer, keras.layers.Conv2D)}

    def changes(layer: Any) -> dict[str, Any]:
        block, _, index = layer.name.partition("_conv_")
        return {"strides": strides[f"{block}_conv_2"] if index == "1" else (1, 1)} if index in ("1", "2") else {}

    return changes


def _variant(model: Any) -> tuple[str, dict[str, Any]]:
    if not hasattr(model, "variant"):
        raise UserError('weights="imagenet" go into models that a builder of keras_mobilenets has just built')
    return model.variant


def builder_name(model: Any) -> str:
    """The name of the builder that made the model; empty for another model."""
    return getattr(model, "variant", ("",))[0]
