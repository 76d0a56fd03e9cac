"""The models of timm, torchvision and megvii that have a builder here: `torch_models.csv`.

A row is a name with the tag of its weights: what they were trained on, and the trainable parameters with 1000 classes.
"""

import csv
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np

from keras_mobilenets.weights.tensor_names import HEAD


class TorchModel(NamedTuple):
    """A row of torch_models.csv."""

    name: str
    tag: str
    library: str
    pixels: str
    parameters: int


@cache
def published() -> list[TorchModel]:
    """Every row of torch_models.csv; of a name, the weights that its library takes by default stand first."""
    text = (files("keras_mobilenets.weights") / "torch_models.csv").read_text(encoding="utf-8")
    rows = csv.reader(text.splitlines()[1:])
    return [TorchModel(name, tag, library, pixels, int(count)) for name, tag, library, pixels, count in rows]


def names() -> list[str]:
    """The names that `from_torch` is known to take."""
    return list(dict.fromkeys(row.name for row in published()))


def parsed(name: str) -> tuple[str, str]:
    """A name as people write it, and the tag of its weights: "timm/mobilenetv2_100.ra_in1k", "MobileNet_V2_Weights",
    "mobilenet_v2-b0353104.pth".
    """
    last = re.split(r"[/:]", str(name))[-1]
    last = re.sub(r"(?<=_x\d)\.(?=\d)", "_", last)  # the width: "shufflenetv2_x0.5"
    plain, _, tag = re.sub(r"\.(pth|pt|bin|ckpt|tar|safetensors)\b", "", last).partition(".")
    plain = re.sub(r"(_coco)?(-[0-9a-f]{8,}|_weights|-openclip|)$", "", plain.lower())
    return re.sub(r"^(mobileclip2?)-", r"\1_", plain), tag.lower()


def published_pixels(name: str, tag: str, library: str) -> tuple[str, str]:
    """What the weights of a name were trained on, as `pixels=` says it.

    Args:
        name: The model's.
        tag: Of its weights; empty for none.
        library: "timm", "torchvision" or "megvii", whose names may be alike.

    Returns:
        By the tag, else of the weights that the library takes by default; and a line for the user, empty where the
        name's weights were all trained on the same.
    """
    rows = [row for row in published() if row.name == name and row.library == library]
    if not rows:
        return "imagenet", ""
    found = [row for row in rows if row.tag == tag]
    kinds = list(dict.fromkeys(row.pixels for row in rows))
    if found or len(kinds) == 1:
        return (found or rows)[0].pixels, ""
    tags = [f"{kind} ({', '.join(row.tag for row in rows if row.pixels == kind)})" for kind in kinds]
    line = f"weights of {name} were trained on pixels of {' or '.join(tags)}: {kinds[0]} is taken; say it by pixels="
    return kinds[0], line


def fitting(arrays: Mapping[str, Any], other_than: str) -> str:
    """The end of a message about weights that do not fit: the model that they look like, by their number."""
    counted = {name: array for name, array in arrays.items() if not name.endswith(("running_mean", "running_var"))}
    heads = [array.shape for name, array in counted.items() if HEAD.match(name) and array.ndim == 2]
    total = sum(int(np.prod(array.shape)) for array in counted.values())
    for classes, channels in heads:
        if (classes, channels) == heads[-1]:  # of a distilled network both
            total += (1000 - classes) * (channels + 1)
    found = list(dict.fromkeys(row.name for row in published() if row.parameters == total and row.name != other_than))
    return f"; they have as many parameters as {' or '.join(found)}: give that name" if found else ""
