"""An ONNX file in ONNX Runtime, on the CPU."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.runtime.export_record import ExportRecord, quantizations, read_record
from keras_mobilenets.tflite.runtime.exported_model import ExportedModel, channels_last, closed, described
from keras_mobilenets.tflite.runtime.model import InputShape

_INT8 = (b"QuantizeLinear", b"QLinearConv", b"QLinearMatMul")  # operators, as a file names them
_DTYPES = {"float": "float32", "double": "float64"}  # ONNX Runtime's words that NumPy has others for


class OnnxModel(ExportedModel):
    """See `ExportedModel`; input and outputs are bound, so that a run copies nothing."""

    backend = "onnxruntime"

    @classmethod
    def open(cls, path: Path, threads: int, input_shape: InputShape) -> "OnnxModel":
        """Opens a file that exists, with a batch of one image."""
        session = _session(path, threads)
        source, record = session.get_inputs()[0], _record(session, path)
        shape = closed(channels_last(_shape(source), record.layout), input_shape, path)
        targets = session.get_outputs()
        outputs = [
            described(target.name, [max(size, 1) for size in _shape(target)], _dtype(target.type), quantization)
            for target, quantization in zip(targets, quantizations(record, len(targets)), strict=True)
        ]
        end = described(source.name, shape, _dtype(source.type), record.input)
        model = cls(path, threads, record, session, end, outputs)
        model._bind(model._laid_out(np.zeros(shape)))
        return model

    @classmethod
    def input_of(cls, path: Path) -> tuple[str, tuple[int, ...], ExportRecord]:
        """Name of the input, its shape N×H×W×C, −1 for an open size, and what the file says of itself."""
        session = _session(path, 1)
        source, record = session.get_inputs()[0], _record(session, path)
        return source.name, channels_last(_shape(source), record.layout), record

    def invocation(self) -> Callable[[], object]:
        """What runs the model once on what the input holds."""
        run, binding = self.session.run_with_iobinding, self._binding
        return lambda: run(binding)

    def set_input(self, values: np.ndarray) -> None:
        """Copies values of the runtime's own layout into the input."""
        self._source.update_inplace(values)

    def read_outputs(self) -> list[np.ndarray]:
        """The raw outputs of the last run."""
        return list(self._binding.copy_outputs_to_cpu())

    def run_batch(self, values: np.ndarray) -> list[np.ndarray]:
        """The raw outputs of several images N×H×W×C at once, of a file that leaves their number open."""
        return list(self.session.run(None, {self.input["name"]: self._laid_out(values)}))

    def _bind(self, values: np.ndarray) -> None:
        import onnxruntime

        self._source: Any = onnxruntime.OrtValue.ortvalue_from_numpy(values)
        self._binding: Any = self.session.io_binding()
        self._binding.bind_ortvalue_input(self.input["name"], self._source)
        for output in self.outputs:
            self._binding.bind_output(output["name"])


def _session(path: Path, threads: int) -> Any:
    """A session of a file with one input."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4  # errors are raised, too
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    if len(session.get_inputs()) != 1:
        raise UserError(f"{path} has {len(session.get_inputs())} inputs; give a file with one")
    return session


def _record(session: Any, path: Path) -> ExportRecord:
    """What the file says of itself; of one that others made, whether it computes in int8."""
    entries = session.get_modelmeta().custom_metadata_map
    record = read_record(entries, _shape(session.get_inputs()[0]))
    if "quantization" not in entries and any(operator in path.read_bytes() for operator in _INT8):
        return replace(record, quantization="int8")
    return record


def _shape(end: Any) -> tuple[int, ...]:
    """A shape as the file has it, −1 for an open size."""
    return tuple(size if isinstance(size, int) else -1 for size in end.shape)


def _dtype(words: str) -> np.dtype:
    """NumPy's type of ONNX Runtime's "tensor(float)"."""
    name = words.removeprefix("tensor(").removesuffix(")")
    return np.dtype(_DTYPES.get(name, name))
