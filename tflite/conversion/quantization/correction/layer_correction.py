"""Weights and biases of an int8 .tflite corrected layer by layer, each for the errors of those before it.

Weights are rounded one input after the other, and the error of each is made up for by those that follow, as far as they
are seen together on the samples: Frantar et al. 2023, GPTQ, arXiv:2210.17323. Biases then take in the mean error that
remains, of the rounded weights and of what the layer reads: Nagel et al. 2019, arXiv:1906.04721, section 4.2.

Networks trained with zero padding have places, often the corners, with values far beyond all others, which int8 ranges
cut off. A mean over all places would correct everywhere what is wrong there; so places count less the larger their
error. torchvision's MobileNetV2, equalized: without correction 14.9 dB, by the plain mean of all places less than 9, so
17.2, rounded too 17.7.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_mobilenets.progress import track
from keras_mobilenets.tflite.conversion.quantization.correction.layer_rows import layer_rows
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.graph.weights import WeightedGraph
from keras_mobilenets.tflite.runtime.model import dequantized
from keras_mobilenets.tflite.runtime.segments import Segments, spread

_ROWS = 4000  # places of a layer that are looked at, about
_MOST_INPUTS = 1536  # of one result; the weights of layers with more are rounded each by itself
_IMAGES = {False: 32, True: 64}  # to correct biases only, and to round weights too
_FAR = 3.0  # times the median error: a place with that counts half
_MOST_BIAS = 1 << 30  # in int8 products; sums have 32 bits
_DAMPING = 0.01  # of the mean square of the inputs, added to that of each
_DAMPINGS = 5  # each ten times the one before


def correct_layers(floats: bytes, quantized: bytes, samples: Sequence[np.ndarray], *, rounds: bool = True) -> bytes:
    """Corrects the int8 layers of a model, in the order of execution.

    Args:
        floats: The float32 .tflite that was quantized.
        quantized: The int8 .tflite, not yet rewritten for a target.
        samples: float32 N×… for each input, those of the calibration; 32 of them are looked at, 64 to round.
        rounds: Whether weights are rounded again; else only biases change.

    Returns:
        The int8 .tflite with other integers in weights and biases; scales are as before.
    """
    before, after = WeightedGraph(floats), WeightedGraph(quantized)
    if len(before.model.subgraphs) > 1:  # loops: their bodies run more than once
        return quantized
    samples = spread(before, samples, _IMAGES[rounds])
    original = {
        before.tensors[operator.outputs[0]].name: place
        for place, operator in enumerate(before.operators)
        if before.has_own_weights(operator)
    }
    in_float, in_int8 = Segments(before.model, samples), Segments(after.model, samples)
    for place, operator in track(list(enumerate(after.operators)), "Correcting layers"):
        origin = original.get(after.tensors[operator.outputs[0]].name)
        if origin is None or not after.has_own_weights(operator) or after.weights(operator).dtype != np.int8:
            continue
        source = before.operators[origin]
        in_float.run_to(origin)
        in_int8.run_to(place)
        expected, found = in_float.values.get(int(source.inputs[0])), in_int8.values[int(operator.inputs[0])]
        if expected is None or expected.shape != found.shape:  # another order of execution
            continue
        stored = after.tensors[int(operator.inputs[0])]
        (scale,), zero_point = flatbuffer.scales(stored)
        given = [
            layer_rows(operator, before.weights(source).shape, values, _ROWS, place)
            for values in (expected, dequantized(found, scale, zero_point))
        ]
        _correct(before, source, after, operator, *given, rounds=rounds)
        after.put_back()
    return after.write()


def _correct(
    before: WeightedGraph,
    source: Any,
    after: WeightedGraph,
    operator: Any,
    expected: np.ndarray,
    found: np.ndarray,
    *,
    rounds: bool,
) -> None:
    """Corrects a layer by the rows that it reads in float and in int8."""
    shares = _shares(expected, found)
    is_depthwise = after.name(operator) == "DEPTHWISE_CONV_2D"
    if is_depthwise:  # outputs × taps
        wanted, stored = (np.moveaxis(w, 3, 0).reshape(w.shape[3], -1) for w in _both(before, source, after, operator))
        means = [np.einsum("r,rtc->ct", shares, rows) for rows in (expected, found)]
    else:
        if expected.shape[1] * expected.shape[2] != before.weights(source)[0].size:
            return  # convolutions in groups
        wanted, stored = (w.reshape(len(w), -1) for w in _both(before, source, after, operator))
        expected, found = (rows.reshape(len(rows), -1) for rows in (expected, found))
        means = [(shares @ rows)[None] for rows in (expected, found)]
    steps = np.array(flatbuffer.scales(after.tensors[int(operator.inputs[1])])[0])
    if rounds and not is_depthwise and wanted.shape[1] <= _MOST_INPUTS:
        around = found - means[1]
        stored = rounded(wanted, steps, (around.T @ (around * shares[:, None])).astype(np.float64))
        after.weights(operator)[:] = stored.reshape(after.weights(operator).shape)
    real = stored * steps[:, None] if len(steps) > 1 else stored * steps[0]
    bias = before.biases(source) + (wanted * means[0]).sum(axis=1) - (real * means[1]).sum(axis=1)
    units = np.array(flatbuffer.scales(after.tensors[int(operator.inputs[2])])[0])
    after.biases(operator)[:] = np.clip(np.rint(bias / units), -_MOST_BIAS, _MOST_BIAS).astype(np.int32)


def _both(before: WeightedGraph, source: Any, after: WeightedGraph, operator: Any) -> tuple[np.ndarray, np.ndarray]:
    return before.weights(source).astype(np.float64), after.weights(operator).astype(np.float64)


def _shares(expected: np.ndarray, found: np.ndarray) -> np.ndarray:
    """What each place counts: those of large error less."""
    errors = ((found - expected) ** 2).sum(axis=(1, 2))
    counts = 1 / (1 + errors / (_FAR * float(np.median(errors)) + 1e-20))
    return np.asarray(counts / counts.sum(), np.float32)


def rounded(weights: np.ndarray, steps: np.ndarray, products: np.ndarray) -> np.ndarray:
    """Weights rounded such that the errors of one result make up for each other.

    Args:
        weights: Float64, outputs×inputs.
        steps: The int8 scale of each output, or the one of all.
        products: Inputs×inputs, the mean product of each two inputs.

    Returns:
        Whole numbers of −127 to 127, outputs×inputs.
    """
    count = weights.shape[1]
    damping = _DAMPING * float(np.trace(products)) / count + 1e-12
    order = np.argsort(-np.diag(products))
    factor = _factor(products[np.ix_(order, order)], damping)
    if factor is None:
        return np.clip(np.rint(weights / steps[:, None] if len(steps) > 1 else weights / steps), -127, 127)
    weights = weights[:, order].copy()
    found, block = np.zeros_like(weights), 64
    for first in range(0, count, block):
        end = min(first + block, count)
        errors = np.zeros((len(weights), end - first))
        for place in range(first, end):
            found[:, place] = np.clip(np.rint(weights[:, place] / steps), -127, 127)
            errors[:, place - first] = (weights[:, place] - found[:, place] * steps) / factor[place, place]
            weights[:, place:end] -= np.outer(errors[:, place - first], factor[place, place:end])
        weights[:, end:] -= errors @ factor[first:end, end:]
    result = np.empty_like(found)
    result[:, order] = found
    return result


def _factor(products: np.ndarray, damping: float) -> np.ndarray | None:
    """The upper Cholesky factor of the inverse, with as much damping as that takes; None where none is enough.

    Sums of float32 are not quite symmetric, and where they span many orders of magnitude not positive either.
    """
    for _ in range(_DAMPINGS if np.isfinite(products).all() else 0):
        try:
            inverse = np.linalg.inv((products + products.T) / 2 + damping * np.eye(len(products)))
            return np.asarray(np.linalg.cholesky((inverse + inverse.T) / 2).T)
        except np.linalg.LinAlgError:
            damping *= 10
    return None
