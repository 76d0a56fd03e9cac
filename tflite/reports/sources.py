"""What a report is made from: run folders, and results.json files from elsewhere, such as a phone's.

A run folder may hold results.json, run.json, history.csv, examination.npz, detection.npz, predictions.npz,
layer_errors.json and .tflite files; what is missing leaves its section out.
"""

import csv
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.files import read_json
from keras_mobilenets.progress import track
from keras_mobilenets.tflite.reports import image_grid
from keras_mobilenets.tflite.results import tables
from keras_mobilenets.tflite.results.layer_errors import LayerError
from keras_mobilenets.tflite.results.results import Results, Row, read_results
from keras_mobilenets.tflite.results.trade_off import Point, read_points
from keras_mobilenets.training.evaluation.attribute_examination import (
    AttributeExamination,
)
from keras_mobilenets.training.evaluation.examination import Examination
from keras_mobilenets.training.evaluation.examination_file import task_of
from keras_mobilenets.training.tasks.detection.examination import DetectionExamination

API_LEVEL = 31  # of Android 12, the last that brought NNAPI new operators
_FILES = (
    *("results.json", "run.json", "history.csv", "examination.npz", "detection.npz", "predictions.npz"),
    "layer_errors.json",
)


@dataclass(frozen=True)
class GraphFile:
    """What a .tflite holds and who takes it; `refused` alone is set when it cannot be opened.

    `input_shape` and `output_shape` are those of its first input and output.
    """

    name: str
    refused: str = ""
    operators: dict[str, int] = field(default_factory=dict)
    dtypes: str = ""
    xnnpack: str = ""
    nnapi: str = ""
    input_shape: tuple[int, ...] = ()
    output_shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class Source:
    """One run folder or results.json; None or empty for what it lacks.

    `network` is the builder of the run's model and its arguments; `trade_offs` has, by .tflite with blocks in float,
    the curve that it was taken from.
    """

    name: str
    results: Results | None = None
    asked: dict[str, str] = field(default_factory=dict)
    network: tuple[str, dict[str, Any]] | None = None
    history: dict[str, list[float]] = field(default_factory=dict)
    examination: Examination | AttributeExamination | None = None
    detection: DetectionExamination | None = None
    predictions: dict[str, np.ndarray] = field(default_factory=dict)
    layer_errors: dict[str, list[LayerError]] = field(default_factory=dict)
    trade_offs: dict[str, list[Point]] = field(default_factory=dict)
    files: list[GraphFile] = field(default_factory=list)

    @property
    def rows(self) -> list[Row]:
        """The measurements."""
        return tables.split(self.results.rows if self.results else ())[0]

    @property
    def estimates(self) -> list[Row]:
        """The estimated rows."""
        return tables.split(self.results.rows if self.results else ())[1]

    @property
    def environment(self) -> dict[str, Any]:
        """Where they were made."""
        return self.results.environment if self.results else {}

    @property
    def device(self) -> str:
        """Where they were made, in a name."""
        return self.environment.get("device") or "unknown device"


def read_source(path: str | Path) -> Source:
    """Reads a run folder, or a results.json alone.

    Raises:
        UserError: There is nothing to report, or a file is damaged.
    """
    path = Path(path)
    if path.is_file():
        name = path.resolve().parent.name if path.name == "results.json" else path.stem
        return Source(name, read_results(path))
    if not path.is_dir():
        raise UserError(f"{path} is not a folder nor a results.json; give the folder of a run, or such a file")
    files = {name: path / name for name in _FILES if (path / name).exists()}
    graphs = sorted(path.glob("*.tflite"))
    if not files and not graphs:
        raise UserError(f"{path} holds none of {', '.join(_FILES)} and no .tflite; train or benchmark into it first")
    record = read_json(files["run.json"]) if "run.json" in files else {}
    trade_offs = _take_trade_offs(record)
    return Source(
        name=path.resolve().name,
        results=read_results(files["results.json"]) if "results.json" in files else None,
        asked=dict(flatten(record)) if record else {},
        network=_network(record),
        history=_read_history(files["history.csv"]) if "history.csv" in files else {},
        examination=_read_examination(files["examination.npz"]) if "examination.npz" in files else None,
        detection=DetectionExamination.read(files["detection.npz"]) if "detection.npz" in files else None,
        predictions=image_grid.read_predictions(files["predictions.npz"]) if "predictions.npz" in files else {},
        layer_errors=_read_layer_errors(files["layer_errors.json"]) if "layer_errors.json" in files else {},
        trade_offs=trade_offs,
        files=[_look_into(graph) for graph in track(graphs, "Looking into the .tflite files")],
    )


def flatten(value: Any, name: str = "") -> list[tuple[str, str]]:
    """Nested JSON as (dotted name, text) pairs."""
    if isinstance(value, dict):
        pairs = [flatten(inner, f"{name}.{key}" if name else str(key)) for key, inner in value.items()]
        return [pair for inner in pairs for pair in inner]
    if isinstance(value, list):
        return [(name or "value", ", ".join(str(item) for item in value))]
    return [(name or "value", tables.UNKNOWN if value is None else str(value))]


def _network(record: Any) -> tuple[str, dict[str, Any]] | None:
    trained = record.get("train") if isinstance(record, dict) else None
    builder, arguments = (
        (trained.get(k) for k in ("builder", "arguments")) if isinstance(trained, dict) else (None, None)
    )
    return (builder, arguments) if isinstance(builder, str) and isinstance(arguments, dict) else None


def _take_trade_offs(record: Any) -> dict[str, list[Point]]:
    """The curves of mixed models, by stem; taken out of the record, whose other facts are a line each."""
    converted = record.get("convert") if isinstance(record, dict) else None
    curves = {}
    for name, asked in converted.items() if isinstance(converted, dict) else ():
        found = asked.get("found") if isinstance(asked, dict) else None
        if isinstance(found, dict) and "trade_off" in found:
            curves[Path(name).stem] = read_points(found.pop("trade_off"))
    return curves


def _read_history(path: Path) -> dict[str, list[float]]:
    try:
        with open(path, newline="", encoding="utf-8") as file:
            lines = list(csv.DictReader(file))
        return {name: [float(line[name] or "nan") for line in lines] for name in lines[0]} if lines else {}
    except (OSError, UnicodeDecodeError, ValueError, TypeError, csv.Error) as error:
        raise UserError(f"{path} is not a table of numbers with a header: {error}; train again") from error


def _read_examination(path: Path) -> Examination | AttributeExamination:
    return AttributeExamination.read(path) if task_of(path) == AttributeExamination.TASK else Examination.read(path)


def _read_layer_errors(path: Path) -> dict[str, list[LayerError]]:
    try:
        return {
            stem: [
                LayerError(
                    int(line["index"]),
                    str(line["operator"]),
                    str(line["layer"]),
                    _finite(line["sqnr_db"]),
                    _finite(line["cosine"]),
                )
                for line in lines
            ]
            for stem, lines in read_json(path).items()
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        reason = " ".join(str(error).split())
        raise UserError(
            f"{path} is no table of layer errors ({type(error).__name__}: {reason}); make it again"
        ) from error


def _finite(value: Any) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _look_into(path: Path) -> GraphFile:
    from keras_mobilenets.tflite.targets.inspection import inspect
    from keras_mobilenets.tflite.targets.nnapi import check_nnapi

    try:
        found, checked = inspect(path), check_nnapi(path, api_level=API_LEVEL)
    except UserError as error:
        return GraphFile(path.name, refused=str(error))
    return GraphFile(
        path.name,
        operators=dict(found.operator_counts.most_common()),
        dtypes=", ".join(f"{name} ×{count}" for name, count in found.dtypes.most_common()),
        xnnpack=found.delegation,
        nnapi=checked.summary,
        input_shape=found.inputs[0].shape if found.inputs else (),
        output_shape=found.outputs[0].shape if found.outputs else (),
    )
