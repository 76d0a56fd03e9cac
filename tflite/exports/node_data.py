"""Figures of operators as node data of Model Explorer, which lays them over the graph of the same .tflite.

Each figure is a JSON file: {graph: {"name": …, "results": {operator: {"value": …}}, "gradient": […]}}. Operators are
named by their place in the file, as Model Explorer's adapter for .tflite names its nodes.
"""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from keras_mobilenets import files
from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.graph import flatbuffer, layer_names
from keras_mobilenets.tflite.graph.file_identifier import check_file

GRAPH = "main"  # Model Explorer's name of a graph that has none
_WORST, _BEST = "#e06666", "#b6d7a8"
_TITLES = {"latency": "latency (ms)", "sqnr": "SQNR (dB)", "sensitivity": "sensitivity: SQNR alone in int8 (dB)"}


def node_data(
    path: str | Path,
    folder: str | Path,
    *,
    profile: Any = None,
    errors: Any = None,
    sensitivity: Any = None,
    checks: Iterable[Any] = (),
) -> list[Path]:
    """Writes what is known of a file's operators for Model Explorer: `model-explorer m.tflite --node_data=FILE`.

    Args:
        path: The .tflite.
        folder: Where the files go: NAME_latency.json, NAME_sqnr.json, NAME_sensitivity.json, NAME_on_TARGET.json.
        profile: What `profile` found: milliseconds of each operator.
        errors: What `layer_errors` found: the SQNR of each int8 activation.
        sensitivity: What `sensitivity` found: an operator has the SQNR of the output with its layer alone in int8.
        checks: Pairs of a target's name and what `check` said: 1 where an operator is delegated, else 0.

    Returns:
        The files; none of a figure that is not given.

    Raises:
        UserError: The .tflite cannot be read, or a figure is of another file.
    """
    path = Path(path)
    check_file(path)
    model = flatbuffer.read(path.read_bytes(), path)
    graph = model.subgraphs[0]
    figures: dict[str, Mapping[int, float]] = {}
    for found in (profile, errors, *(check for _, check in checks)):
        if found is not None and Path(found.path).name != path.name:
            raise UserError(f"figures of {found.path} are not those of {path}: give one file's")
    if profile is not None:
        figures["latency"] = _sums((each.index, each.ms) for each in profile.operators if each.index is not None)
    if errors is not None:
        figures["sqnr"] = {each.index: each.sqnr_db for each in errors.errors if each.sqnr_db is not None}
    if sensitivity is not None:
        known = {row.layer: row.sqnr_db for row in sensitivity.layers}
        names = [flatbuffer.text(graph.tensors[operator.outputs[0]].name) for operator in graph.operators]
        figures["sensitivity"] = {
            place: known[layers[0]]
            for place, name in enumerate(names)
            if (layers := layer_names.layers(name)) and layers[0] in known
        }
    for target, check in checks:
        verdicts = [verdict for verdict in check.operators if verdict.graph == 0]
        figures[f"on_{target}"] = {verdict.index: int(verdict.delegated) for verdict in verdicts}
    name = flatbuffer.text(graph.name) or GRAPH
    return [_write(path, Path(folder), name, kind, values) for kind, values in figures.items()]


def _sums(values: Iterable[tuple[int, float]]) -> dict[int, float]:
    """The sum of what is said of each operator, which several kernels may carry out."""
    sums: dict[int, float] = {}
    for index, value in values:
        sums[index] = sums.get(index, 0.0) + value
    return sums


def _write(path: Path, folder: Path, graph: str, kind: str, values: Mapping[int, float]) -> Path:
    title = _TITLES.get(kind, f"delegated to {kind.removeprefix('on_')}")
    colours = (_BEST, _WORST) if kind == "latency" else (_WORST, _BEST)  # of the least and of the greatest value
    content = {
        "name": title,
        "results": {str(index): {"value": value} for index, value in values.items() if math.isfinite(value)},
        "gradient": [{"stop": stop, "bgColor": colour} for stop, colour in enumerate(colours)],
    }
    file = f"{path.stem}_{kind.replace(':', '_')}.json"
    return files.write_json(folder / file, {graph: content})
