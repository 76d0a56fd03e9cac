"""An ONNX file in ONNX Runtime, on the CPU."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.runtime.export_record import read_record
from keras_mobilenets.tflite.runtime.exported_model import ExportedModel, closed, described
from keras_mobilenets.tflite.runtime.model import InputShape

_DTYPES = {"float": "float32", "double": "float64"}  # ONNX Runtime's words that NumPy has others for


class OnnxModel(ExportedModel):
    """See `ExportedModel`; input and output are bound, so that a run copies nothing."""

    backend = "onnxruntime"

    @classmethod
    def open(cls, path: Path, threads: int, input_shape: InputShape) -> "OnnxModel":
        """Opens a file that exists, with a batch of one image."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 4  # errors are raised, too
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        if len(session.get_inputs()) != 1 or len(session.get_outputs()) != 1:
            raise UserError(f"{path} has several inputs or outputs; a classifier has one of each")
        source, target = session.get_inputs()[0], session.get_outputs()[0]
        shape = tuple(size if isinstance(size, int) else -1 for size in source.shape)
        record = read_record(session.get_modelmeta().custom_metadata_map, shape)
        own = closed(shape, input_shape, path)
        inside = described(source.name, own, _dtype(source.type), record.input, record.layout == "nchw")
        out = [size if isinstance(size, int) else 1 for size in target.shape]
        model = cls(
            path, threads, record, session, inside, described(target.name, out, _dtype(target.type), record.output)
        )
        model._bind(np.zeros(own, inside["dtype"]))
        return model

    def invocation(self) -> Callable[[], object]:
        """What runs the model once on what the input holds."""
        run, binding = self.session.run_with_iobinding, self._binding
        return lambda: run(binding)

    def set_input(self, values: np.ndarray) -> None:
        """Copies values of the runtime's own layout into the input."""
        self._source.update_inplace(values)

    def read_output(self) -> np.ndarray:
        """The raw output of the last run."""
        return self._binding.copy_outputs_to_cpu()[0]

    def _bind(self, values: np.ndarray) -> None:
        import onnxruntime

        self._source: Any = onnxruntime.OrtValue.ortvalue_from_numpy(values)
        self._binding: Any = self.session.io_binding()
        self._binding.bind_ortvalue_input(self.input["name"], self._source)
        self._binding.bind_output(self.output["name"])


def _dtype(words: str) -> np.dtype:
    """NumPy's type of ONNX Runtime's "tensor(float)"."""
    name = words.removeprefix("tensor(").removesuffix(")")
    return np.dtype(_DTYPES.get(name, name))
