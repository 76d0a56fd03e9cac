"""A folder from which TensorRT builds an engine on the machine that has the GPU."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_mobilenets.errors import UserError, first_line
from keras_mobilenets.tflite.exports.symmetric_scales import make_symmetric
from keras_mobilenets.tflite.runtime.export_record import ExportRecord

SCRIPT = """#!/bin/sh
# Builds {engine} with TensorRT 8.6 or later and times it; needs an NVIDIA GPU and trtexec.
cd "$(dirname "$0")" && exec trtexec --onnx=model.onnx --saveEngine={engine} {flags}
"""


def write_folder(model: Any, out: Path, record: ExportRecord, checked: Callable[[Path], None]) -> None:
    """Writes model.onnx and build.sh; int8 with symmetric scales, float for fp16.

    The scales are those of the .tflite, in the graph (explicit quantization), so that TensorRT calibrates nothing and
    needs no calibration cache.

    Args:
        model: The ONNX model.
        out: The folder, which takes the place of one that is there.
        record: What the .tflite says.
        checked: Called with the ONNX file before any is changed; of a float one.

    Raises:
        UserError: The folder cannot be written.
    """
    is_int8 = record.quantization == "int8"
    unfinished = out.with_name(f".{out.name}.unfinished")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        file = unfinished / "model.onnx"
        file.write_bytes(model.SerializeToString())
        checked(file)
        if is_int8:
            make_symmetric(model, record)
            file.write_bytes(model.SerializeToString())
        flags = "--int8 --fp16" if is_int8 else "--fp16"
        sizes = "" if model.graph.input[0].type.tensor_type.shape.dim[0].dim_value else _batches(model)
        script = unfinished / "build.sh"
        script.write_text(SCRIPT.format(engine="model.engine", flags=flags + sizes), "utf-8")
        script.chmod(0o755)
        shutil.rmtree(out, ignore_errors=True)
        unfinished.rename(out)
    except OSError as error:
        raise UserError(f"cannot write {out}: {first_line(error)}; choose another folder") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _batches(model: Any) -> str:
    """The batches that an engine of open batch is built for."""
    source = model.graph.input[0]
    size = "x".join(str(dim.dim_value) for dim in source.type.tensor_type.shape.dim[1:])
    return "".join(f" --{kind}Shapes={source.name}:{n}x{size}" for kind, n in (("min", 1), ("opt", 8), ("max", 32)))
