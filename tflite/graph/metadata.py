"""TFLite Metadata: what MediaPipe and ML Kit read of a .tflite, by the format's metadata_schema.fbs.

A flatbuffer of its own (identifier M001) in a buffer named TFLITE_METADATA tells how pixels are normalized and which
file lists the labels; that file lies in a ZIP archive behind the model.
"""

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
from flatbuffers.table import Table

from keras_mobilenets.errors import UserError
from keras_mobilenets.graphs.input_names import HISTORY
from keras_mobilenets.pixels.scaling import PixelScaling
from keras_mobilenets.plurals import listed
from keras_mobilenets.tflite.graph import flatbuffer

BUFFER, IDENTIFIER, PARSER = "TFLITE_METADATA", b"M001", "1.0.0"
LABELS = "labels.txt"
_FEATURES, _IMAGE_PROPERTIES, _BOXES, _NORMALIZATION = 1, 2, 3, 1  # in their enumerations, as all that follow
_AXIS_LABELS, _VALUE_LABELS, _BOUNDARIES = 2, 3, 1
_COLOUR_SPACES = {3: 1, 1: 2}  # channels: RGB, GRAYSCALE
_UNION = object()
_MOST_TABLES = 1000  # of a file that is read; pointers of a damaged one may lead anywhere

# Of each table the fields that are used: slot and type; a list is a vector, a name another table. A union is a pair of
# a type, the enumeration's number, and a value, whose table the type tells.
_TABLES: dict[str, dict[str, tuple[int, Any]]] = {
    "ModelMetadata": {
        "name": (0, str),
        "description": (1, str),
        "subgraph_metadata": (3, ["SubGraphMetadata"]),
        "min_parser_version": (7, str),
    },
    "SubGraphMetadata": {
        "input_tensor_metadata": (2, ["TensorMetadata"]),
        "output_tensor_metadata": (3, ["TensorMetadata"]),
        "output_tensor_groups": (8, ["TensorGroup"]),
    },
    "TensorGroup": {"name": (0, str), "tensor_names": (1, [str])},
    "TensorMetadata": {
        "name": (0, str),
        "description": (1, str),
        "content": (3, "Content"),
        "process_units": (4, ["ProcessUnit"]),
        "stats": (5, "Stats"),
        "associated_files": (6, ["AssociatedFile"]),
    },
    "Content": {"content_properties_type": (0, int), "content_properties": (1, _UNION)},
    "FeatureProperties": {},
    "BoundingBoxProperties": {"index": (0, [int]), "type": (1, int)},
    "ImageProperties": {"color_space": (0, int)},
    "ProcessUnit": {"options_type": (0, int), "options": (1, _UNION)},
    "NormalizationOptions": {"mean": (0, [float]), "std": (1, [float])},
    "Stats": {"max": (0, [float]), "min": (1, [float])},
    "AssociatedFile": {"name": (0, str), "description": (1, str), "type": (2, int)},
}
_UNIONS = {
    "content_properties": {
        _FEATURES: "FeatureProperties",
        _IMAGE_PROPERTIES: "ImageProperties",
        _BOXES: "BoundingBoxProperties",
    },
    "options": {_NORMALIZATION: "NormalizationOptions"},
}


@dataclass(frozen=True)
class Metadata:
    """What the metadata of a .tflite says.

    Attributes:
        description: Of the model.
        normalization: Mean and standard deviation of the first input, in pixels; None where it does not say.
        labels: Names of the classes; none where it has no such file.
    """

    description: str
    normalization: tuple[tuple[float, ...], tuple[float, ...]] | None
    labels: tuple[str, ...]

    def __str__(self) -> str:
        parts = [self.description] if self.description else []
        if self.normalization:
            parts.append(f"pixels {PixelScaling(*self.normalization)}")
        if self.labels:
            parts.append(f"{len(self.labels)} labels: {listed(self.labels, 3)}")
        return "; ".join(parts) or "nothing of use"


DESCRIPTIONS = {HISTORY: "Items, the last one at the end: 0 where nothing was yet, else 1 + place in the labels"}


def attach(content: bytes, name: str, scaling: PixelScaling | None, labels: Sequence[str] | None = None) -> bytes:
    """Adds metadata to a .tflite that has none, as the last change of it.

    Args:
        content: The .tflite, with one input.
        name: The model's.
        scaling: What its pixels mean, left out where that is assumed without any sign of it; None of a waveform.
        labels: Names of the classes, as many as it has; None for no names.

    Raises:
        UserError: There are more or fewer labels than classes.
    """
    model = flatbuffer.read(content)
    graph = model.subgraphs[0]
    source, targets = graph.tensors[graph.inputs[0]], [graph.tensors[place] for place in graph.outputs]
    detects = flatbuffer.detects(model)
    classes = flatbuffer.detected_classes(model) if detects else int(targets[0].shape[-1])
    if labels is not None and len(labels) != classes:
        raise UserError(f"{len(labels)} labels are given but {name} has {classes} classes; give one for each")
    tables = {
        "name": name,
        "description": f"{name}, converted by keras_mobilenets",
        "subgraph_metadata": [
            {"input_tensor_metadata": [_input(source, scaling)]}
            | (_detections(labels) if detects else {"output_tensor_metadata": [_scores(targets[0], labels)]})
        ],
        "min_parser_version": PARSER,
    }
    builder = flatbuffers.Builder(1024)
    builder.Finish(_pack(builder, "ModelMetadata", tables), file_identifier=IDENTIFIER)
    content = flatbuffer.with_metadata(content, BUFFER, bytes(builder.Output()))
    return content if labels is None else _archived(content, "".join(f"{_line(label)}\n" for label in labels))


def metadata_of(content: bytes) -> Metadata | None:
    """The metadata of a .tflite; None where it has none, or none that can be read."""
    stored = flatbuffer.metadata(content, BUFFER) or b""
    if stored[4:8] != IDENTIFIER:
        return None
    try:
        tables = _Reader(stored).root("ModelMetadata")
        graphs = tables.get("subgraph_metadata") or [{}]
        inputs, outputs = (graphs[0].get(f"{side}_tensor_metadata", []) for side in ("input", "output"))
        return Metadata(tables.get("description", ""), _normalization(inputs), _labels(outputs, content))
    except Exception:  # offsets of a damaged table lead anywhere; the model runs without it
        return None


def _input(tensor: Any, scaling: PixelScaling | None) -> dict[str, Any]:
    if scaling is None:
        name = flatbuffer.text(tensor.name)
        return {"name": name, "description": DESCRIPTIONS.get(name, "Waveform in -1..1 at 16 kHz, or features of it")}
    low, high = scaling.range
    known = {
        "process_units": [
            {"options_type": _NORMALIZATION, "options": {"mean": list(scaling.mean), "std": list(scaling.std)}}
        ],
        "stats": {"min": [low], "max": [high]},
    }
    known = {} if scaling.is_assumed and not scaling.source else known
    if len(tensor.shape) != 4:  # whose frames the format has no word for
        return {"name": flatbuffer.text(tensor.name), "description": "Clip to classify, in RGB order", **known}
    space = _COLOUR_SPACES.get(int(tensor.shape[-1]), 0)
    return {
        "name": flatbuffer.text(tensor.name),
        "description": "Image to classify, in RGB order",
        "content": {"content_properties_type": _IMAGE_PROPERTIES, "content_properties": {"color_space": space}},
        **known,
    }


def _scores(tensor: Any, labels: Sequence[str] | None) -> dict[str, Any]:
    scores = {"name": flatbuffer.text(tensor.name), "description": "Score of each class"}
    return scores | _label_file(labels, _AXIS_LABELS)


def _detections(labels: Sequence[str] | None) -> dict[str, Any]:
    """The four outputs of a detector, in the order and with the names that MediaPipe's ObjectDetector looks for."""
    edges = {"index": [1, 0, 3, 2], "type": _BOUNDARIES}  # where left, top, right and bottom stand
    features = {"content": {"content_properties_type": _FEATURES, "content_properties": {}}}
    outputs = [
        {
            "name": "location",
            "description": "Top, left, bottom and right of each box, in shares of the image",
            "content": {"content_properties_type": _BOXES, "content_properties": edges},
        },
        {"name": "category", "description": "Class of each box"} | features | _label_file(labels, _VALUE_LABELS),
        {"name": "score", "description": "Score of each box"} | features,
        {"name": "number of detections", "description": "How many boxes there are"} | features,
    ]
    group = {"name": "detection_result", "tensor_names": ["location", "category", "score"]}
    return {"output_tensor_metadata": outputs, "output_tensor_groups": [group]}


def _label_file(labels: Sequence[str] | None, kind: int) -> dict[str, Any]:
    file = {"name": LABELS, "description": "Names of the classes, one a line", "type": kind}
    return {} if labels is None else {"associated_files": [file]}


def _line(label: object) -> str:
    return " ".join(str(label).split()) or "–"


def _archived(content: bytes, labels: str) -> bytes:
    """With labels.txt in an uncompressed archive at the end, always of the same date."""
    file = io.BytesIO(content)
    with zipfile.ZipFile(file, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(LABELS), labels.encode())
    return file.getvalue()


def _normalization(inputs: list[dict[str, Any]]) -> Any:
    for unit in inputs[0].get("process_units", []) if inputs else []:
        options = unit.get("options", {})
        mean, std = tuple(options.get("mean", ())), tuple(options.get("std", ()))
        if len(mean) == len(std) and len(mean) in (1, 3) and np.isfinite([mean, std]).all() and min(std) > 0:
            return mean, std
    return None


def _labels(outputs: list[dict[str, Any]], content: bytes) -> tuple[str, ...]:
    files = [file for output in outputs for file in output.get("associated_files", [])]
    names = [file.get("name", "") for file in files if file.get("type") in (_AXIS_LABELS, _VALUE_LABELS)]
    if not names or not zipfile.is_zipfile(io.BytesIO(content)):
        return ()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if names[0] not in archive.namelist() or archive.getinfo(names[0]).file_size > 1 << 22:
            return ()
        return tuple(archive.read(names[0]).decode("utf-8", "replace").splitlines())


def _pack(builder: Any, kind: str, values: dict[str, Any]) -> int:
    """Writes a table and all it holds; returns where it is."""
    fields = _TABLES[kind]
    placed = {
        key: _placed(builder, _table_of(key, fields[key][1], values), value)
        for key, value in values.items()
        if fields[key][1] is not int
    }
    builder.StartObject(1 + max((slot for slot, _ in fields.values()), default=-1))
    for key, value in values.items():
        slot, of = fields[key]
        if of is int:
            builder.PrependInt8Slot(slot, value, 0)
        else:
            builder.PrependUOffsetTRelativeSlot(slot, placed[key], 0)
    return builder.EndObject()


def _table_of(key: str, of: Any, values: dict[str, Any]) -> Any:
    """The type of a field; of a union the table that the type beside it tells, None of another."""
    return _UNIONS[key].get(values.get(f"{key}_type", 0)) if of is _UNION else of


def _placed(builder: Any, of: Any, value: Any) -> int:
    if of is str:
        return builder.CreateString(value)
    if of == [float]:
        return builder.CreateNumpyVector(np.array(value, np.float32))
    if of == [int]:
        return builder.CreateNumpyVector(np.array(value, np.uint32))
    if isinstance(of, str):
        return _pack(builder, of, value)
    items = [_placed(builder, of[0], item) for item in value]
    builder.StartVector(4, len(items), 4)
    for item in reversed(items):
        builder.PrependUOffsetTRelative(item)
    return builder.EndVector()


class _Reader:
    """Reads tables; what points out of the bytes raises."""

    def __init__(self, content: bytes) -> None:
        self._content, self._tables = content, 0

    def root(self, kind: str) -> dict[str, Any]:
        return self._table(kind, Table(self._content, int.from_bytes(self._content[:4], "little")))

    def _table(self, kind: str, table: Any) -> dict[str, Any]:
        self._tables += 1
        if self._tables > _MOST_TABLES:
            raise ValueError("too many tables")
        found: dict[str, Any] = {}
        for key, (slot, of) in _TABLES[kind].items():
            place, of = table.Offset(4 + 2 * slot), _table_of(key, of, found)
            if place and of:
                found[key] = self._field(table, place + table.Pos, of)
        return found

    def _field(self, table: Any, place: int, of: Any) -> Any:
        if of is int:
            return self._content[place]
        if of is str:
            return table.String(place).decode("utf-8", "replace")
        if isinstance(of, str):
            return self._table(of, Table(self._content, table.Indirect(place)))
        start = place + int.from_bytes(self._content[place : place + 4], "little")
        count = int.from_bytes(self._content[start : start + 4], "little")
        if start + 4 + 4 * count > len(self._content):
            raise ValueError("a vector ends behind the file")
        if of == [float]:
            return np.frombuffer(self._content, "<f4", count, start + 4).tolist()
        if of == [int]:
            return np.frombuffer(self._content, "<u4", count, start + 4).tolist()
        items = range(start + 4, start + 4 + 4 * count, 4)
        if of == [str]:
            return [table.String(item).decode("utf-8", "replace") for item in items]
        return [self._table(of[0], Table(self._content, table.Indirect(item))) for item in items]
