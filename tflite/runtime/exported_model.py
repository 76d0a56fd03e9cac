"""A file of another runtime (ONNX Runtime, OpenVINO), opened as what `evaluate` and `benchmark` know: a `Model`."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.runtime.export_record import ExportRecord
from keras_mobilenets.tflite.runtime.model import InputShape, dequantized, noise


@dataclass
class ExportedModel(ABC):
    """An open file with one input; shapes are shown as N×H×W×C, whatever it takes.

    Attributes:
        path: The file.
        threads: CPU threads.
        record: What it says of itself.
        session: The runtime's.
        input: Name, shape, dtype and quantization of the input.
        outputs: Of each output; a classifier has one.
    """

    backend: ClassVar[str]
    path: Path
    threads: int
    record: ExportRecord
    session: Any
    input: dict[str, Any]
    outputs: list[dict[str, Any]]

    @classmethod
    @abstractmethod
    def open(cls, path: Path, threads: int, input_shape: InputShape) -> "ExportedModel":
        """Opens a file that exists, with a batch of one image."""

    @classmethod
    @abstractmethod
    def input_of(cls, path: Path) -> tuple[str, tuple[int, ...], ExportRecord]:
        """Name of the input, its shape N×H×W×C, −1 for an open size, and what the file says of itself."""

    @abstractmethod
    def invocation(self) -> Callable[[], object]:
        """What runs the model once on what the input holds; nothing else is in it, so that it can be timed."""

    @abstractmethod
    def set_input(self, values: np.ndarray) -> None:
        """Copies values of the runtime's own layout into the input."""

    @abstractmethod
    def read_outputs(self) -> list[np.ndarray]:
        """The raw outputs of the last run."""

    @property
    def output(self) -> dict[str, Any]:
        """Name, shape, dtype and quantization of the one output.

        Raises:
            UserError: There are several.
        """
        if len(self.outputs) != 1:
            raise UserError(f"{self.path} has {len(self.outputs)} outputs; a classifier has one")
        return self.outputs[0]

    def feed(self, values: np.ndarray) -> None:
        """Sets the input, given as 1×H×W×C in its dtype."""
        self.set_input(self._laid_out(values))

    def feed_noise(self) -> None:
        """Sets the input to fixed noise of its type."""
        self.feed(noise(np.random.default_rng(0), self.input["shape"], np.dtype(self.input["dtype"])))

    def invoke(self) -> None:
        """Runs on what the input holds."""
        self.invocation()()

    def run(self, values: np.ndarray) -> np.ndarray:
        """Runs one image 1×H×W×C of the model's own dtype; returns the raw output."""
        self.feed(values)
        self.invoke()
        return self.read_outputs()[0]

    def _laid_out(self, values: np.ndarray) -> np.ndarray:
        """Values N×H×W×C as the file takes them."""
        return np.ascontiguousarray(values.transpose(file_axes(self.record.layout, values.ndim)), self.input["dtype"])

    def dequantize(self, raw: np.ndarray) -> np.ndarray:
        """Raw outputs as float32."""
        return dequantized(raw, *self.output["quantization"])

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return self.path.stat().st_size

    def quantization(self) -> str:
        """How it is quantized, in the words of `convert`."""
        return self.record.quantization

    def delegation(self) -> tuple[None, None, None]:
        """What is counted of LiteRT's delegates is unknown here."""
        return None, None, None


def described(name: str, shape: Sequence[int], dtype: Any, quantization: tuple[float, int]) -> dict[str, Any]:
    """One end of a model as LiteRT's interpreter describes it, its shape N×H×W×C."""
    return {"name": name, "shape": np.array(shape), "dtype": np.dtype(dtype).type, "quantization": quantization}


def file_axes(layout: str, axes: int) -> tuple[int, ...]:
    """Which axis of N×H×W×C each one is in a file of that layout."""
    return (0, 3, 1, 2) if layout == "nchw" and axes == 4 else tuple(range(axes))


def channels_last(shape: Sequence[int], layout: str) -> tuple[int, ...]:
    """A file's shape as N×H×W×C."""
    return tuple(shape[place] for place in np.argsort(file_axes(layout, len(shape))))


def closed(shape: Sequence[int], input_shape: InputShape, path: Path) -> list[int]:
    """A shape without open sizes: one image, and what `input_shape` gives.

    Args:
        shape: N×H×W×C, −1 for an open size.
        input_shape: One number for all open sizes, one for each, or the whole shape.
        path: For the message.

    Raises:
        UserError: A size stays open, or `input_shape` does not fit.
    """
    sizes = [1 if place == 0 and size == -1 else int(size) for place, size in enumerate(shape)]
    places = [place for place, size in enumerate(sizes) if size == -1]
    said = "×".join("?" if size == -1 else str(size) for size in shape)
    if input_shape is None:
        if places:
            raise UserError(f"{path} leaves sizes open, {said}; give them with --size, in Python input_shape")
        return sizes
    given = [input_shape] * len(places) if isinstance(input_shape, int) else list(map(int, input_shape))
    if len(given) == len(sizes) and all(size in (-1, own) for size, own in zip(sizes, given, strict=True)):
        return given
    if not places or len(given) != len(places):
        raise UserError(f"{path} takes {said}, and input_shape is {input_shape}: give it whole or what is open")
    for place, size in zip(places, given, strict=True):
        sizes[place] = size
    return sizes
