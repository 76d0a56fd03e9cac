"""Cross-layer equalization of a float .tflite: Nagel et al. 2019, arXiv:1906.04721, section 4.1.

Between two layers with weights, a channel may be divided by a number and the weights that read it multiplied by it. The
number is chosen such that both layers' weights of a channel span the same range.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_mobilenets.tflite.graph import layer_names
from keras_mobilenets.tflite.graph.weights import WeightedGraph
from keras_mobilenets.tflite.runtime.activations import Activations

_NONE, _RELU, _RELU6 = (getattr(schema.ActivationFunctionType, name) for name in ("NONE", "RELU", "RELU6"))
_ROUNDS, _MOST = 40, 1e3


def equalize(content: bytes, samples: Sequence[np.ndarray]) -> bytes:
    """Equalizes every pair of layers between which nothing but ReLU stands.

    The model computes the same: channels pass ReLU as they are scaled. ReLU6 they do not; there a channel is scaled
    where it stays below 6 on all of the samples, before and after, and left alone otherwise.

    Args:
        content: A float32 .tflite.
        samples: float32 N×… for each input, for the maxima before ReLU6.

    Returns:
        The .tflite. Activations whose channels were scaled have " equalized" in their name.
    """
    graph = WeightedGraph(content)
    pairs = _pairs(graph)
    clipped = [pair for pair in pairs if pair.first.builtinOptions.fusedActivationFunction == _RELU6]
    maxima = _maxima(content, samples, {pair.tensor for pair in clipped}) if clipped else {}
    for _ in range(_ROUNDS):
        largest = 0.0
        for pair in pairs:
            factors = pair.factors(graph, maxima.get(pair.tensor))
            pair.scale(graph, factors)
            if pair.tensor in maxima:
                maxima[pair.tensor] = maxima[pair.tensor] / factors
            largest = max(largest, float(np.abs(np.log(factors)).max()))
        if largest < 1e-3:
            break
    for pair in pairs:
        graph.tensors[pair.tensor].name += layer_names.EQUALIZED.encode()
    return graph.write()


@dataclass(frozen=True)
class _Pair:
    """Two operators with weights and the tensor that only the second reads."""

    first: Any
    tensor: int
    second: Any

    def factors(self, graph: WeightedGraph, maxima: np.ndarray | None) -> np.ndarray:
        """What each channel is to be divided by: equation 11 of the paper."""
        given = _ranges(graph.by_output_channel(self.first))
        read = _ranges(graph.by_input_channel(self.second))
        alive = (given > 0) & (read > 0)
        factors = np.sqrt(np.divide(given, read, where=alive, out=np.ones(len(given))))
        factors = np.clip(factors, 1 / _MOST, _MOST)
        if maxima is not None:
            factors = np.where(maxima < 5.99, np.maximum(factors, maxima / 5.99), 1.0)
        return factors

    def scale(self, graph: WeightedGraph, factors: np.ndarray) -> None:
        """Divides the channels, and multiplies the weights that read them."""
        given, read, biases = (
            graph.by_output_channel(self.first),
            graph.by_input_channel(self.second),
            graph.biases(self.first),
        )
        given /= factors.reshape(-1, *[1] * (given.ndim - 1)).astype(np.float32)
        read *= factors.reshape(-1, *[1] * (read.ndim - 1)).astype(np.float32)
        biases /= factors.astype(np.float32)


def _ranges(channels: np.ndarray) -> np.ndarray:
    return np.abs(channels.reshape(len(channels), -1)).max(axis=1).astype(np.float64)


def _pairs(graph: WeightedGraph) -> list[_Pair]:
    pairs = []
    for first in graph.operators:
        readers = graph.readers(int(first.outputs[0]))
        if len(readers) != 1 or int(first.outputs[0]) in graph.outputs:
            continue
        second = readers[0]
        passes = graph.has_own_weights(first) and first.builtinOptions.fusedActivationFunction in (_NONE, _RELU, _RELU6)
        if passes and _reads(graph, second, first):
            pairs.append(_Pair(first, int(first.outputs[0]), second))
    return pairs


def _reads(graph: WeightedGraph, second: Any, first: Any) -> bool:
    """Whether `second` is a layer with weights that reads what `first` gives, channel by channel."""
    return (
        graph.has_own_weights(second)
        and int(second.inputs[0]) == int(first.outputs[0])
        and len(graph.by_output_channel(first)) == len(graph.by_input_channel(second))
    )


def _maxima(content: bytes, samples: Sequence[np.ndarray], tensors: set[int]) -> dict[int, np.ndarray]:
    activations = Activations(content)
    maxima: dict[int, np.ndarray] = {}
    for _, values in activations.over(samples, "Looking for what ReLU6 cuts"):
        for tensor, value in zip(activations.tensors, values, strict=True):
            if tensor in tensors:
                largest = value.reshape(-1, value.shape[-1]).max(axis=0)
                maxima[tensor] = np.maximum(maxima.get(tensor, largest), largest)
    return maxima
