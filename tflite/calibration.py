"""The value range of every activation of a float .tflite on real images: what int8 quantization starts from.

The stock converter runs TensorFlow Lite's own kernels with a logger behind each operator. Here every activation is made
an output of the graph, so that XNNPACK can run it, some four times faster, and no operator writes its result over its
input: the stock logger takes the range of a residual branch from the sum that ADD has put in its place.
"""

from typing import Any

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.images import first_images
from keras_mobilenets.progress import track
from keras_mobilenets.tflite import flatbuffer, h_swish
from keras_mobilenets.tflite.quiet import quiet
from keras_mobilenets.tflite.runtime import usable_threads


def calibrate(content: bytes, images: Any, limit: int) -> bytes:
    """Writes the least and greatest value of each activation into a float .tflite, as its quantizer expects them.

    Args:
        content: A float32 .tflite with one image input 1×H×W×C.
        images: N×H×W×C images, or batches of them with or without labels; uint8 pixels, or floats already scaled.
        limit: At most this many images are run, the first ones.

    Returns:
        The .tflite with the ranges in it.

    Raises:
        UserError: The images do not fit the model, there are none, or an activation is NaN or infinite.
    """
    model = flatbuffer.read(content)
    graph = model.subgraphs[0]
    outputs = graph.outputs
    activations = [int(tensor) for operator in graph.operators for tensor in operator.outputs]
    graph.outputs = np.array(activations, np.int32)
    measured = _Ranges(flatbuffer.write(model), activations)
    shape = graph.tensors[graph.inputs[0]].shape
    singles = (image[None] for batch in first_images(images, limit, shape) for image in batch)
    for image in track(singles, "Calibrating", total=limit):
        measured.add(image)
    graph.outputs = outputs
    for tensor, (low, high) in measured.ranges(int(graph.inputs[0])).items():
        flatbuffer.set_range(graph.tensors[tensor], low, high)
    h_swish.align(model)
    return flatbuffer.write(model)


class _Ranges:
    """Runs a graph whose outputs are all its activations, and keeps their extremes."""

    def __init__(self, content: bytes, activations: list[int]) -> None:
        from ai_edge_litert.interpreter import Interpreter

        with quiet():
            self._interpreter = Interpreter(model_content=content, num_threads=min(4, usable_threads()))
            self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._activations = activations
        self._low = np.full(1 + len(activations), np.inf)
        self._high = np.full(1 + len(activations), -np.inf)

    def add(self, image: np.ndarray) -> None:
        """Runs one float32 image 1×H×W×C."""
        self._interpreter.set_tensor(self._input, image)
        self._interpreter.invoke()
        values = [image, *(self._interpreter.tensor(index)() for index in self._activations)]
        np.minimum(self._low, [value.min() for value in values], out=self._low)
        np.maximum(self._high, [value.max() for value in values], out=self._high)

    def ranges(self, image: int) -> dict[int, tuple[float, float]]:
        """The extremes by tensor, the input `image` among them."""
        if not np.isfinite([self._low, self._high]).all():
            raise UserError("an activation is NaN or infinite on the calibration images: check the model's weights")
        if self._low[0] >= -1 and self._high[0] <= 1:
            # All of the pixels' range and no less, so that one step of the int8 input is one step of a pixel.
            self._low[0], self._high[0] = -1, 1
        tensors = [image, *self._activations]
        return {t: (float(a), float(b)) for t, a, b in zip(tensors, self._low, self._high, strict=True)}
