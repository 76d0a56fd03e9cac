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
    """An open file with one image input and one output; shapes are shown as N×H×W×C, whatever it takes.

    Attributes:
        path: The file.
        threads: CPU threads.
        record: What it says of itself.
        session: The runtime's.
        input: Name, shape, dtype and quantization of the input.
        output: Of the output.
    """

    backend: ClassVar[str]
    path: Path
    threads: int
    record: ExportRecord
    session: Any
    input: dict[str, Any]
    output: dict[str, Any]

    @classmethod
    @abstractmethod
    def open(cls, path: Path, threads: int, input_shape: InputShape) -> "ExportedModel":
        """Opens a file that exists, with a batch of one image."""

    @abstractmethod
    def invocation(self) -> Callable[[], object]:
        """What runs the model once on what the input holds; nothing else is in it, so that it can be timed."""

    @abstractmethod
    def set_input(self, values: np.ndarray) -> None:
        """Copies values of the runtime's own layout into the input."""

    @abstractmethod
    def read_output(self) -> np.ndarray:
        """The raw output of the last run."""

    def feed(self, values: np.ndarray) -> None:
        """Sets the input, given as 1×H×W×C in its dtype."""
        moved = values.transpose(0, 3, 1, 2) if self.record.layout == "nchw" else values
        self.set_input(np.ascontiguousarray(moved, self.input["dtype"]))

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
        return self.read_output()

    def dequantize(self, raw: np.ndarray) -> np.ndarray:
        """Raw outputs as float32."""
        return dequantized(raw, *self.output["quantization"])

    def quantization(self) -> str:
        """How it is quantized, in the words of `convert`."""
        return self.record.quantization

    def delegation(self) -> tuple[None, None, None]:
        """What is counted of LiteRT's delegates is unknown here."""
        return None, None, None


def described(
    name: str, shape: Sequence[int], dtype: Any, quantization: tuple[float, int], is_nchw: bool = False
) -> dict[str, Any]:
    """One end of a model as LiteRT's interpreter describes it, its shape N×H×W×C."""
    shape = [shape[place] for place in (0, 2, 3, 1)] if is_nchw and len(shape) == 4 else list(shape)
    return {"name": name, "shape": np.array(shape), "dtype": np.dtype(dtype).type, "quantization": quantization}


def closed(shape: Sequence[int], input_shape: InputShape, path: Path) -> list[int]:
    """A shape without open sizes: one image, and what `input_shape` gives.

    Args:
        shape: As the file has it, −1 for an open size.
        input_shape: One number for all open sizes, or one for each.
        path: For the message.

    Raises:
        UserError: A size stays open, or none is.
    """
    sizes = [1 if place == 0 and size == -1 else size for place, size in enumerate(shape)]
    places = [place for place, size in enumerate(sizes) if size == -1]
    given = (
        [input_shape] * len(places) if isinstance(input_shape, int) else list(input_shape or [])[-len(places) or 99 :]
    )
    if len(given) != len(places):
        raise UserError(f"{path} leaves sizes open, {shape}; give them with --size, in Python input_shape")
    for place, size in zip(places, given, strict=True):
        sizes[place] = int(size)
    return sizes
