"""The value range of every activation of a float .tflite on real images: what int8 quantization starts from.

The stock converter runs TensorFlow Lite's own kernels with a logger behind each operator. Here every activation is made
an output of the graph, so that XNNPACK can run it, some four times faster, and no operator writes its result over its
input: the stock logger takes the range of a residual branch from the sum that ADD has put in its place.

A range is all of the values ("minmax"), or cuts the rarest off for the sake of finer steps: those beyond the 99.99th
percentile, or those with which the mean squared error of clipping and rounding is least ("mse"). Measured on `shapes`
(tests/benchmarks/quantization/post_training.py), SQNR of the outputs in dB and agreement with float, minmax →
percentile | mse:
V1 31.0 → 32.1 | 31.0, V2 31.2 → 31.3 | 31.8, V3-Small 18.6 → 19.6 | 19.2 (97.1% → 97.3% | 97.5%), V3-Large 20.2 →
23.6 | 22.7 (96.7% → 98.1% | 96.9%), EfficientNetB0 27.2 → 30.3 | 28.5 (on 600 images). Percentile's top-1 is 0.6 points
below float's at worst (V3-Small). It takes a third more of the time than minmax, mse twice.
"""

from collections.abc import Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.conversion.quantization import fixed_ranges, hard_swish, saturation
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.runtime.activations import Activations

METHODS = ("minmax", "percentile", "mse")
PERCENTILE = 99.99  # of the values lie inside the range
_SAMPLE = 1 << 15  # values of an activation that are counted of each image, about
_BINS = 4096  # on each side of zero; with the largest value in the upper half, an eighth of an int8 step or less


def calibrate(
    content: bytes,
    samples: Sequence[np.ndarray],
    method: str = "percentile",
    input_ranges: Sequence[tuple[float, float] | None] = ((-1.0, 1.0),),
) -> bytes:
    """Writes the range of each activation into a float .tflite, as its quantizer expects them.

    Args:
        content: A float32 .tflite.
        samples: N×… for each of its inputs, such as scaled images N×H×W×C.
        method: One of `METHODS`. Other than "minmax" it concerns feature maps: vectors, such as the logits, keep
            their extremes, since the largest of them is what matters.
        input_ranges: For each input what pixels become, least and greatest. It gets all of that and no less, so that
            one step of the int8 input is one step of a pixel. None: that of its samples.

    Returns:
        The .tflite with the ranges in it.

    Raises:
        UserError: An activation is NaN or infinite.
    """
    return Observation(content, samples, input_ranges, counts=method != "minmax").with_ranges(method)


class Observation:
    """What the activations of a float .tflite are on samples: ranges by any method follow from it."""

    def __init__(
        self,
        content: bytes,
        samples: Sequence[np.ndarray],
        input_ranges: Sequence[tuple[float, float] | None],
        counts: bool = True,
    ) -> None:
        """Runs the samples; arguments as in `calibrate`, and whether values are counted, for other than "minmax"."""
        activations = Activations(content)
        self._content, self._tensors = content, activations.tensors
        self._inputs = [
            known or (float(values.min()), float(values.max()))
            for values, known in zip(samples, input_ranges, strict=True)
        ]
        self._low = np.full(len(self._tensors), np.inf)
        self._high = -self._low
        self._histograms: dict[int, Histogram] = {}
        self._observe(activations, samples, counts)

    def _observe(self, activations: Activations, samples: Sequence[np.ndarray], counts: bool) -> None:
        for number, (_, values) in enumerate(activations.over(samples, "Calibrating")):
            np.minimum(self._low, [value.min() for value in values], out=self._low)
            np.maximum(self._high, [value.max() for value in values], out=self._high)
            if not np.isfinite([self._low, self._high]).all():
                raise UserError("an activation is NaN or infinite on the calibration images: check the model's weights")
            for place, value in enumerate(values) if counts else ():
                if value.ndim == 4 and value.shape[1] * value.shape[2] > 1:
                    self._histograms.setdefault(place, Histogram()).add(_sample(value, number))

    def with_ranges(self, method: str, percentile: float = PERCENTILE) -> bytes:
        """The .tflite with the range of each activation; `percentile` is the share of values inside, in percent."""
        low, high = self._low.copy(), self._high.copy()
        for place, histogram in self._histograms.items() if method != "minmax" else ():
            low[place], high[place] = np.clip(histogram.range(method, percentile), low[place], high[place])
        ranges = {t: (float(a), float(b)) for t, a, b in zip(self._tensors, low, high, strict=True)}
        model = flatbuffer.read(self._content)
        graph = model.subgraphs[0]
        for tensor, (least, greatest) in zip(graph.inputs, self._inputs, strict=True):
            if graph.tensors[tensor].type == schema.TensorType.FLOAT32:
                ranges[int(tensor)] = min(least, 0.0), max(greatest, 0.0)
        for tensor, (least, greatest) in ranges.items():
            if least == greatest == 0:  # nothing is known of it; steps near zero are more than XNNPACK can divide by
                greatest = 1.0
            flatbuffer.set_range(graph.tensors[tensor], least, greatest)
        fixed_ranges.keep(model)
        saturation.cut(model)
        hard_swish.align(model)
        return flatbuffer.write(model)


def _sample(values: np.ndarray, number: int) -> np.ndarray:
    """All channels at every so manieth place of a feature map, at other places in the next image."""
    every = -(-values.size // _SAMPLE)
    return values.reshape(-1, values.shape[-1])[number % every :: every]


class Histogram:
    """How often values occur, in bins whose width doubles when a value lies beyond the last."""

    def __init__(self) -> None:
        """Starts empty."""
        self._counts = np.zeros(2 * _BINS, np.int64)
        self._width = 0.0

    def add(self, values: np.ndarray) -> None:
        """Counts values of any shape."""
        extreme = float(max(values.max(), -values.min()))
        if not self._width:
            self._width = max(extreme, 1e-9) / _BINS
        while extreme > self._width * _BINS:
            self._counts = np.pad(self._counts.reshape(-1, 2).sum(axis=1), _BINS // 2)
            self._width *= 2
        bins = np.floor(values.reshape(-1) * np.float32(1 / self._width)).astype(np.int64) + _BINS
        self._counts += np.bincount(np.clip(bins, 0, 2 * _BINS - 1, out=bins), minlength=2 * _BINS)

    def range(self, method: str, percentile: float = PERCENTILE) -> tuple[float, float]:
        """The range that a method chooses; it holds zero, as int8 must."""
        return self._percentile(percentile) if method == "percentile" else self._least_error()

    def _percentile(self, percentile: float) -> tuple[float, float]:
        edges = (np.arange(2 * _BINS + 1) - _BINS) * self._width
        below = np.concatenate([[0], np.cumsum(self._counts)]) / self._counts.sum()
        tail = (1 - percentile / 100) / 2
        low = edges[np.searchsorted(below, tail, side="right") - 1]
        high = edges[np.searchsorted(below, 1 - tail, side="left")]
        return min(low, 0.0), max(high, 0.0)

    def _least_error(self) -> tuple[float, float]:
        """Clipping costs the squared distance to the end, rounding a twelfth of the squared step, save at zero."""
        centres = (np.arange(2 * _BINS) - _BINS + 0.5) * self._width
        rounded = self._counts.sum() - self._counts[_BINS]  # that bin holds the zeros of ReLU
        shares = np.linspace(0.02, 1, 99)
        ends, costs = [], []
        for side in (-1, 1):
            values, counts = _side(centres, side), _side(self._counts, side)
            used = np.flatnonzero(counts)
            largest = abs(values[used[-1]]) if len(used) else 0.0
            ends.append(side * largest * shares)
            beyond = np.maximum(np.abs(values) - largest * shares[:, None], 0)
            costs.append((beyond**2 * counts).sum(axis=1))
        (lows, highs), (low_cost, high_cost) = ends, costs
        step = (highs[None, :] - lows[:, None]) / 255
        total = low_cost[:, None] + high_cost[None, :] + rounded * step**2 / 12
        best_low, best_high = np.unravel_index(total.argmin(), total.shape)
        return float(lows[best_low]), float(highs[best_high])


def _side(values: np.ndarray, side: int) -> np.ndarray:
    """What lies on one side of zero, from there outwards."""
    return values[_BINS:] if side > 0 else values[:_BINS][::-1]
