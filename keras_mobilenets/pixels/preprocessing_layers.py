"""What the first layers of a Keras model say of its pixels: Rescaling, Normalization and arithmetic before the network.

Together they are y = (x − m) / s on the input x. Which range of x they expect follows from what comes out: 0 to 1, −1
to 1, or data standardized, whose mean and deviation a range can have at all (Bhatia and Davis 2000: variance at most
(high − mean)(mean − low)).
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.pixels.scaling import INPUT_NAMES, MINUS_ONE_TO_ONE, NAMED, PixelScaling, nearest, said

_SPATIAL = {"CenterCrop", "Resizing", "ZeroPadding2D", "Cropping2D", "UpSampling2D"}
_IDENTITIES = {"Activation", "Cast", "Dropout", "GaussianNoise", "Identity", "InputLayer", "Stack", "GetItem"}
_STEM = "stem"  # what the first convolution of every builder is called
_ADAPTED = {"scaling"}  # the layer with which `weights.adapt` lets other weights take −1..1


def scaling_of(model: Any, pixels: Any = None, images: np.ndarray | None = None) -> PixelScaling:
    """What the pixels of a Keras model mean.

    Args:
        model: Keras 3 or tf_keras model with one image input.
        pixels: What the user says of it (`scaling.said`); None for nothing.
        images: Images that were made for it, N×H×W×C, such as those for calibration; where the model says nothing,
            floats show what range they have.

    Returns:
        The scaling. Where nothing says it: that of the images, else −1..1; a `PixelWarning` says so.

    Raises:
        UserError: What the user says cannot be, or the images have no usual range.
    """
    if pixels is not None:
        return said(pixels)
    known = scaling_of_layers(model)
    if known is None:
        known = _of_images(images) if images is not None and images.dtype.kind == "f" else _assumed("-1..1", "")
        known.warn_if_assumed(model.name)
    return known


def _assumed(name: str, source: str) -> PixelScaling:
    return PixelScaling(*NAMED[name], source, is_assumed=True)


def _of_images(images: np.ndarray) -> PixelScaling:
    """By floats of which nothing else is known. Scaled to −1..1, dark pixels are negative: none is in 0..1."""
    low, high = float(images.min(initial=0)), float(images.max(initial=0))
    source = f", since its images run from {low:.3g} to {high:.3g}"
    if low >= 0:
        return _assumed("0..1" if high <= 1 else "0..255", source)
    if low >= -1 and high <= 1:
        return _assumed("-1..1", source)
    least, greatest = PixelScaling(*NAMED["imagenet"]).range
    if low >= 1.05 * least and high <= 1.05 * greatest:
        return _assumed("imagenet", source)
    raise UserError(
        f"float images run from {low:.4g} to {high:.4g}, which is no usual range: pass uint8 pixels and say by pixels= "
        "what the model takes, such as a pair (mean, std)"
    )


def scaling_of_layers(model: Any) -> PixelScaling | None:
    """What a Keras 3 or tf_keras model itself says of its pixels; None where it says nothing."""
    trained = _trained_range(model)
    if trained is not None:
        return trained
    if not hasattr(model, "inputs") or not model.inputs or len(model.inputs) != 1:
        return None
    source = model.inputs[0]
    if np.issubdtype(_dtype(source), np.integer):
        return PixelScaling(*NAMED["0..255"], f"an input of {_dtype(source)}")
    try:
        mean, std, names, first = _first_layers(_calls(model))
    except UserError:  # a model whose graph cannot be seen says nothing
        return None
    named = _named_input(model)
    if named and not names:
        return PixelScaling(*NAMED[INPUT_NAMES[named]], f"its input {named}")
    if first == _STEM and set(names) <= _ADAPTED:
        return MINUS_ONE_TO_ONE
    return _expected(mean, std, f"its {'layer' if len(names) == 1 else 'layers'} {', '.join(names)}") if names else None


def _named_input(model: Any) -> str | None:
    """The name of an input that tells what it takes, the model's or that of a model inside it."""
    own = [tensor.name.split(":")[0] for tensor in getattr(model, "inputs", None) or []]
    inside = (_named_input(layer) for layer in getattr(model, "layers", []))
    return next((name for name in (*own, *inside) if name in INPUT_NAMES), None)


def _dtype(tensor: Any) -> str:
    return getattr(tensor.dtype, "name", tensor.dtype)


def _trained_range(model: Any) -> PixelScaling | None:
    """By the range that a quantization-aware model keeps of its input."""
    layers = [layer for layer in getattr(model, "layers", []) if hasattr(layer, "_output_quantizer_vars")]
    variables = layers[0]._output_quantizer_vars if layers else None
    if not variables or "low" not in variables:
        return None
    found, distance = nearest(float(variables["low"]), float(variables["high"]))
    return found if distance < 0.02 else None


def _calls(model: Any) -> Iterator[Any]:
    """The layer calls between the input of a model and the first layer that is no preprocessing, and some more."""
    from keras_mobilenets.graphs.flat_model import calls, flat_model

    if type(model).__module__.startswith("tf_keras"):  # whose layers stand in the order of their calls
        for layer in model._flatten_layers(include_self=False, recursive=True):
            if not hasattr(layer, "layers") and not hasattr(layer, "layer"):
                yield _TfKerasCall(layer, [None], [None])
        return
    flat = flat_model(model)
    tensors = {id(flat.inputs[0])}
    for call in calls(flat):
        if tensors.intersection(id(tensor) for tensor in call.inputs):
            yield call
            tensors |= {id(tensor) for tensor in call.outputs}


class _TfKerasCall(NamedTuple):
    layer: Any
    inputs: list[Any]
    outputs: list[Any]


def _first_layers(calls: Iterable[Any]) -> tuple[np.ndarray, np.ndarray, list[str], str]:
    """Mean and deviation that the layers before the network take off, their names, and the network's first layer."""
    scale, offset = np.ones(1), np.zeros(1)
    names: list[str] = []
    for call in calls:
        kind = type(call.layer).__name__
        if kind.startswith("Random") or (kind in _SPATIAL | _IDENTITIES and _is_linear(call.layer)):
            continue
        step = _affine(call)
        if step is None:
            return -offset / scale, 1 / scale, names, call.layer.name
        scale, offset = scale * step[0], offset * step[0] + step[1]
        names.append(call.layer.name)
    return -offset / scale, 1 / scale, names, ""


def _is_linear(layer: Any) -> bool:
    return getattr(getattr(layer, "activation", None), "__name__", "linear") == "linear"


def _affine(call: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """Factor and offset of a layer or an operation with constants; None of any other."""
    kind, layer = type(call.layer).__name__, call.layer
    if kind == "Rescaling":
        return _vector(layer.scale), _vector(layer.offset)
    if kind == "Normalization" and getattr(layer, "mean", None) is not None:
        mean, deviation = _vector(layer.mean), np.sqrt(np.maximum(_vector(layer.variance), 1e-14))
        return (deviation, mean) if getattr(layer, "invert", False) else (1 / deviation, -mean / deviation)
    if kind not in ("Add", "Divide", "Multiply", "Subtract", "TrueDivide") or len(call.inputs) != 1:
        return None
    node = next(node for node in layer._inbound_nodes if node.output_tensors[0] is call.outputs[0])
    constants = [_vector(each) for each in node.arguments.args if each is not call.inputs[0]]
    is_first = node.arguments.args[0] is call.inputs[0]
    if len(constants) != 1 or (not is_first and kind in ("Divide", "TrueDivide")):
        return None
    (c,), one, none = constants, np.ones(1), np.zeros(1)
    return {
        "Add": (one, c),
        "Multiply": (c, none),
        "Subtract": (one, -c) if is_first else (-one, c),
    }.get(kind) or (1 / c, none)


def _vector(values: Any) -> np.ndarray:
    return np.asarray(values, np.float64).reshape(-1)


def _expected(mean: np.ndarray, std: np.ndarray, source: str) -> PixelScaling | None:
    """The usual range that layers y = (x − mean) / std expect of x; None where none fits or several do."""
    if not np.isfinite([*mean, *std]).all() or (np.allclose(mean, 0) and np.allclose(std, 1)):
        return None
    for fits in (_gives_a_usual_range, _standardizes):
        for name in ("0..1", "-1..1", "0..255"):
            low, high = PixelScaling(*NAMED[name]).range
            if fits(mean, std, low, high):
                return PixelScaling(*NAMED[name], source)
    return None


def _gives_a_usual_range(mean: np.ndarray, std: np.ndarray, low: float, high: float) -> bool:
    ends = np.sort(np.stack([(low - mean) / std, (high - mean) / std], axis=-1))
    usual = ((0, 1), (-1, 1), (-0.5, 0.5), (0, 255))
    return any(np.abs(ends - (a, b)).max() <= 0.02 * (b - a) for a, b in usual)


def _standardizes(mean: np.ndarray, std: np.ndarray, low: float, high: float) -> bool:
    """Whether images in a range can have this mean and deviation (1, where a mean of pixels is just taken off)."""
    possible = (mean >= low) & (mean <= high) & (std**2 <= 1.05 * (high - mean) * (mean - low))
    return bool((possible & (std >= (high - low) / 300)).all())
