"""PyTorch tensors into the weights of a Keras model: by the dialect of their names, in the layout of Keras."""

from typing import Any

import keras
import numpy as np
from keras import layers

from keras_mobilenets.weights import folded_branches
from keras_mobilenets.weights.dialects import dialect_of
from keras_mobilenets.weights.tensor_names import HEAD, TOP, check_names


def fill(model: keras.Model, arrays: dict[str, np.ndarray], top: bool) -> None:
    """Writes every tensor into its weight.

    Raises:
        ValueError: Names or shapes differ; says which.
    """
    dialect = dialect_of(arrays)
    arrays = dialect.tensors(arrays) if hasattr(dialect, "tensors") else arrays
    targets = _targets(model, dialect, arrays)
    needed = {name: _torch_shape(*target) for name, target in targets.items()}
    arrays = folded_branches.unfolded(arrays, targets, needed)
    extra = {name for name in arrays.keys() - targets.keys() if top or not TOP.match(name)}
    shapes = {}
    for name in targets.keys() & arrays.keys():
        needs, has = needed[name], arrays[name].shape
        same_size = isinstance(targets[name][0], layers.Dense) and has[:1] + (int(np.prod(has[1:])),) == needs
        shapes[name] = (needs if same_size else has, needs)
    _check_channels(model, [shapes[name] for name in shapes if targets[name][0].name.startswith("stem")])
    missing = targets.keys() - arrays.keys()
    if top and missing and all(map(HEAD.match, missing)) and not any(map(HEAD.match, arrays)):
        raise ValueError("they have no classifier: give include_top=False")
    check_names(missing, extra, shapes)
    for name, (layer, weight) in targets.items():
        weight.assign(_keras_layout(model, layer, weight, arrays[name]))


def _targets(model: keras.Model, dialect: Any, arrays: dict[str, np.ndarray]) -> dict[str, tuple[Any, Any]]:
    """By the name that its tensor has in PyTorch, every weight that is to be loaded, with its layer."""
    try:
        modules = dict(dialect.modules(model, arrays))
        return {
            f"{modules[layer.name]}.{leaf}": (layer, weight)
            for layer in model.layers
            if layer.trainable  # else its weights are constants, such as a wavelet's
            for leaf, weight in zip(_leaves(layer), layer.weights, strict=True)
        }
    except (KeyError, ValueError):  # a block has a layer that this dialect knows nothing of, or lacks one
        raise ValueError(f"they are of another family: {', '.join(sorted(arrays)[:3])} and so on") from None


def _check_channels(model: keras.Model, stems: list[tuple[Any, Any]]) -> None:
    """Raises a ValueError where the first convolution takes images of other channels than the model's."""
    for has, needs in stems:
        if len(has) == len(needs) == 4 and has[1] != needs[1] == model.input_shape[-1]:
            raise ValueError(f"its images have {has[1]} channels: give input_tensor=keras.Input((96, 96, {has[1]}))")


def _leaves(layer: Any) -> list[str]:
    """What PyTorch calls the weights of a layer, in the order of Keras."""
    if isinstance(layer, layers.BatchNormalization):
        return ["weight", "bias", "running_mean", "running_var"]
    if layer.name.endswith("_scale"):
        return ["gamma"][: len(layer.weights)]
    return ["weight", "bias"][: len(layer.weights)]


def _torch_shape(layer: Any, weight: Any) -> tuple[int, ...]:
    shape = tuple(weight.shape)
    if layer.name.endswith("_scale"):
        return shape[2:3]
    if len(shape) < 4:
        return shape[::-1]
    height, width, inputs, filters = shape
    return (inputs * filters, 1, height, width) if _is_depthwise(layer) else (filters, inputs, height, width)


def _keras_layout(model: keras.Model, layer: Any, weight: Any, array: np.ndarray) -> np.ndarray:
    if array.ndim == 1:
        return array.reshape(weight.shape)
    if len(weight.shape) == 4:
        return (
            array.transpose(2, 3, 0, 1).reshape(weight.shape) if _is_depthwise(layer) else array.transpose(2, 3, 1, 0)
        )
    if len(weight.shape) == 2:
        before = [other for other in model.layers if isinstance(other, layers.Flatten)]
        if before and layer.input is before[0].output:  # PyTorch flattens channels first
            height, width, channels = before[0].input.shape[1:]
            array = array.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
        return array.reshape(len(array), -1).T
    return array


def _is_depthwise(layer: Any) -> bool:
    return isinstance(layer, layers.DepthwiseConv2D)
