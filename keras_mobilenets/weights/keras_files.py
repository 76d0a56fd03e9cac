"""Weights from files, without running anything a file holds: the published ImageNet weights of keras.applications
(`imagenet.csv`: URL and MD5 of every file; those of MobileNetV1 and V2 were published without an MD5), other weights in
their formats, `.keras`, and `.safetensors`.
"""

import csv
import re
import warnings
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_mobilenets.costs.published import parse_arguments
from keras_mobilenets.errors import UserError, first_line
from keras_mobilenets.weights.adapt import adapted

SUFFIXES = (".h5", ".hdf5", ".keras", ".safetensors")

# What the published models do to pixels 0..255 before their first convolution.
IMAGENET_MEAN = np.array([0.485, 0.456, 0.406])
IMAGENET_STDDEV = np.array([0.229, 0.224, 0.225])
CAFFE_MEAN = np.array([123.68, 116.779, 103.939])

Stored = list[tuple[str, list[np.ndarray]]]  # the layers of a file in the order of the network: name, weights


class Pretrained(NamedTuple):
    """A row of imagenet.csv."""

    builder: str
    arguments: str
    sizes: str
    url: str
    without_top: str
    md5: str
    md5_without_top: str


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
        call = f'{_builder_name(model)}(weights="{source}")'
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


def published() -> list[Pretrained]:
    """Every row of imagenet.csv."""
    text = (files("keras_mobilenets.weights") / "imagenet.csv").read_text(encoding="utf-8")
    return [Pretrained(*row) for row in csv.reader(text.splitlines()[1:])]


def _open(model: Any, source: Any) -> tuple[Path, Stored | None]:
    """The file, and its layers when it is one of keras.applications' formats."""
    if not isinstance(source, str | Path):
        raise UserError(f'weights={source!r}: give "imagenet" or the path of a {", ".join(SUFFIXES)} file')
    path = _download(model) if source == "imagenet" else Path(source)
    if not path.is_file():
        raise UserError(f'no weights file {path}: give "imagenet" or the path of a {", ".join(SUFFIXES)} file')
    if path.suffix not in SUFFIXES:
        raise UserError(f"{path}: weights come from {', '.join(SUFFIXES)} files, never from pickled ones")
    return path, _read_h5(path) if path.suffix in (".h5", ".hdf5") else None


def _download(model: Any) -> Path:
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
    md5 = (row.md5 if top else row.md5_without_top) or None
    try:
        return Path(keras.utils.get_file(url.rsplit("/", 1)[1], url, cache_subdir="models", file_hash=md5))
    except Exception as error:  # urllib, http and ssl have their own kinds
        raise UserError(f"cannot download {url}: {first_line(error)}; put the file into ~/.keras/models") from error


def _differences(model: Any, source: Any, stored: Stored | None) -> dict[str, dict[str, Any]]:
    """In what the network of these weights differs from the builder's: words, and arguments of `adapted`."""
    name = _builder_name(model)
    needed: dict[str, dict[str, Any]] = {}
    if stored is None or not _is_foreign(model, source, stored):
        return needed
    if (scaling := _scaling(name, source, stored)) is not None:
        needed["scaling"] = {"scaling": scaling}
    if name == "ResNet50":  # He et al. 2015, where a block's first convolution has the stride
        needed["strides"] = {"symmetric": True, "epsilon": 1.001e-5, "changes": _stride_first(model)}
    return needed


def _scaling(name: str, source: Any, stored: Stored) -> tuple[list[float], list[float]] | None:
    """Factors and offsets that make of our input, pixels / 127.5 − 1, what the network of these weights saw."""
    if re.match("EfficientNetB", name):
        normalization = next((arrays for _, arrays in stored if _kind(arrays) == "normalization"), None)
        if normalization is None:
            return None
        mean, deviation = normalization[0].ravel(), np.sqrt(normalization[1].ravel())
        if source == "imagenet":  # those were trained with pixels divided by the variance (keras.applications says)
            deviation = deviation * np.sqrt(IMAGENET_STDDEV)
        factors, offsets = 1 / 255 / deviation, -mean / deviation
    elif re.match("EfficientNetV2B", name):
        factors, offsets = 1 / 255 / IMAGENET_STDDEV, -IMAGENET_MEAN / IMAGENET_STDDEV
    elif re.match("EfficientNetV2", name):
        factors, offsets = np.full(3, 1 / 128), np.full(3, -1.0)
    elif name in ("ResNet50", "VGG16") and source == "imagenet":
        factors, offsets = np.ones(3), -CAFFE_MEAN
    else:
        return None
    return (factors * 127.5).tolist(), (offsets + factors * 127.5).tolist()


def _stride_first(model: Any) -> Callable[[Any], dict[str, Any]]:
    """For `adapted`: moves the stride of a bottleneck from its second convolution to the first."""
    strides = {layer.name: layer.strides for layer in model.layers if isinstance(layer, keras.layers.Conv2D)}

    def changes(layer: Any) -> dict[str, Any]:
        block, _, index = layer.name.partition("_conv_")
        return {"strides": strides[f"{block}_conv_2"] if index == "1" else (1, 1)} if index in ("1", "2") else {}

    return changes


def _fill(model: Any, source: Any, path: Path, stored: Stored | None) -> None:
    """Writes the file's weights into the model, all or none."""
    before = model.get_weights()
    try:
        if path.suffix == ".safetensors":
            _fill_by_path(model, path)
        elif stored is not None and _is_foreign(model, source, stored):
            _fill_in_order(model, stored)
            if source == "imagenet" and _builder_name(model) in ("ResNet50", "VGG16"):  # they took BGR
                kernel = next(layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)).kernel
                kernel.assign(np.asarray(kernel)[:, :, ::-1])
        else:
            model.load_weights(path)
    except Exception as error:  # damaged files fail in many ways
        model.set_weights(before)
        raise UserError(f"{path} does not fit {model.name}: {first_line(error)}") from error


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


def check_names(missing: Any, extra: Any, shapes: dict[str, tuple[Any, Any]]) -> None:
    """Raises a ValueError of one line that names what is missing, what is too much, and what has another shape.

    Args:
        missing: Names that the model has and the file has not.
        extra: Names that the file has and the model has not.
        shapes: Name: the shape in the file, the shape that the model needs.
    """
    wrong = [f"{name} {tuple(has)} for {tuple(needs)}" for name, (has, needs) in shapes.items() if has != needs]
    parts = [
        f"{title}: {', '.join(names[:8])}{f' and {len(names) - 8} more' if len(names) > 8 else ''}"
        for title, names in (
            ("missing", sorted(missing)),
            ("extra", sorted(extra)),
            ("of another shape", sorted(wrong)),
        )
        if names
    ]
    if parts:
        raise ValueError("; ".join(parts))


def _fill_in_order(model: Any, stored: Stored) -> None:
    """Layer by layer, kind by kind: the n-th depthwise convolution of the file is the model's n-th."""
    for kind in ("norm", "depthwise", "kernel"):  # normalizations first: biases join them
        ours = [layer for layer in model.layers if _kind(layer.weights) == kind]
        theirs = [(name, arrays) for name, arrays in stored if _kind(arrays) == kind]
        if len(ours) != len(theirs):
            word = {"kernel": "convolutions and dense layers", "norm": "batch normalizations"}.get(kind, kind + " ones")
            raise ValueError(f"it has {len(theirs)} {word}, the model {len(ours)}")
        for layer, (name, arrays) in zip(ours, theirs, strict=True):
            _assign(model, layer, name, arrays)


def _assign(model: Any, layer: Any, name: str, arrays: list[np.ndarray]) -> None:
    """Sets a layer's weights: a 1×1 convolution and a dense layer are one thing, a bias joins the normalization."""
    shapes = [tuple(weight.shape) for weight in layer.weights]
    squeezed = [[side for side in shape if side != 1] for shape in shapes]
    if [[side for side in array.shape if side != 1] for array in arrays[: len(shapes)]] != squeezed:
        raise ValueError(f"its {name} has {[array.shape for array in arrays]}, the model's {layer.name} {shapes}")
    layer.set_weights([np.reshape(array, shape) for array, shape in zip(arrays, shapes, strict=False)])
    if len(arrays) > len(shapes):
        mean = model.get_layer(f"{layer.name}_bn").moving_mean  # (y + bias) − mean = y − (mean − bias)
        mean.assign(np.asarray(mean) - arrays[-1])


def _kind(weights: Any) -> str:
    """What a layer is, by the shapes of its weights; names differ from file to file."""
    ranks = [len(weight.shape) for weight in weights]
    if not ranks:
        return "none"
    if ranks == [1, 1, 1, 1]:
        return "norm"
    if len(ranks) == 3 and ranks[-1] == 0:
        return "normalization"
    return "depthwise" if ranks[0] == 4 and weights[0].shape[3] == 1 else "kernel"


def _is_foreign(model: Any, source: Any, stored: Stored) -> bool:
    """Whether weights are of another implementation than the model: keras.applications'."""
    names = {layer.name for layer in model.layers}
    if source == "imagenet" or ("rescaling" in dict(stored) and "scaling" not in names):
        return True
    shapes = [array.shape for _, arrays in stored for array in arrays]
    return sorted(map(str, shapes)) != sorted(str(tuple(weight.shape)) for weight in model.weights) or not (
        Path(source).name.endswith(".weights.h5") or {name for name, arrays in stored if arrays} <= names
    )


def _read_h5(path: Path) -> Stored | None:
    """The layers of an HDF5 file: `.weights.h5`, weights in the older `.h5` format, or a whole model in that.

    None when they are nested, which keras.applications' never are.
    """
    import h5py

    try:
        with h5py.File(path) as file:
            if "layers" in file and "layer_names" not in file.attrs:
                groups = sorted(file["layers"].items(), key=lambda item: natural(item[0]))
                if any("layers" in group for _, group in groups):
                    return None
                stored = [(name, [np.asarray(var) for var in group.get("vars", {}).values()]) for name, group in groups]
            else:
                root = file if "layer_names" in file.attrs else file["model_weights"]
                stored = [
                    (name, [np.asarray(root[name][weight]) for weight in _texts(root[name], "weight_names")])
                    for name in _texts(root, "layer_names")
                ]
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is not a whole HDF5 weights file; fetch or save it again") from error
    return stored


def _texts(group: Any, name: str) -> list[str]:
    """A list of names among the attributes, which HDF5 limits to 64 KB: a longer one is in parts `name0`, `name1`…"""
    parts = [group.attrs[name]] if name in group.attrs else []
    while f"{name}{len(parts)}" in group.attrs:
        parts.append(group.attrs[f"{name}{len(parts)}"])
    return [text.decode() if isinstance(text, bytes) else str(text) for part in parts for text in part]


def natural(name: str) -> list[Any]:
    """The key that sorts names by the numbers in them: `block_2` before `block_10`."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _variant(model: Any) -> tuple[str, dict[str, Any]]:
    if not hasattr(model, "variant"):
        raise UserError('weights="imagenet" go into models that a builder of keras_mobilenets has just built')
    return model.variant


def _builder_name(model: Any) -> str:
    return getattr(model, "variant", ("",))[0]
