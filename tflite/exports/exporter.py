"""`export`: a .tflite as a file of another runtime, checked against it before it is kept."""

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from keras_mobilenets.errors import UserError, first_line, unknown
from keras_mobilenets.files import atomic
from keras_mobilenets.pixels.batches import first_labelled, to_input
from keras_mobilenets.plurals import count
from keras_mobilenets.tflite.exports import agreement, detector, onnx_graph, tensorrt
from keras_mobilenets.tflite.graph import flatbuffer, signature
from keras_mobilenets.tflite.graph.file_identifier import check_file
from keras_mobilenets.tflite.graph.macs import file_macs
from keras_mobilenets.tflite.graph.metadata import metadata_of
from keras_mobilenets.tflite.runtime.export_record import ExportRecord
from keras_mobilenets.tflite.runtime.exported_file import open_exported
from keras_mobilenets.tflite.runtime.input_scaling import is_pixels, scaling_of_file
from keras_mobilenets.tflite.runtime.interpreter import open_model
from keras_mobilenets.tflite.runtime.sandbox import validate

SUFFIXES = {"onnx": ".onnx", "openvino": ".xml", "tensorrt": ".tensorrt"}
LAYOUTS = ("nhwc", "nchw")
CALIBRATION = 200  # images, at most


def export(
    source: str | Path,
    path: str | Path | None = None,
    *,
    folder: str | Path | None = None,
    format: str = "onnx",
    layout: str = "nhwc",
    batch: int | None = 1,
    precision: str | None = None,
    calibration: Any = None,
    images: np.ndarray | None = None,
    keras_model: Any = None,
) -> Path:
    """Writes a float or int8 .tflite for another runtime: the same weights, scales and answers.

    int8 becomes QuantizeLinear and DequantizeLinear (QDQ) with the scales of the .tflite. Labels, pixel scaling, and
    scale and zero point of both ends go into the file's metadata.

    Args:
        source: A .tflite with one input, as `convert` writes it. Of a detector's, boxes and scores before the
            suppression become the outputs, see `detector.without_suppression`.
        path: The file; by default the source's name with the format's suffix, NAME_fp16.tensorrt or NAME_int8.tensorrt
            of what is made of a float file for TensorRT.
        folder: Where a file of the default name goes; beside the source when not given.
        format: "onnx", "openvino" (an .xml with a .bin beside it) or "tensorrt" (a folder NAME.tensorrt with the ONNX
            file and the command that builds an engine, which `build_engine` does from Python; int8 with symmetric
            scales, which round differently).
        layout: Order of the input's sizes: "nhwc" as in the .tflite, or "nchw".
        batch: 1, or None for any number of images at once.
        precision: Of TensorRT: "int8" or "fp16"; by default int8 of an int8 file, fp16 of a float one. int8 of a float
            file is calibrated by entropy, which TensorRT takes up to release 10.
        calibration: Of int8 of a float file: images in any form that `convert` takes; the first
            200 count.
        images: uint8 images N×H×W×C on which both are compared; coloured noise when not given, or noise of the input's
            type where it is no image.
        keras_model: Of a float .tflite: the Keras model that it was made of, compared too.

    Returns:
        The file, or the folder.

    Raises:
        UserError: A package is missing, an operator is unknown to the format, the .tflite is neither float nor int8, or
            the answers differ by more than rounding; then nothing is written.
    """
    source = Path(source)
    if format not in SUFFIXES:
        raise unknown("format", format, list(SUFFIXES), "keras-mobilenets export --help")
    if layout not in LAYOUTS or batch not in (1, None):
        raise UserError(f"layout {layout!r}, batch {batch}: give nhwc or nchw, and 1 or None for any number")
    if format != "tensorrt" and (precision is not None or calibration is not None):
        raise UserError(f"precision and calibration go with tensorrt: {format} has the precision of the .tflite")
    check_file(source)
    suffix = SUFFIXES[format]
    if path is not None and Path(path).suffix != suffix:
        raise UserError(f"{path}: a file of {format} ends with {suffix}")
    with _exportable(source) as plain:
        record, name = record_of(plain, source, layout), source.stem
        if format == "tensorrt":
            precision = tensorrt.precision_of(record, precision, calibration, source)
            name += "" if record.quantization == "int8" else f"_{precision}"
        out = Path(folder or source.parent) / f"{name}{suffix}" if path is None else Path(path)
        model = onnx_graph.read_graph(plain.read_bytes(), plain, is_nchw=layout == "nchw")
        if batch is None:
            onnx_graph.open_batch(model)
        _describe(model, source.stem, record)

        def checked(file: Path, is_half: bool = False) -> None:
            try:
                opened = open_exported(file)
            except UserError as error:
                reason = first_line(error.__cause__ or error)
                raise UserError(f"{format} does not run what {plain} becomes: {reason}; nothing was written") from error
            if is_half:
                return agreement.check_half(opened, plain, images)
            agreement.check(opened, plain, images, keras_model)
            if batch is None and format != "openvino":
                agreement.check_batch(out, opened)

        if format == "tensorrt":
            tensorrt.write_folder(model, out, record, checked, str(precision), _values(calibration, plain, record))
        else:
            (_write_onnx if format == "onnx" else _write_openvino)(model, out, record, checked)
    return out


@contextlib.contextmanager
def _exportable(source: Path) -> Iterator[Path]:
    """The file itself; of a detector's, one without the suppression, in a folder of its own while it is needed."""
    validate(source, run=False)
    content = source.read_bytes()
    if not flatbuffer.detects(flatbuffer.read(content, source)):
        yield source
        return
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / source.name
        plain.write_bytes(detector.without_suppression(content))
        try:
            yield plain
        except UserError as error:
            raise UserError(str(error).replace(str(plain), str(source))) from error


def record_of(source: Path, labelled: Path, layout: str = "nhwc") -> ExportRecord:
    """What the exported file of a .tflite will say of itself.

    Args:
        source: The .tflite.
        labelled: The one that it was made of, whose labels it has; the same as a rule.
        layout: "nhwc" or "nchw".

    Raises:
        UserError: The .tflite is no float or int8 file of one input.
    """
    opened = open_model(source)
    detects = tuple(end["name"] for end in opened.outputs) == detector.OUTPUTS
    if len(opened.inputs) != 1:
        raise UserError(f"{source} has {count(len(opened.inputs), 'input')}: what has one is exported")
    kind, end = opened.quantization(), opened.input
    if kind not in ("none", "float16", "int8"):
        raise UserError(f"{source} is quantized as {kind}: export the float32 or the int8 file")
    if signature.open_places(end["shape_signature"]):
        raise UserError(f"{source} leaves sizes of its input open: convert it with input_shape")
    has_image = is_pixels(end["name"], end["shape"])
    if layout == "nchw" and not (has_image and len(end["shape"]) == 4):
        raise UserError(f"{source} takes no images: leave --nchw out, in Python layout")
    metadata = metadata_of(labelled.read_bytes())
    says_pixels = has_image and (np.dtype(end["dtype"]).kind != "f" or (metadata and metadata.normalization))
    scaling = scaling_of_file(source) if says_pixels else None
    return ExportRecord(
        layout,
        "int8" if kind == "int8" else "none",  # weights of float16 are written as float32
        None if scaling and scaling.is_assumed else scaling,
        metadata.labels if metadata else (),
        _quantization(end),
        tuple(map(_quantization, opened.outputs)),
        file_macs(source),
        detects,
    )


def _values(images: Any, source: Path, record: ExportRecord) -> np.ndarray | None:
    """What a float model's input takes of calibration images, in the layout of the export; None of none."""
    if images is None:
        return None
    end = open_model(source).input
    pixels, _ = first_labelled(images, CALIBRATION, end["shape"])
    values = to_input(pixels, scaling_of_file(source, None, pixels), end["dtype"], end["quantization"], source)
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2)) if record.layout == "nchw" else values


def _quantization(end: dict[str, Any]) -> tuple[float, int]:
    scale, zero_point = end["quantization"]
    return float(scale), int(zero_point)


def _describe(model: Any, name: str, record: ExportRecord) -> None:
    from onnx import helper

    from keras_mobilenets import __version__

    model.producer_name, model.producer_version = "keras_mobilenets", __version__
    model.graph.name, model.doc_string = name, f"{name}, {record.quantization}, by keras_mobilenets"
    helper.set_model_props(model, record.entries())


def _write_onnx(model: Any, out: Path, _: ExportRecord, checked: Callable[[Path], None]) -> None:
    with atomic(out) as temporary:
        temporary.write_bytes(model.SerializeToString())
        checked(temporary)


def _write_openvino(model: Any, out: Path, record: ExportRecord, checked: Callable[[Path], None]) -> None:
    try:
        import openvino
    except ImportError as error:
        raise UserError("OpenVINO export needs openvino: pip install keras_mobilenets[openvino]") from error
    from keras_mobilenets.tflite.runtime.openvino_model import SECTION

    onnx_graph.pad_integers(model)
    with atomic(out.with_suffix(".bin")) as weights, atomic(out) as temporary:
        try:
            converted = openvino.Core().read_model(model.SerializeToString())
            converted.set_rt_info(json.dumps(record.entries()), [SECTION])
            openvino.serialize(converted, temporary, weights)
        except RuntimeError as error:
            raise UserError(f"OpenVINO cannot write {out}: {first_line(error)}") from error
        checked(temporary)
