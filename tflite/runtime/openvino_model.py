"""An OpenVINO file (.xml and .bin) on the CPU."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.runtime.export_record import ExportRecord, quantizations, read_record
from keras_mobilenets.tflite.runtime.exported_model import ExportedModel, channels_last, closed, described, file_axes
from keras_mobilenets.tflite.runtime.model import InputShape
from keras_mobilenets.tflite.runtime.native_output import suppress_native_output

SECTION = "keras_mobilenets"  # of a file's runtime information


class OpenvinoModel(ExportedModel):
    """See `ExportedModel`; in float32 arithmetic where the file says so, not in the CPU's shorter one."""

    backend = "openvino"

    @classmethod
    def open(cls, path: Path, threads: int, input_shape: InputShape) -> "OpenvinoModel":
        """Opens a file that exists, with a batch of one image."""
        core, model, record = _read(path)
        source = model.inputs[0]
        shape = closed(channels_last(_shape(source), record.layout), input_shape, path)
        if -1 in _shape(source):
            model.reshape({source.any_name: [shape[place] for place in file_axes(record.layout, len(shape))]})
        settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
        request = core.compile_model(model, "CPU", settings).create_infer_request()
        inside = described(_name(source), shape, source.element_type.to_dtype(), record.input)
        outputs = [
            described(_name(end), end.partial_shape.get_min_shape(), end.element_type.to_dtype(), quantization)
            for end, quantization in zip(model.outputs, quantizations(record, len(model.outputs)), strict=True)
        ]
        return cls(path, threads, record, request, inside, outputs)

    @classmethod
    def input_of(cls, path: Path) -> tuple[str, tuple[int, ...], ExportRecord]:
        """Name of the input, its shape N×H×W×C, −1 for an open size, and what the file says of itself."""
        _, model, record = _read(path)
        return _name(model.inputs[0]), channels_last(_shape(model.inputs[0]), record.layout), record

    @property
    def size(self) -> int:
        """Bytes of the file and of the weights beside it."""
        return super().size + self.path.with_suffix(".bin").stat().st_size

    def invocation(self) -> Callable[[], object]:
        """What runs the model once on what the input holds."""
        start, wait = self.session.start_async, self.session.wait

        def run() -> None:
            start(share_inputs=True)
            wait()

        return run

    def set_input(self, values: np.ndarray) -> None:
        """Copies values of the runtime's own layout into the input."""
        self.session.get_input_tensor().data[:] = values

    def read_outputs(self) -> list[np.ndarray]:
        """The raw outputs of the last run."""
        return [self.session.get_output_tensor(place).data.copy() for place in range(len(self.outputs))]


def _read(path: Path) -> tuple[Any, Any, ExportRecord]:
    """The runtime, a model of one input, and what it says of itself."""
    import openvino

    core = openvino.Core()
    with suppress_native_output():  # what its readers of other formats say of one that none of them knows
        model = core.read_model(path)
    if len(model.inputs) != 1:
        raise UserError(f"{path} has {len(model.inputs)} inputs; give a file with one")
    said = model.get_rt_info([SECTION]).astype(str) if model.has_rt_info([SECTION]) else "{}"
    return core, model, read_record(json.loads(said), _shape(model.inputs[0]))


def _shape(end: Any) -> tuple[int, ...]:
    """A shape as the file has it, −1 for an open size."""
    return tuple(-1 if size.is_dynamic else size.get_length() for size in end.partial_shape)


def _name(end: Any) -> str:
    return str(end.any_name) if end.names else ""
