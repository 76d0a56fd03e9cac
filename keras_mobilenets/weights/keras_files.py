"""Weights from files, without running anything a file holds: keras.applications' formats, `.keras`, `.safetensors`."""

import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_mobilenets.errors import UserError, first_line
from keras_mobilenets.weights import hdf5
from keras_mobilenets.weights.adaptation import adapted
from keras_mobilenets.weights.hdf5 import POINTWISE, Stored, convolutions_apart, kind_of
from keras_mobilenets.weights.imagenet import (
    builder_name,
    download,
    epsilon_of,
    layers_in_order,
    scaling_of,
    stride_first,
)
from keras_mobilenets.weights.keras_convnext import in_network_order
from keras_mobilenets.weights.tensor_names import check_names

SUFFIXES = (".h5", ".hdf5", ".keras", ".safetensors")


def load_weights(model: Any, source: Any) -> Any:
    """Loads weights into a model; one that raises stays as it was.

    Args:
        model: A Keras model.
        source: "imagenet" for the weights that keras.applications publishes for the builder (downloaded once by
            `keras.utils.get_file`), or the path of a file of the same architecture: `.keras` or `.weights.h5` of this
            package, `.weights.h5` or `.h5` of keras.applications (matched layer by layer in order), or `.safetensors`
            of this package's own variable paths, such as `stem/kernel`.

    Returns:
        The model.

    Raises:
        UserError: Nothing is published for the model, it cannot be downloaded, or the file is missing, of another
            kind, damaged, or of another architecture. Also when the weights need what only the builder can add, such
            as the layer that scales the input of EfficientNets: build those with `weights="imagenet"`.
    """
    path, stored = _open(model, source)
    needed = _differences(model, source, stored)
    if needed and not getattr(model, "adapted", False):
        call = f'{builder_name(model)}(weights="{source}")'
        if source == "imagenet" or "scaling" not in needed:
            raise UserError(f"these weights were trained with {' and '.join(needed)} of their own: build it as {call}")
        warnings.warn(f"{source} was trained on pixels of another scale; {call} adds it to the model", stacklevel=2)
    _fill(model, source, path, stored)
    return model


def pretrained(model: Any, source: Any, shared: Any = ()) -> Any:
    """What a builder returns for `weights=source`: the model, or its like with the weights' own input scaling, padding
    and epsilon (`adapted`). `shared` are the layers in front of the network, which stay the caller's.
    """
    path, stored = _open(model, source)
    needed = _differences(model, source, stored)
    if needed:
        model = adapted(model, shared=shared, **{key: value for part in needed.values() for key, value in part.items()})
        model.adapted = True
    _fill(model, source, path, stored)
    return model


def _open(model: Any, source: Any) -> tuple[Path, Stored | None]:
    """The file, and its layers where they are of another implementation than the model: keras.applications'."""
    if not isinstance(source, str | Path):
        raise UserError(f'weights={source!r}: give "imagenet" or the path of a {", ".join(SUFFIXES)} file')
    path = download(model) if source == "imagenet" else Path(source)
    if not path.is_file():
        raise UserError(f'no weights file {path}: give "imagenet" or the path of a {", ".join(SUFFIXES)} file')
    if path.suffix not in SUFFIXES:
        raise UserError(f"{path}: weights come from {', '.join(SUFFIXES)} files, never from pickled ones")
    stored = hdf5.read(path) if path.suffix in (".h5", ".hdf5") else None
    is_foreign = stored is not None and (source == "imagenet" or _is_foreign(model, path, stored))
    return path, stored if is_foreign else None


def _differences(model: Any, source: Any, stored: Stored | None) -> dict[str, dict[str, Any]]:
    """In what the network of these weights differs from the builder's: words, and arguments of `adapted`."""
    name = builder_name(model)
    needed: dict[str, dict[str, Any]] = {}
    if stored is None:
        return needed
    if (scaling := scaling_of(name, source, stored)) is not None:
        needed["scaling"] = {"scaling": scaling}
    if name == "ResNet50":  # He et al. 2015, where a block's first convolution has the stride
        needed["strides"] = {"symmetric": True, "changes": stride_first(model)}
    if (epsilon := epsilon_of(name)) is not None:
        needed["epsilon"] = {"epsilon": epsilon}
    return needed


def _fill(model: Any, source: Any, path: Path, stored: Stored | None) -> None:
    """Writes the file's weights into the model, all or none."""
    before = model.get_weights()
    try:
        if path.suffix == ".safetensors":
            _fill_by_path(model, path)
        elif stored is not None:
            _fill_in_order(model, stored)
            if source == "imagenet" and builder_name(model) in ("ResNet50", "VGG16"):  # they took BGR
                kernel = next(layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)).kernel
                kernel.assign(np.asarray(kernel)[:, :, ::-1])
        else:
            _fill_by_name(model, path)
    except Exception as error:  # damaged files fail in many ways
        model.set_weights(before)
        raise UserError(f"{path} does not fit {model.name}: {first_line(error)}") from error


def _fill_by_name(model: Any, path: Path) -> None:
    """Layer by layer of the same name; in order where the file's names are others."""
    named, layers = hdf5.named(path), {layer.name: layer for layer in model.layers if layer.weights}
    if named.keys() != layers.keys():
        model.load_weights(path)
        return
    for name, arrays in named.items():
        layers[name].load_own_variables({str(index): array for index, array in enumerate(arrays)})


def _fill_by_path(model: Any, path: Path) -> None:
    from safetensors.numpy import load_file

    arrays = load_file(path)
    if not any("/" in name for name in arrays):
        raise UserError("it has PyTorch's names; keras_mobilenets.from_torch(name, path) builds the model and loads it")
    ours = {weight.path: weight for weight in model.weights}
    check_names(
        missing=ours.keys() - arrays.keys(),
        extra=arrays.keys() - ours.keys(),
        shapes={n: (arrays[n].shape, tuple(ours[n].shape)) for n in ours.keys() & arrays.keys()},
    )
    for name, weight in ours.items():
        weight.assign(arrays[name])


def _fill_in_order(model: Any, stored: Stored) -> None:
    """Layer by layer, kind by kind: the n-th depthwise convolution of the file is the model's n-th."""
    if builder_name(model).startswith("ConvNeXt"):
        stored = in_network_order(stored)
    ours_by_kind, theirs_by_kind = defaultdict(list), defaultdict(list)
    for name, arrays in convolutions_apart(stored):  # `.weights.h5` has separable convolutions behind all others
        theirs_by_kind["pointwise" if name.endswith(POINTWISE) else kind_of(arrays)].append((name, arrays))
    for layer in layers_in_order(model):
        pointwise = "pointwise" in theirs_by_kind and _follows_depthwise(layer)
        ours_by_kind["pointwise" if pointwise else kind_of(layer.weights)].append(layer)
    for kind in ("norm", "layer norm", "depthwise", "scale", "pointwise", "kernel"):  # norms first: biases join them
        ours, theirs = ours_by_kind[kind], theirs_by_kind[kind]
        if len(ours) != len(theirs):
            words = {"kernel": "convolutions and dense layers", "norm": "batch normalizations", "scale": "scales"}
            word = words.get(kind, f"{kind}s" if kind == "layer norm" else f"{kind} ones")
            raise ValueError(f"it has {len(theirs)} {word}, the model {len(ours)}")
        for layer, (name, arrays) in zip(ours, theirs, strict=True):
            _assign(model, layer, name, arrays)


def _follows_depthwise(layer: Any) -> bool:
    source = layer.input._keras_history.operation if isinstance(layer, keras.layers.Conv2D) else None
    return isinstance(source, keras.layers.DepthwiseConv2D)


def _assign(model: Any, layer: Any, name: str, arrays: list[np.ndarray]) -> None:
    """Sets a layer's weights: a 1×1 convolution and a dense layer are one thing, a bias joins the normalization."""
    shapes = [tuple(weight.shape) for weight in layer.weights]
    squeezed = [[side for side in shape if side != 1] for shape in shapes]
    if [[side for side in array.shape if side != 1] for array in arrays[: len(shapes)]] != squeezed:
        raise ValueError(f"its {name} has {[array.shape for array in arrays]}, the model's {layer.name} {shapes}")
    layer.set_weights([np.reshape(array, shape) for array, shape in zip(arrays, shapes, strict=False)])
    epsilon = epsilon_of(builder_name(model))
    if epsilon is not None and kind_of(arrays) == "norm":  # variance + epsilon stays, whichever the model has
        layer.moving_variance.assign(arrays[3] + (epsilon - layer.epsilon))
    if len(arrays) > len(shapes):
        mean = model.get_layer(f"{layer.name}_bn").moving_mean  # (y + bias) − mean = y − (mean − bias)
        mean.assign(np.asarray(mean) - arrays[-1])


def _is_foreign(model: Any, path: Path, stored: Stored) -> bool:
    """Whether the layers of a file cannot be the model's own."""
    names = {layer.name for layer in model.layers}
    if "rescaling" in dict(stored) and "scaling" not in names:
        return True
    separable = any(isinstance(layer, keras.layers.SeparableConv2D) for layer in model.layers)
    if len(convolutions_apart(stored)) > len(stored) and not separable:
        return True
    shapes = [array.shape for _, arrays in stored for array in arrays]
    return sorted(map(str, shapes)) != sorted(str(tuple(weight.shape)) for weight in model.weights) or not (
        path.name.endswith(".weights.h5") or {name for name, arrays in stored if arrays} <= names
    )
