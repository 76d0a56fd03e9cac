"""A .tflite run over all samples a few operators at a time, so that what follows may be changed by what was seen."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_mobilenets.pixels.batches import quantize
from keras_mobilenets.processors import usable_threads
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.runtime.native_output import suppress_native_output


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
        content, read = _part(self._model, operators, made, wanted)
        found = _run(content, [self.values[tensor] for tensor in read], self._count)
        self.values |= dict(zip(wanted, found, strict=True))
        self.values = {t: array for t, array in self.values.items() if self._last_read.get(t, -1) >= end}
        self._done = end


def _part(model: Any, operators: list[Any], made: list[int], wanted: list[int]) -> tuple[bytes, list[int]]:
    """A .tflite of some operators only, and the tensors that are its inputs."""
    graph, buffers = model.subgraphs[0], [schema.BufferT()]
    tensors: list[Any] = []
    places = {-1: -1}
    used = list(dict.fromkeys(int(t) for op in operators for t in (*op.inputs, *op.outputs) if t >= 0))
    for tensor in used:
        own = copy.copy(graph.tensors[tensor])
        stored = model.buffers[own.buffer] if flatbuffer.is_constant(model, own) else None
        own.buffer = len(buffers) if stored else 0
        buffers += [stored] if stored else []
        places[tensor] = len(tensors)
        tensors.append(own)
    read = [t for t in used if t not in made and not tensors[places[t]].buffer]
    copies = [copy.copy(operator) for operator in operators]
    for operator in copies:
        operator.inputs, operator.outputs = (
            np.array([places[int(t)] for t in side], np.int32) for side in (operator.inputs, operator.outputs)
        )
    part = schema.SubGraphT(
        tensors=tensors,
        inputs=np.array([places[t] for t in read], np.int32),
        outputs=np.array([places[t] for t in wanted], np.int32),
        operators=copies,
    )
    whole = schema.ModelT(version=3, operatorCodes=model.operatorCodes, subgraphs=[part], buffers=buffers)
    return flatbuffer.write(whole), read


def _run(content: bytes, arrays: list[np.ndarray], count: int) -> list[np.ndarray]:
    from ai_edge_litert.interpreter import Interpreter

    with suppress_native_output():
        interpreter = Interpreter(model_content=content, num_threads=min(4, usable_threads()))
        interpreter.allocate_tensors()
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
