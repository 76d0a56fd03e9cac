"""A .tflite run with all its activations as outputs, so that XNNPACK runs it and every value can be read afterwards."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from keras_mobilenets.pixels.batches import quantize
from keras_mobilenets.processors import usable_threads
from keras_mobilenets.progress import track
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.runtime.model import dequantized
from keras_mobilenets.tflite.runtime.native_output import suppress_native_output


class Activations:
    """What a model computes on the way.

    Attributes:
        tensors: Indices of what the operators give, in the order of execution.
    """

    def __init__(self, content: bytes) -> None:
        """Takes a .tflite, float or int8."""
        model = flatbuffer.read(content)
        graph = model.subgraphs[0]
        self.tensors = [int(tensor) for operator in graph.operators for tensor in operator.outputs]
        graph.outputs = np.array(self.tensors, np.int32)
        model.signatureDefs = None  # it lists outputs
        self._runner = _Runner(flatbuffer.write(model))

    def run(self, sample: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Runs one sample, a float32 array 1×… for each input.

        Returns:
            The values of `tensors` as they are stored.
        """
        self._runner.run(sample)
        return [self._runner.interpreter.get_tensor(index) for index in self.tensors]

    def over(
        self, samples: Sequence[np.ndarray], description: str
    ) -> Iterator[tuple[list[np.ndarray], list[np.ndarray]]]:
        """Yields each sample with its activations, behind a progress bar; `samples` are N×… for each input."""
        for sample in track(each(samples), description, total=len(samples[0])):
            yield sample, self.run(sample)


def each(samples: Sequence[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """The samples one by one: of arrays N×… for each input, arrays 1×…."""
    for place in range(len(samples[0])):
        yield [array[place : place + 1] for array in samples]


def outputs(content: bytes, samples: Sequence[np.ndarray]) -> list[np.ndarray]:
    """What a .tflite with float or int8 ends says of samples.

    Args:
        content: The .tflite.
        samples: float32 N×… for each input.

    Returns:
        N×values float32 for each output, dequantized.
    """
    runner = _Runner(content)
    found = runner.interpreter.get_output_details()
    results: list[list[np.ndarray]] = [[] for _ in found]
    for sample in each(samples):
        runner.run(sample)
        for result, output in zip(results, found, strict=True):
            result.append(runner.interpreter.get_tensor(output["index"]).reshape(-1))
    return [dequantized(np.stack(r), *output["quantization"]) for r, output in zip(results, found, strict=True)]


def interpreter_of(content: bytes, threads: int | None = None, *, delegate: bool = True) -> Any:
    """The runtime's interpreter of a .tflite that this process has made; by default on up to 4 threads."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    kinds = OpResolverType.AUTO if delegate else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    with suppress_native_output():
        interpreter = Interpreter(
            model_content=content,
            num_threads=threads or min(4, usable_threads()),
            experimental_op_resolver_type=kinds,
        )
        interpreter.allocate_tensors()
    return interpreter


class _Runner:
    def __init__(self, content: bytes) -> None:
        self.interpreter = interpreter_of(content)
        self._inputs = self.interpreter.get_input_details()

    def run(self, sample: Sequence[np.ndarray]) -> None:
        for values, found in zip(sample, self._inputs, strict=True):
            if np.dtype(found["dtype"]).kind in "iub" and not found["quantization"][0]:
                values = values.astype(found["dtype"])  # indices, or pixels that are cast inside
            else:
                values = quantize(values, found["dtype"], found["quantization"])
            self.interpreter.set_tensor(found["index"], values)
        self.interpreter.invoke()
