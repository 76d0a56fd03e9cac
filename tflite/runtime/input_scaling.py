"""What the pixels of a .tflite mean: by its metadata, or by the range of its quantized input."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_mobilenets.graphs.input_names import HISTORY
from keras_mobilenets.pixels.assumption import known_or_assumed
from keras_mobilenets.pixels.scaling import NAMED, PixelScaling, nearest, said
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.graph.metadata import metadata_of
from keras_mobilenets.tflite.runtime.exported_file import exported_input, is_exported
from keras_mobilenets.waveforms.features import FEATURES, INPUTS, SpeechFeatures

CLEAR = 0.15  # of a usual range: how far a calibrated one may be from it and mean it without doubt
FAR = 0.4


def scaling_of_file(path: str | Path, pixels: Any = None, images: np.ndarray | None = None) -> PixelScaling:
    """What the image input of a .tflite means.

    Args:
        path: A .tflite that is known to be sound.
        pixels: What the user says of it (`scaling.said`); None for nothing.
        images: Images that were made for it, N×H×W×C; where the file says nothing, floats show what range they have.

    Returns:
        The scaling. Where neither metadata nor quantization says it, that of the images, the usual range that is
        nearest to its input's, or −1..1; a `PixelWarning` says so.

    Raises:
        UserError: What the user says cannot be, or the images have no usual range.
    """
    if pixels is not None:
        return known_or_assumed(said(pixels), images, path)
    if is_exported(path):
        return known_or_assumed(exported_input(path)[2].scaling, images, path)
    content = Path(path).read_bytes()
    model = flatbuffer.read(content, path)
    graph = model.subgraphs[0]
    return known_or_assumed(_scaling(content, graph.tensors[graph.inputs[0]]), images, path)


def is_pixels(name: str, shape: Sequence[int], axes: Collection[int] = (4, 5)) -> bool:
    """Whether an input is an image N×H×W×C, or a clip of one axis more.

    Features of a waveform have four axes too, and their own name.
    """
    return len(shape) in axes and name not in INPUTS


def takes_pixels(path: str | Path) -> bool:
    """Whether a sound file takes an image, or a clip."""
    return is_pixels(*_input(path))


def takes_image(path: str | Path) -> bool:
    """As `takes_pixels`, of an image alone."""
    return is_pixels(*_input(path), axes=(4,))


def takes_history(path: str | Path) -> bool:
    """Whether a sound file takes the numbers of items, and so recommends the next one."""
    return _input(path)[0] == HISTORY


def features_of_file(path: str | Path) -> SpeechFeatures | None:
    """The features that a sound file takes by the name of its input; None for a waveform, or an image."""
    return FEATURES.get(_input(path)[0])


def _input(path: str | Path) -> tuple[str, Sequence[int]]:
    """Name and shape of a file's first input."""
    if is_exported(path):
        return exported_input(path)[:2]
    graph = flatbuffer.read(Path(path).read_bytes(), path).subgraphs[0]
    tensor = graph.tensors[graph.inputs[0]]
    return flatbuffer.text(tensor.name), flatbuffer.shape_of(tensor)


def _scaling(content: bytes, tensor: Any) -> PixelScaling | None:
    metadata = metadata_of(content)
    scales, zero_point = flatbuffer.scales(tensor)
    dtype = flatbuffer.type_name(tensor.type)
    if dtype == "uint8" and not any(scales):
        return PixelScaling(*NAMED["0..255"], "an input of uint8")
    range_ = _range(dtype, scales, zero_point)
    if metadata and metadata.normalization:
        mean, std = metadata.normalization
        found = PixelScaling(mean, std, "its metadata")
        if range_ is None or _agree(found, range_):
            return found
    if range_ is None:
        return None
    by_range, distance = nearest(*range_)
    shown = f"its input runs from {range_[0]:.3g} to {range_[1]:.3g}"
    if distance <= CLEAR or (range_[0] >= -0.5 and range_[1] > 16 and str(by_range) == "0..255"):
        return PixelScaling(by_range.mean, by_range.std, shown)
    if distance > FAR:
        by_range = PixelScaling(*NAMED["-1..1"])
    return PixelScaling(by_range.mean, by_range.std, f", and {shown}", is_assumed=True)


def _range(dtype: str, scales: tuple[float, ...], zero_point: int) -> tuple[float, float] | None:
    """The values that an integer input can hold; None for a float one."""
    if dtype not in ("int8", "uint8") or not scales or not scales[0]:
        return None
    limits = np.iinfo(dtype)
    return (limits.min - zero_point) * scales[0], (limits.max - zero_point) * scales[0]


def _agree(scaling: PixelScaling, range_: tuple[float, float]) -> bool:
    """Whether pixels so scaled fill the range of the input; some metadata is of the float model."""
    low, high = scaling.range
    return max(abs(low - range_[0]), abs(high - range_[1])) <= FAR * (high - low)
