"""The layers of an HDF5 weights file, read without running anything it holds."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.weights.tensor_names import natural

POINTWISE = "/pointwise"  # ends the name of a separable convolution's second half
Stored = list[tuple[str, list[np.ndarray]]]  # the layers of a file in the order of the network: name, weights


def read(path: Path) -> Stored:
    """The layers of an HDF5 file: `.weights.h5`, weights in the older `.h5` format, or a whole model in that.

    A layer of a model inside the model is called `model/layer` in a `.weights.h5`.

    Raises:
        UserError: It is no such file, or damaged.
    """
    import h5py

    try:
        with h5py.File(path) as file:
            if "layers" in file and "layer_names" not in file.attrs:
                stored = list(_grouped(file["layers"]))
            else:
                root = file if "layer_names" in file.attrs else file["model_weights"]
                stored = [
                    (name, [np.asarray(root[name][weight]) for weight in _texts(root[name], "weight_names")])
                    for name in _texts(root, "layer_names")
                ]
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is not a whole HDF5 weights file; fetch or save it again") from error
    return stored


def named(path: Path) -> dict[str, list[np.ndarray]]:
    """Weights by the name of their layer, of a `.keras` or `.weights.h5` file; empty where it does not name all.

    Such files are in the order of the layers, which may be another at another input size.
    """
    import h5py

    is_archive = zipfile.is_zipfile(path)
    with h5py.File(io.BytesIO(zipfile.ZipFile(path).read("model.weights.h5")) if is_archive else path) as file:
        groups = [] if "layer_names" in file.attrs else [group for group in file.get("layers", {}).values() if group]
        inner = {key for group in groups for key in group} - {"vars", "seed_generator"}
        if inner or any("name" not in group["vars"].attrs for group in groups):
            return {}  # layers inside of layers, or a file of the first Keras 3
        arrays = {group["vars"].attrs["name"]: [np.asarray(var) for var in group["vars"].values()] for group in groups}
        return {name: values for name, values in arrays.items() if values}


def _grouped(layers: Any) -> Iterator[tuple[str, list[np.ndarray]]]:
    for name, group in sorted(layers.items(), key=lambda item: natural(item[0])):
        if "layers" in group:
            yield from ((f"{name}/{inner}", arrays) for inner, arrays in _grouped(group["layers"]))
        else:
            yield name, [np.asarray(var) for var in group.get("vars", {}).values()]


def _texts(group: Any, name: str) -> list[str]:
    """A list of names among the attributes, which HDF5 limits to 64 KB: a longer one is in parts `name0`, `name1`…"""
    parts = [group.attrs[name]] if name in group.attrs else []
    while f"{name}{len(parts)}" in group.attrs:
        parts.append(group.attrs[f"{name}{len(parts)}"])
    return [text.decode() if isinstance(text, bytes) else str(text) for part in parts for text in part]


def convolutions_apart(stored: Stored) -> Stored:
    """Separable convolutions as two layers, as a builder has them: the depthwise, and `name/pointwise`."""
    apart = []
    for name, arrays in stored:
        separable = [array.ndim for array in arrays[:2]] == [4, 4]
        apart += [(name, arrays[:1]), (f"{name}{POINTWISE}", arrays[1:])] if separable else [(name, arrays)]
    return apart


def kind_of(weights: Any) -> str:
    """What a layer is, by the shapes of its weights; names differ from file to file."""
    ranks = [len(weight.shape) for weight in weights]
    if not ranks:
        return "none"
    if ranks == [1, 1, 1, 1]:
        return "norm"
    if ranks == [1, 1]:
        return "layer norm"
    if len(ranks) == 3 and ranks[-1] == 0:
        return "normalization"
    shape = tuple(weights[0].shape)
    if len(ranks) == 1 and (ranks == [1] or (ranks == [4] and shape[:2] + shape[3:] == (1, 1, 1))):
        return "scale"
    return "depthwise" if ranks[0] == 4 and 1 in shape[2:] else "kernel"
