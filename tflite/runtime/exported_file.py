"""Files of other runtimes than LiteRT, by their suffix: .onnx of ONNX Runtime, .xml of OpenVINO."""

import contextlib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from keras_mobilenets.errors import UserError, first_line
from keras_mobilenets.tflite.runtime.export_record import ExportRecord
from keras_mobilenets.tflite.runtime.exported_model import ExportedModel
from keras_mobilenets.tflite.runtime.model import InputShape
from keras_mobilenets.tflite.runtime.onnx_model import OnnxModel
from keras_mobilenets.tflite.runtime.openvino_model import OpenvinoModel

RUNTIMES = {".onnx": "onnxruntime", ".xml": "openvino"}  # suffix: package, which is the backend's name too


def is_exported(path: str | Path) -> bool:
    """Whether a file is of another runtime than LiteRT."""
    return Path(path).suffix.lower() in RUNTIMES


def runtime(path: str | Path) -> Any:
    """The package that runs an exported file.

    Raises:
        UserError: It is not installed, or the file, or that of its weights, is missing.
    """
    if not Path(path).is_file():
        raise UserError(f"{path} does not exist")
    weights = Path(path).with_suffix(".bin")
    if Path(path).suffix.lower() == ".xml" and not weights.is_file():
        raise UserError(f"{path} lacks its weights, {weights}: copy both files")
    package = RUNTIMES[Path(path).suffix.lower()]
    try:
        return import_module(package)
    except ImportError as error:
        raise UserError(f"{path} needs {package}: pip install {package}") from error


def open_exported(path: str | Path, threads: int = 1, input_shape: InputShape = None) -> ExportedModel:
    """Opens an ONNX file or an OpenVINO one on the CPU.

    Args:
        path: The file.
        threads: CPU threads, 1 or more.
        input_shape: Sizes of an input that leaves them open, N×H×W×C, as in `open_model`.

    Raises:
        UserError: The runtime is missing or refuses the file, or a size stays open.
    """
    with _kind(path) as kind:
        return kind.open(Path(path), threads, input_shape)


def exported_input(path: str | Path) -> tuple[str, tuple[int, ...], ExportRecord]:
    """Name of an exported file's input, its shape N×H×W×C, −1 for an open size, and what the file says of itself.

    Raises:
        UserError: As `open_exported`.
    """
    with _kind(path) as kind:
        return kind.input_of(Path(path))


@contextlib.contextmanager
def _kind(path: str | Path) -> Iterator[type[ExportedModel]]:
    """The class of a file; what its runtime refuses within the block is said in one line."""
    runtime(path)
    kind: type[ExportedModel] = OnnxModel if Path(path).suffix.lower() == ".onnx" else OpenvinoModel
    try:
        yield kind
    except UserError:
        raise
    except Exception as error:  # each runtime has kinds of its own
        raise UserError(f"{path} is damaged or not for {kind.backend}: {first_line(error)}; export it again") from error
