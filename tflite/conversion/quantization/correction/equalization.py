"""Equalization of the channels of a float .tflite's activations, on images.

An activation has one int8 scale for all of its channels, weights have one for each: so it is the activation that wants
channels of equal range, which Nagel et al. 2019 (arXiv:1906.04721, section 4.1) give to the weights. In front of a
depthwise layer that costs nothing. Where a layer reads all channels at once, the weights of one of its outputs differ
the more the better the activation is equalized, so that channels get a part of the way, by the power of their range
with which rounding both makes the least error.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keras_mobilenets.tflite.conversion.quantization.correction.channel_groups import ChannelGroup, channel_groups
from keras_mobilenets.tflite.graph import layer_names
from keras_mobilenets.tflite.graph.weights import WeightedGraph
from keras_mobilenets.tflite.runtime.activations import Activations

_POWERS = np.linspace(0, 1, 21)
_NARROWEST = 1 / 200  # of the whole range: a channel is not widened more, as it may fire more in other images


def equalize(content: bytes, samples: Sequence[np.ndarray]) -> bytes:
    """Equalizes the channels of every activation that layers with weights give and read.

    The model computes the same. Behind ReLU6 a channel is widened at most until its largest value on the samples
    is 6, where ReLU6 then cuts it: larger values it has not shown.

    Args:
        content: A float32 .tflite.
        samples: float32 N×… for each input.

    Returns:
        The .tflite. Activations whose channels were scaled have " equalized" in their name.
    """
    graph = WeightedGraph(content)
    groups = channel_groups(graph)
    spreads = _spreads(content, samples, {tensor for group in groups for tensor in group.tensors})
    for group in groups:
        group.divide(graph, _factors(graph, group, spreads))
        for tensor in group.tensors:
            graph.tensors[tensor].name += layer_names.EQUALIZED.encode()
    return graph.write()


@dataclass
class _Spread:
    """Of each channel of an activation the largest magnitude and the mean square."""

    largest: np.ndarray
    square: np.ndarray


def _spreads(content: bytes, samples: Sequence[np.ndarray], wanted: set[int]) -> dict[int, _Spread]:
    activations = Activations(content)
    spreads: dict[int, _Spread] = {}
    for _, values in activations.over(samples, "Equalizing channels"):
        for tensor, value in zip(activations.tensors, values, strict=True):
            if tensor in wanted:
                rows = value.reshape(-1, value.shape[-1])
                largest = np.maximum(rows.max(axis=0), -rows.min(axis=0)).astype(np.float64)
                square = np.einsum("rc,rc->c", rows, rows).astype(np.float64) / (len(rows) * len(samples[0]))
                found = spreads.setdefault(tensor, _Spread(largest, np.zeros_like(square)))
                found.largest = np.maximum(found.largest, largest)
                found.square += square
    return spreads


def _factors(graph: WeightedGraph, group: ChannelGroup, spreads: dict[int, _Spread]) -> np.ndarray:
    """What each channel is to be divided by."""
    largest = np.max([spreads[tensor].largest for tensor in group.tensors], axis=0)
    whole = 6.0 if group.clipped else float(largest.max())
    if not whole:
        return np.ones(len(largest))
    ranges = np.where(largest > 0, np.maximum(largest / whole, _NARROWEST), 1.0)
    errors = [_error(graph, group, spreads, ranges**power) for power in _POWERS]
    return np.asarray(ranges ** _POWERS[int(np.argmin(errors))])


def _error(graph: WeightedGraph, group: ChannelGroup, spreads: dict[int, _Spread], factors: np.ndarray) -> float:
    """Mean squared error that rounding makes of what the readers give, in twelfths."""
    total = 0.0
    for reader, tensor in group.readers:
        read, spread = graph.by_input_channel(reader), spreads[tensor]
        weights = read.reshape(*read.shape[:2], -1).astype(np.float64)  # channels × outputs × places
        step = (spread.largest / factors).max() / 255
        rounding = np.minimum((step * factors) ** 2, 12 * spread.square)  # what is rounded to zero errs by itself
        total += float((rounding[:, None, None] * weights**2).sum())
        if graph.name(reader) != "DEPTHWISE_CONV_2D":
            steps = np.abs(weights * factors[:, None, None]).max(axis=(0, 2)) / 127
            total += float((steps**2).sum()) * weights.shape[2] * float((spread.square / factors**2).sum())
    return total
