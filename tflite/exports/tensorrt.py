"""A folder from which TensorRT builds an engine on the machine that has the GPU.

The precision stands in the graph, which TensorRT calls strongly typed and from release 11 takes alone: int8 as
symmetric QuantizeLinear and DequantizeLinear, fp16 as float16 weights and activations. For TensorRT 10 and earlier a
float graph may be calibrated instead (implicit quantization): then the folder has a calibration cache.
"""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_mobilenets.errors import UserError
from keras_mobilenets.files import atomic_folder, refuse_strangers
from keras_mobilenets.tflite.exports import half_precision
from keras_mobilenets.tflite.exports.calibration_cache import calibration_cache
from keras_mobilenets.tflite.exports.symmetric_scales import make_symmetric
from keras_mobilenets.tflite.runtime.export_record import ExportRecord

PRECISIONS = ("int8", "fp16")
MODEL, CACHE, SCRIPT = "model.onnx", "calibration.cache", "build.sh"
ENGINES = {"tensorrt": "model.engine", "tensorrt_rtx": "model_rtx.engine"}  # by library: one cannot run the other's
BATCHES = {"min": 1, "opt": 8, "max": 32}  # that an engine of open batch is built for
_SCRIPT = """#!/bin/sh
# Builds model.engine with {release} and times it; needs an NVIDIA GPU and trtexec.
cd "$(dirname "$0")" && exec trtexec --onnx={model} --saveEngine=model.engine {flags}
"""


def precision_of(record: ExportRecord, precision: str | None, calibration: Any, source: Path) -> str:
    """The precision of an engine: what was asked, else int8 of an int8 file and fp16 of a float one.

    Raises:
        UserError: The file cannot be brought to it.
    """
    is_int8 = record.quantization == "int8"
    found = precision or ("int8" if is_int8 else "fp16")
    if found not in PRECISIONS:
        raise UserError(f"precision {found!r}: TensorRT takes {' or '.join(PRECISIONS)}")
    if is_int8 and found == "fp16":
        raise UserError(f"{source} is int8: an fp16 engine is made of the float32 file")
    if found == "int8" and not is_int8 and calibration is None:
        raise UserError(
            f"{source} is float32: give images to calibrate on, or export the int8 file, whose scales TensorRT takes"
        )
    return found


def write_folder(
    model: Any,
    out: Path,
    record: ExportRecord,
    checked: Callable[..., None],
    precision: str,
    values: Any = None,
) -> None:
    """Writes model.onnx and build.sh, and of a float model that shall become int8 calibration.cache.

    Args:
        model: The ONNX model; changed.
        out: The folder, which takes the place of an earlier one.
        record: What the .tflite says.
        checked: Called with the ONNX file of the .tflite's own scales, and of one in float16 with True.
        precision: As `precision_of` gives it.
        values: Of a float model that shall become int8: what its input takes, N×… float32.

    Raises:
        UserError: The folder cannot be written, or holds other files, or float16 is too short for the model's values.
    """
    refuse_strangers(out, (MODEL, CACHE, SCRIPT, *ENGINES.values()), "folder for TensorRT")
    release, flags = "TensorRT 10 or later", "--stronglyTyped"
    with atomic_folder(out) as folder:
        file = folder / MODEL
        file.write_bytes(model.SerializeToString())
        checked(file)
        if record.quantization == "int8":
            make_symmetric(model, record)
        elif precision == "fp16":
            half_precision.halve(model)
        else:
            (folder / CACHE).write_text(calibration_cache(model, values), "utf-8")
            release, flags = "TensorRT 8.6 to 10, which quantize by a cache,", f"--int8 --fp16 --calib={CACHE}"
        file.write_bytes(model.SerializeToString())
        if precision == "fp16":
            checked(file, True)
        script = folder / SCRIPT
        script.write_text(_SCRIPT.format(release=release, model=MODEL, flags=flags + _batches(model)), "utf-8")
        script.chmod(0o755)


def _batches(model: Any) -> str:
    """trtexec's flags of an open batch; empty for a batch of one."""
    source = model.graph.input[0]
    first, *sizes = source.type.tensor_type.shape.dim
    if first.dim_value:
        return ""
    size = "x".join(str(dim.dim_value) for dim in sizes)
    name = f"'{source.name}'" if set(source.name) & set(":,") else source.name  # as trtexec wants such names
    return "".join(f" {shlex.quote(f'--{kind}Shapes={name}:{count}x{size}')}" for kind, count in BATCHES.items())
