"""What the first layers of a Keras model say of its pixels: Rescaling, Normalization and arithmetic before the network.

Together they are y = (x − m) / s on the input x. Which range of x they expect follows from what comes out: 0 to 1, −1
to 1, or data standardized, whose mean and deviation a range can have at all (Bhatia and Davis 2000: variance at most
(high − mean)(mean − low)).
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.pixels.assumption import known_or_assumed
from keras_mobilenets.pixels.scaling import INPUT_NAMES, MINUS_ONE_TO_ONE, NAMED, PixelScaling, nearest, said

_SPATIAL = {"CenterCrop", "Resizing", "ZeroPadding2D", "Cropping2D", "UpSampling2D"}
_IDENTITIES = {"Activation", "Cast", "Dropout", "GaussianNoise", "Identity", "InputLayer", "Stack", "GetItem"}
_COPIES = {"Concatenate", "Repeat", "Tile"}  # of a grey image, for its three channels
_STEMS = ("stem", "stem_branch_0")  # what the first convolution of every builder is called
_ADAPTED = {"scaling"}  # the layer with which `weights.adaptation` lets other weights take −1..1


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
    known = scaling_of_layers(model) if pixels is None else said(pixels)
    return known_or_assumed(known, images, model.name)


def scaling_of_layers(model: Any) -> PixelScaling | None:
    """What a Keras 3 or tf_keras model itself says of its pixels; None where it says nothing."""
    trained = _trained_range(model)
    if trained is not None:
        return trained
    try:
        graph = _graph(model)
    except UserError:  # a model whose graph cannot be seen says nothing
        return None
    if not graph.inputs or len(graph.inputs) != 1:
        return None
    (source,) = graph.inputs
    if np.issubdtype(_dtype(source), np.integer):
        return PixelScaling(*NAMED["0..255"], f"an input of {_dtype(source)}")
    mean, std, names, first = _first_layers(_calls(graph))
    named = _named_input(model)
    if named and not names:
        return PixelScaling(*NAMED[INPUT_NAMES[named]], f"its input {named}")
    if first in _STEMS and set(names) <= _ADAPTED:
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


def _graph(model: Any) -> Any:
    """A Keras 3 model, subclassed ones too, without models inside it; a tf_keras model as it is."""
    from keras_mobilenets.graphs.flat_model import flat_model

    return model if _is_of_tf_keras(model) else flat_model(model)


def _is_of_tf_keras(model: Any) -> bool:
    return any(base.__module__.startswith("tf_keras") for base in type(model).__mro__)


def _calls(model: Any) -> Iterator[Any]:
    """The layer calls between the input of a model and the first layer that is no preprocessing, and some more."""
    from keras_mobilenets.graphs.flat_model import calls

    if _is_of_tf_keras(model):  # whose layers stand in the order of their calls
        for layer in model._flatten_layers(include_self=False, recursive=True):
            if not hasattr(layer, "layers") and not hasattr(layer, "layer"):
                yield _TfKerasCall(layer, [None], [None])
        return
    tensors = {id(model.inputs[0])}
    for call in calls(model):
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
    scaled: Any = None
    for call in calls:
        if scaled is not None and all(tensor is not scaled for tensor in call.inputs):
            continue  # another branch
        kind, scaled = type(call.layer).__name__, call.outputs[0]
        if kind.startswith("Random") or (kind in _SPATIAL | _IDENTITIES and _is_linear(call.layer)):
            continue
        if kind == "Reshape" and call.inputs[0] is not None and call.inputs[0].shape[-1] == scaled.shape[-1]:
            continue  # of a clip
        if kind in _COPIES and len({id(tensor) for tensor in call.inputs}) == 1 and scale.size == offset.size == 1:
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
    is_own = not (type(layer).__module__.startswith(("keras.src.", "tf_keras.")) or layer.weights)
    if call.inputs[0] is not None and (kind == "Lambda" or is_own):
        return _probed(call)
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


def _probed(call: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """Of a Lambda or a layer without weights that is not Keras's: by what it makes of images."""
    import keras

    shape = (1, *(size or 8 for size in call.inputs[0].shape[1:]))
    samples = np.zeros(shape), np.full(shape, 255.0), np.random.default_rng(0).uniform(0, 255, shape)
    try:
        black, white, any_ = (keras.ops.convert_to_numpy(call.layer(x.astype(np.float32))) for x in samples)
    except Exception:  # whatever the user's own code makes of them
        return None
    if len(call.inputs) != 1 or not black.shape == white.shape == any_.shape == shape:
        return None
    channels = (0,) * (len(shape) - 1)
    scale, offset = (white - black)[channels].astype(np.float64) / 255, black[channels].astype(np.float64)
    is_affine = scale.all() and np.abs(samples[2] * scale + offset - any_).max() < 1e-3 * np.abs(255 * scale).max()
    return (scale, offset) if is_affine else None


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
