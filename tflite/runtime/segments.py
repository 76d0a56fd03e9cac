"""A .tflite run over all samples a few operators at a time, so that what follows may be changed by what was seen."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_mobilenets.pixels.batches import quantize
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.graph.part import part
from keras_mobilenets.tflite.runtime.activations import interpreter_of

_BYTES = 320 << 20  # for the largest float activation of all samples


def spread(graph: flatbuffer.Graph, samples: Sequence[np.ndarray], count: int) -> list[np.ndarray]:
    """So many of the samples, evenly, or as many as can be held at once."""
    largest = max(int(np.prod(graph.shape(int(tensor)))) for op in graph.operators for tensor in op.outputs)
    count = max(1, min(count, len(samples[0]), _BYTES // (4 * largest)))
    places = np.linspace(0, len(samples[0]) - 1, count).astype(int)
    return [array[places] for array in samples]


class Segments:
    """Runs the operators of a graph in their order; each runs once, with the constants that it has by then.

    Attributes:
        operators: Those of the graph.
        values: By tensor, N×… as it is stored, what was computed and is still to be read.
    """

    def __init__(self, model: Any, samples: Sequence[np.ndarray]) -> None:
        """Takes a `ModelT` and float32 N×… for each of its inputs."""
        self._model, graph, self._count = model, model.subgraphs[0], len(samples[0])
        self.operators = list(graph.operators)
        self.values: dict[int, np.ndarray] = {}
        for tensor, array in zip(map(int, graph.inputs), samples, strict=True):
            stored = graph.tensors[tensor]
            dtype, (scales, zero_point) = np.dtype(flatbuffer.type_name(stored.type)), flatbuffer.scales(stored)
            quantization = scales[0] if scales else 0.0, zero_point
            self.values[tensor] = quantize(array, dtype, quantization) if scales else array.astype(dtype)
        self._last_read = {int(tensor): len(self.operators) for tensor in graph.outputs}
        for place, operator in enumerate(self.operators):
            for tensor in map(int, operator.inputs):
                self._last_read[tensor] = max(place, self._last_read.get(tensor, 0))
        self._done = 0

    def run_to(self, end: int) -> None:
        """Runs the operators before a place that have not been run."""
        operators = self.operators[self._done : end]
        if not operators:
            return
        made = [int(tensor) for operator in operators for tensor in operator.outputs]
        wanted = [tensor for tensor in made if self._last_read.get(tensor, -1) >= end]
        made_of, read = part(self._model, self._model.subgraphs[0], operators, wanted)
        found = _run(flatbuffer.write(made_of), [self.values[tensor] for tensor in read], self._count)
        self.values |= dict(zip(wanted, found, strict=True))
        self.values = {t: array for t, array in self.values.items() if self._last_read.get(t, -1) >= end}
        self._done = end

    def rest(self, replaced: dict[int, np.ndarray]) -> list[np.ndarray]:
        """What the operators that have not been run would give, with other values in the place of some.

        Args:
            replaced: By tensor, N×… as it is stored.

        Returns:
            N×… for each output of the graph, as it is stored.
        """
        graph, operators, given = self._model.subgraphs[0], self.operators[self._done :], self.values | replaced
        left = {int(tensor) for operator in operators for tensor in operator.outputs}
        wanted = [int(tensor) for tensor in graph.outputs if int(tensor) in left]
        if wanted:
            made_of, read = part(self._model, graph, operators, wanted)
            found = _run(flatbuffer.write(made_of), [given[tensor] for tensor in read], self._count)
            given |= dict(zip(wanted, found, strict=True))
        return [given[int(tensor)] for tensor in graph.outputs]


def _run(content: bytes, arrays: list[np.ndarray], count: int) -> list[np.ndarray]:
    interpreter = interpreter_of(content)
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    results: list[list[np.ndarray]] = [[] for _ in outputs]
    for place in range(count):
        for array, found in zip(arrays, inputs, strict=True):
            interpreter.set_tensor(found["index"], array[place].reshape(found["shape"]))
        interpreter.invoke()
        for result, found in zip(results, outputs, strict=True):
            values = interpreter.get_tensor(found["index"])
            result.append(values if values.ndim and len(values) == 1 else values[None])
    return [np.concatenate(result) for result in results]
