"""Int8 ranges of h-swish with which every way to compute it gives the same integers.

h-swish: Howard et al. 2019, arXiv:1905.02244, section 5.2. TensorFlow Lite's HARD_SWISH kernel and the form that
XNNPACK takes (target_rewriter.py) round differently where a result lies about half-way between two steps. In trained
networks that is up to 4% of a layer's values, enough to change 2% to 5% of the answers of a MobileNetV3 of 64 pixels.
"""

import math
from typing import Any

import numpy as np

from keras_mobilenets.tflite.graph import flatbuffer

_STEPS = 255
_WIDER = np.linspace(1, 1.03, 801)  # of these scales of the result the best is chosen


def align(model: Any) -> None:
    """Widens the ranges around each h-swish of a calibrated graph, the input's by 2% at most, the output's by 3%.

    The input's step becomes 3 over a fraction with a small denominator, so that XNNPACK's form needs no rounding before
    its product; the output's such that no result lies near the middle between two steps. It is done for every target:
    their models then give the same integers. Where the input's range is below 6, XNNPACK's form still rounds twice and
    may differ by a step.

    Args:
        model: A float .tflite as `ModelT` with the range of every activation; changed in place.
    """
    graph = model.subgraphs[0]
    for operator in graph.operators:
        if flatbuffer.operator_name(model, operator) == "HARD_SWISH":
            _align(graph.tensors[operator.inputs[0]], graph.tensors[operator.outputs[0]])


def _align(x: Any, result: Any) -> None:
    low, high = _range(x)
    if high <= low:
        return
    three = 3 * _STEPS / (high - low)  # in steps
    parts = max(1, int(_STEPS / 2 / three))  # of a step; 0 to 6 are 255 of them at most
    if 1 <= parts * three <= 250:  # finer steps than 0.012 stay: 3 lies beyond their range
        step = 3 * parts / int(parts * three)
        first = math.floor(low / step + 1e-3)  # a lowest value of −3 or less stays at −3 or less, where h-swish is 0
        flatbuffer.set_range(x, first * step, (first + _STEPS) * step)
        values = np.arange(first, first + _STEPS + 1) * step
        _keep_from_ties(result, values * np.clip(values + 3, 0, 6) / 6)


def _keep_from_ties(result: Any, values: np.ndarray) -> None:
    """Widens a range such that each of some values lies as far from the middle between two steps as can be."""
    low, high = _range(result)
    if high <= low:
        return
    steps = (high - low) / _STEPS * _WIDER
    places = values / steps[:, None]
    off_middle = np.abs(places - np.floor(places) - 0.5)
    # The kernel computes with 16 bits: it errs by about a hundredth of a step, and twice that far from zero.
    clear = (off_middle / (1 + np.abs(places) / 100)).min(axis=1)
    step = float(steps[clear.argmax()])
    first = round(low / step)
    flatbuffer.set_range(result, first * step, (first + _STEPS) * step)


def _range(tensor: Any) -> tuple[float, float]:
    """The range of an activation, with zero in it."""
    low, high = flatbuffer.range_of(tensor) or (0.0, 0.0)
    return min(low, 0.0), max(high, 0.0)
