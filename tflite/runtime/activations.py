"""A .tflite run with all its activations as outputs, so that XNNPACK runs it and every value can be read afterwards."""

from collections.abc import Iterator

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
        """Takes a .tflite, float or int8, with one image input."""
        model = flatbuffer.read(content)
        graph = model.subgraphs[0]
        self.tensors = [int(tensor) for operator in graph.operators for tensor in operator.outputs]
        graph.outputs = np.array(self.tensors, np.int32)
        self._runner = _Runner(flatbuffer.write(model))

    def run(self, image: np.ndarray) -> list[np.ndarray]:
        """Runs a float32 image 1×H×W×C.

        Returns:
            The values of `tensors` as they are stored.
        """
        self._runner.run(image)
        return [self._runner.interpreter.get_tensor(index) for index in self.tensors]

    def over(self, images: np.ndarray, description: str) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
        """Yields each image 1×H×W×C with its activations, behind a progress bar."""
        for image in track(images, description, total=len(images)):
            yield image[None], self.run(image[None])


def outputs(content: bytes, images: np.ndarray) -> np.ndarray:
    """What a .tflite with float or int8 ends says of float32 images N×H×W×C: N×… float32, dequantized."""
    runner = _Runner(content)
    found = runner.interpreter.get_output_details()[0]
    results = []
    for image in images:
        runner.run(image[None])
        results.append(runner.interpreter.get_tensor(found["index"]).reshape(-1))
    return dequantized(np.stack(results), *found["quantization"])


class _Runner:
    def __init__(self, content: bytes) -> None:
        from ai_edge_litert.interpreter import Interpreter

        with suppress_native_output():
            self.interpreter = Interpreter(model_content=content, num_threads=min(4, usable_threads()))
            self.interpreter.allocate_tensors()
        self._input = self.interpreter.get_input_details()[0]

    def run(self, image: np.ndarray) -> None:
        values = quantize(image, self._input["dtype"], self._input["quantization"])
        self.interpreter.set_tensor(self._input["index"], values)
        self.interpreter.invoke()
