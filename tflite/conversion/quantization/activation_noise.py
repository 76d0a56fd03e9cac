"""What the rounding of each activation alone adds to a model's output: all else is float, so that the noises add up.

The percentile of a range says nothing of what its loss does to the output. In torchvision's MobileNetV2 the last blocks
have values in the corners, far beyond all others, that hardly matter; cut off, they leave finer steps to the rest.
"""

from collections.abc import Callable, Container, Iterator, Sequence
from typing import Any

import numpy as np

from keras_mobilenets.progress import track
from keras_mobilenets.tflite.conversion.output_error import sqnr_db, without_softmax
from keras_mobilenets.tflite.conversion.quantization import hard_swish
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.runtime.activations import outputs
from keras_mobilenets.tflite.runtime.segments import Segments, spread

Range = tuple[float, float]

_SCANNED, _COMPARED = 8, 48  # images to find where most noise is, and to choose ranges there
_SHARE, _MOST = 0.02, 14  # of the noise, that an activation must make to be looked at; how many are
_GAIN = 0.95  # of the noise by a range is the most that the next one may leave
# Operators whose scales are their own; others share one with what they read.
_FREE = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD", "MUL", "MEAN", "HARD_SWISH", "GELU", "ELU"}
_FIXED = {"LOGISTIC", "TANH"}  # their results have a scale that nothing changes


def activation_noise(
    calibrated: bytes, samples: Sequence[np.ndarray], only: Container[int] | None = None
) -> dict[str, float]:
    """Of each activation but the outputs: power of the output's error over that of the output.

    Args:
        calibrated: A float32 .tflite with the range of every activation.
        samples: float32 N×… for each input.
        only: The tensors to look at; None for all.
    """
    tensors = flatbuffer.read(calibrated).subgraphs[0].tensors
    found = {}
    for tensor, noise in _each_activation(calibrated, samples):
        known = _range(tensors[tensor])
        if known is not None and (only is None or tensor in only):
            found[tensors[tensor].name.decode()] = noise(known)
    return found


def with_quiet_ranges(ladder: Sequence[bytes], start: int, samples: Sequence[np.ndarray]) -> bytes:
    """A calibrated .tflite whose activations with most noise have the ranges with least.

    Args:
        ladder: Float32 .tflite files that differ in their ranges, from the narrowest on.
        start: Which of them is the first choice.
        samples: float32 N×… for each input.
    """
    graphs = [flatbuffer.Graph(flatbuffer.read(content)) for content in ladder]
    chosen = graphs[start]
    names = {tensor.name.decode(): place for place, tensor in enumerate(chosen.tensors) if _is_free(chosen, place)}
    noise_of = activation_noise(ladder[start], spread(chosen, samples, _SCANNED), set(names.values()))
    least = _SHARE * sum(noise_of.values())
    loud = sorted((name for name in noise_of if noise_of[name] > least), key=lambda name: -noise_of[name])
    wanted = {names[name] for name in loud[:_MOST]}
    for number, noise in _each_activation(ladder[start], spread(chosen, samples, _COMPARED)) if wanted else ():
        if number not in wanted:
            continue
        known = [each for graph in graphs if (each := _range(graph.tensors[number])) is not None]
        if len(known) == len(graphs):
            flatbuffer.set_range(chosen.tensors[number], *known[_quietest(known, start, noise)])
        wanted.remove(number)
        if not wanted:
            break
    hard_swish.align(chosen.model)
    return flatbuffer.write(chosen.model)


def _quietest(ranges: Sequence[Range], start: int, noise: Callable[[Range], float]) -> int:
    """Where noise is least, downhill from the start."""
    place, least = start, noise(ranges[start])
    for step in (-1, 1):
        while 0 <= place + step < len(ranges) and (given := noise(ranges[place + step])) < _GAIN * least:
            place, least = place + step, given
        if place != start:
            break
    return place


def _each_activation(
    calibrated: bytes, samples: Sequence[np.ndarray]
) -> Iterator[tuple[int, Callable[[Range], float]]]:
    """Activations in their order, each with what tells the noise by a range of it, until the next."""
    calibrated = without_softmax(calibrated)
    model = flatbuffer.read(calibrated)
    if len(model.subgraphs) > 1:  # loops: their bodies run more than once
        return
    segments, expected = Segments(model, samples), outputs(calibrated, samples)
    for place, operator in track(list(enumerate(segments.operators[:-1])), "Rounding each activation"):
        segments.run_to(place + 1)
        for tensor in map(int, operator.outputs):
            values = segments.values.get(tensor)
            if values is not None and values.dtype == np.float32:

                def noise(known: Range, tensor: int = tensor, values: np.ndarray = values) -> float:
                    given = segments.rest({tensor: _rounded(values, known)})
                    shaped = [found.reshape(wanted.shape) for found, wanted in zip(given, expected, strict=True)]
                    return float(10 ** (-sqnr_db(expected, shaped) / 10))

                yield tensor, noise


def _rounded(values: np.ndarray, known: Range) -> np.ndarray:
    """Values as int8 holds them."""
    low, high = min(known[0], 0.0), max(known[1], 0.0)
    step = (high - low) / 255
    zero = round(-low / step)
    return ((np.clip(np.rint(values / step) + zero, 0, 255) - zero) * step).astype(np.float32)


def _range(tensor: Any) -> Range | None:
    known = flatbuffer.range_of(tensor)
    return known if known and known[1] > known[0] else None


def _is_free(graph: flatbuffer.Graph, tensor: int) -> bool:
    """Whether the range of an activation concerns itself alone."""
    writers = {graph.name(operator) for operator in graph.operators if tensor in operator.outputs}
    readers = {graph.name(operator) for operator in graph.readers(tensor)}
    return bool(writers and readers) and writers <= _FREE and readers <= _FREE | _FIXED
