"""An OpenVINO file (.xml and .bin) on the CPU."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.runtime.export_record import read_record
from keras_mobilenets.tflite.runtime.exported_model import ExportedModel, closed, described
from keras_mobilenets.tflite.runtime.model import InputShape

SECTION = "keras_mobilenets"  # of a file's runtime information


class OpenvinoModel(ExportedModel):
    """See `ExportedModel`; in float32 arithmetic where the file says so, not in the CPU's shorter one."""

    backend = "openvino"

    @classmethod
    def open(cls, path: Path, threads: int, input_shape: InputShape) -> "OpenvinoModel":
        """Opens a file that exists, with a batch of one image."""
        import openvino

        core = openvino.Core()
        model = core.read_model(path)
        if len(model.inputs) != 1 or len(model.outputs) != 1:
            raise UserError(f"{path} has several inputs or outputs; a classifier has one of each")
        source, target = model.inputs[0], model.outputs[0]
        shape = tuple(-1 if size.is_dynamic else size.get_length() for size in source.partial_shape)
        said = model.get_rt_info([SECTION]).astype(str) if model.has_rt_info([SECTION]) else "{}"
        record = read_record(json.loads(said), shape)
        own = closed(shape, input_shape, path)
        if -1 in shape:
            model.reshape({source.any_name: own})
        settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
        request = core.compile_model(model, "CPU", settings).create_infer_request()
        inside = described(source.any_name, own, source.element_type.to_dtype(), record.input, record.layout == "nchw")
        out = described(
            target.any_name if target.names else "output",
            target.partial_shape.get_min_shape(),
            target.element_type.to_dtype(),
            record.output,
        )
        return cls(path, threads, record, request, inside, out)

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

    def read_output(self) -> np.ndarray:
        """The raw output of the last run."""
        return self.session.get_output_tensor().data.copy()
