"""report.html: one self-contained page about one run or several, made from what lies in their folders.

A run folder may hold results.json, run.json, history.csv and predictions.npz; a missing one leaves its section out.
"""

import base64
import csv
import io
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.files import atomic, read_json
from keras_mobilenets.tflite import tables
from keras_mobilenets.tflite.results import Results, Row, read_results

SHOWN = 20  # images in the grid


def report(run_dirs: str | Path | Sequence[str | Path], out: str | Path | None = None) -> Path:
    """Writes the page.

    Args:
        run_dirs: One run folder or several.
        out: The page; by default report.html in the run folder, or in the folder that holds all of several.

    Returns:
        The path of the page.

    Raises:
        UserError: A folder holds nothing to report, one of its files is damaged, or the page cannot be written.
    """
    import jinja2

    folders = [Path(run_dirs)] if isinstance(run_dirs, str | Path) else [Path(folder) for folder in run_dirs]
    if not folders:
        raise UserError("there is nothing to report; give at least one run folder")
    runs = [_read_run(folder) for folder in folders]
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("keras_mobilenets.tflite", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "mb": tables.megabytes,
        "ms": tables.milliseconds,
        "percent": tables.percent,
        "number": tables.number,
        "family": tables.family_name,
    }
    page = environment.get_template("report.html").render(_content(runs))
    home = folders[0] if len(folders) == 1 else Path(os.path.commonpath([folder.resolve() for folder in folders]))
    path = Path(out) if out else home / "report.html"
    with atomic(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def save_predictions(
    path: str | Path,
    images: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    predictions: Mapping[str, np.ndarray],
) -> Path:
    """Keeps test images and what each model said of them, for the report's grid.

    Args:
        path: predictions.npz in the run folder.
        images: N×h×w×3, pixels 0..255 or floats scaled to [−1, 1]; stored as uint8.
        labels: N class numbers.
        class_names: The name of each class.
        predictions: For each model, by the stem of its file, N×classes outputs.

    Returns:
        The path.

    Raises:
        UserError: The shapes do not go together, or the file cannot be written.
    """
    images = np.asarray(images)
    if images.dtype.kind == "f":
        images = np.rint((images + 1) * 127.5)
    content: dict[str, Any] = {
        "images": images.clip(0, 255).astype(np.uint8),
        "labels": np.asarray(labels, np.int64),
        "class_names": np.asarray(class_names, np.str_),
    }
    content |= {f"pred_{stem}": np.asarray(values, np.float32) for stem, values in predictions.items()}
    _check_predictions(content, path)
    with atomic(path) as temporary:
        np.savez_compressed(temporary, allow_pickle=False, **content)
    return Path(path)


@dataclass(frozen=True)
class _Run:
    """What a run folder holds; None or empty for what it lacks."""

    name: str
    results: Results | None
    asked: dict[str, str]
    history: dict[str, list[float]]
    predictions: dict[str, np.ndarray]

    @property
    def rows(self) -> list[Row]:
        return self.results.rows if self.results else []


def _read_run(folder: Path) -> _Run:
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; give the folder of a run")
    files = {name: folder / name for name in ("results.json", "run.json", "history.csv", "predictions.npz")}
    if not any(file.exists() for file in files.values()):
        raise UserError(f"{folder} holds none of {', '.join(files)}; train or benchmark into it first")
    return _Run(
        name=folder.resolve().name,
        results=read_results(files["results.json"]) if files["results.json"].exists() else None,
        asked=dict(_flatten(read_json(files["run.json"]))) if files["run.json"].exists() else {},
        history=_read_history(files["history.csv"]) if files["history.csv"].exists() else {},
        predictions=_read_predictions(files["predictions.npz"]) if files["predictions.npz"].exists() else {},
    )


def _flatten(value: Any, name: str = "") -> list[tuple[str, str]]:
    """Nested JSON as (dotted name, text) pairs."""
    if isinstance(value, dict):
        pairs = [_flatten(inner, f"{name}.{key}" if name else str(key)) for key, inner in value.items()]
        return [pair for inner in pairs for pair in inner]
    if isinstance(value, list):
        return [(name or "value", ", ".join(str(item) for item in value))]
    return [(name or "value", tables.UNKNOWN if value is None else str(value))]


def _read_history(path: Path) -> dict[str, list[float]]:
    try:
        with open(path, newline="", encoding="utf-8") as file:
            lines = list(csv.DictReader(file))
        return {name: [float(line[name] or "nan") for line in lines] for name in lines[0]} if lines else {}
    except (OSError, UnicodeDecodeError, ValueError, TypeError, csv.Error) as error:
        raise UserError(f"{path} is not a table of numbers with a header: {error}; train again") from error


def _read_predictions(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            content = dict(file)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is damaged: {error}; evaluate again") from error
    _check_predictions(content, path)
    return content


def _check_predictions(content: Mapping[str, np.ndarray], path: str | Path) -> None:
    missing = {"images", "labels", "class_names"} - content.keys()
    if missing:
        raise UserError(f"{path} lacks {', '.join(sorted(missing))}; evaluate again")
    images, labels, classes = content["images"], content["labels"], len(content["class_names"])
    if images.ndim != 4 or images.shape[3] not in (1, 3) or images.dtype != np.uint8:
        raise UserError(f"{path}: images are {images.dtype} {images.shape}; uint8 N×h×w×3 are needed")
    if labels.shape != (len(images),) or (len(labels) and not 0 <= labels.min() <= labels.max() < classes):
        raise UserError(f"{path}: labels do not fit {len(images)} images of {classes} classes")
    for name, values in content.items():
        if name.startswith("pred_") and values.shape != (len(images), classes):
            raise UserError(f"{path}: {name} is {values.shape}; {(len(images), classes)} is needed")


def _content(runs: Sequence[_Run]) -> dict[str, Any]:
    """Everything the template shows."""
    from keras_mobilenets.tflite import plots

    compressed = tables.are_compressed(row for run in runs for row in run.rows)
    lines = [line for run in runs for line in _lines(run, compressed)]
    timed = [line["row"] for line in lines if line["row"].median_ms is not None]
    scored = [row for row in timed if row.top1 is not None]
    zipped = [row for row in scored if row.gzip_size_mb is not None]
    first = runs[0].results.environment if runs[0].results else {}
    return {
        "title": " and ".join(run.name for run in runs),
        "several": len(runs) > 1,
        "date": first.get("timestamp"),
        "gzip": any(line["row"].gzip_size_mb is not None for line in lines),
        "zeros": any(line["row"].sparsity is not None for line in lines),
        "headlines": [text for run in runs for text in _headlines(run)],
        "lines": lines,
        "accuracy_latency": plots.accuracy_latency(plots.labels(scored)) if scored else None,
        "accuracy_size": plots.accuracy_size(plots.labels(zipped)) if len(zipped) > 1 else None,
        "latency_ranges": plots.latency_ranges(plots.labels(timed)) if timed else None,
        "runs": [
            {
                "name": run.name,
                "curves": _curves(run),
                "grid": _grid(run.predictions) if len(run.predictions.get("images", ())) else None,
                "environment": dict(_flatten(run.results.environment)) if run.results else {},
                "asked": run.asked,
            }
            for run in runs
        ],
    }


def _lines(run: _Run, compressed: bool) -> list[dict[str, Any]]:
    """The rows of the big table, each compared with the float32 row it came from."""
    lines = []
    for row in run.rows:
        base = _baseline(row, run.rows)
        size, speed, points = _against(row, base)
        larger = None if size is None else f"{size:.2f}× larger" if size > 1 else f"{1 / size:.2f}× smaller"
        lines.append(
            {
                "run": run.name,
                "row": row,
                "variant": tables.variant_name(row, among_compressed=compressed),
                "accuracy": "same"
                if points == 0
                else None
                if points is None
                else f"{points:+.1f} points".replace("-", "−"),
                "size": "same" if size and abs(size - 1) < 0.005 else larger,
                "speed": None if speed is None else f"{speed:.2f}× speed",
            }
        )
    return lines


def _baseline(row: Row, rows: Sequence[Row]) -> Row | None:
    """The float32 row on the same backend and threads: of the same model, or the only one there is."""
    plain = [r for r in rows if r.quantization == "none" and r.compression is None]
    floats = [r for r in plain if (r.backend, r.threads) == (row.backend, row.threads)]
    same = [r for r in floats if tables.family_name(r) == tables.family_name(row)] or (
        floats if len(floats) == 1 else []
    )
    return same[0] if same and same[0] is not row else None


def _against(row: Row, base: Row | None) -> tuple[float | None, float | None, float | None]:
    """Size and speed of `row` as multiples of `base`, and the points of top-1 between them, where known."""
    if base is None:
        return None, None, None
    size = row.model_size_mb / base.model_size_mb if row.model_size_mb and base.model_size_mb else None
    speed = base.median_ms / row.median_ms if row.median_ms and base.median_ms else None
    points = None if row.top1 is None or base.top1 is None else round(100 * (row.top1 - base.top1), 1)  # as shown
    return size, speed, points


def _headlines(run: _Run) -> list[str]:
    """What int8 brought, a sentence for each plain int8 row; and which of the compressed models is best at what."""
    sentences = []
    for row in run.rows:
        size, speed, points = _against(row, _baseline(row, run.rows))
        if row.quantization != "int8" or row.compression or size is None or speed is None:
            continue
        pace = f"{speed:.2f} times as fast" if speed >= 1 else f"{1 / speed:.2f} times as slow"
        text = f"{tables.family_name(row)} in int8 takes {size:.0%} of the float32 file's size and is {pace}"
        if points is not None:
            change = f"{abs(points):.1f} points {'lower' if points < 0 else 'higher'}" if points else "unchanged"
            text += f"; top-1 is {tables.percent(row.top1)}, {change}"
        sentences.append(f"{text} ({row.backend}, {row.threads} thread{'s' * (row.threads != 1)}).")
    return sentences + _best(run.rows)


def _best(rows: Sequence[Row]) -> list[str]:
    rows = [row for row in rows if row.top1 is not None and row.median_ms is not None and row.quantization == "int8"]
    if not tables.are_compressed(rows):
        return []

    def name(row: Row) -> str:
        return tables.variant_name(row, among_compressed=True).removeprefix("int8 ")

    accurate, fast = max(rows, key=lambda row: row.top1 or 0), min(rows, key=lambda row: row.median_ms or 0)
    text = f"Of the int8 models {name(accurate)} is the most accurate ({tables.percent(accurate.top1)}), "
    text += f"{name(fast)} the fastest ({tables.milliseconds(fast.median_ms)} ms)"
    zipped = [row for row in rows if row.gzip_size_mb is not None]
    if zipped:
        small = min(zipped, key=lambda row: row.gzip_size_mb or 0)
        text += f", {name(small)} the smallest after gzip ({tables.megabytes(small.gzip_size_mb)} MB)"
    return [f"{text}."]


def _curves(run: _Run) -> list[str]:
    from keras_mobilenets.tflite import plots

    history = run.history
    epochs = history.get("epoch") or list(range(1, 1 + max(map(len, history.values()), default=0)))
    if epochs and epochs[0] == 0:  # Keras counts from 0, people from 1
        epochs = [epoch + 1 for epoch in epochs]
    return [
        plots.training_curve(epochs, history.get(what, []), history.get(f"val_{what}", []), what)
        for what in ("accuracy", "loss")
        if what in history or f"val_{what}" in history
    ]


def _grid(content: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Test images with what each model said: first those the models differ on, then those all get wrong."""
    names, labels = [str(name) for name in content["class_names"]], content["labels"]
    stems = [name.removeprefix("pred_") for name in content if name.startswith("pred_")]
    first, *others = [stem.rpartition("_") for stem in stems] or [("", "", "")]
    shared = "".join(first[:2]) if others and all(other[:2] == first[:2] for other in others) else ""
    outputs = {stem.removeprefix(shared): _shares(content[f"pred_{stem}"]) for stem in stems}
    said = np.stack([v.argmax(axis=1) for v in outputs.values()]) if outputs else np.empty((0, len(labels)), int)
    differ = (said != said[:1]).any(axis=0)
    wrong = (said != labels).any(axis=0) & ~differ
    order = np.concatenate([np.flatnonzero(differ)[: SHOWN // 3], np.flatnonzero(wrong)[: SHOWN // 3]])
    rest = np.setdiff1d(np.arange(len(labels)), order)
    right_first = rest[np.argsort((differ | wrong)[rest], kind="stable")]
    order = np.concatenate([order, right_first])[:SHOWN].astype(int)
    cards = [
        {
            "number": int(i),
            "image": _png(content["images"][i]),
            "truth": names[labels[i]],
            "differ": bool(differ[i]),
            "said": [
                {
                    "model": stem,
                    "name": names[values[i].argmax()],
                    "share": float(values[i].max()),
                    "right": bool(values[i].argmax() == labels[i]),
                }
                for stem, values in outputs.items()
            ],
        }
        for i in order
    ]
    return {
        "cards": cards,
        "images": len(labels),
        "differ": int(differ.sum()),
        "wrong": int(wrong.sum()),
        "right": [(stem, float((v.argmax(axis=1) == labels).mean())) for stem, v in outputs.items()],
    }


def _shares(values: np.ndarray) -> np.ndarray:
    """Probabilities as they are; logits through a softmax."""
    if values.size and values.min() >= 0 and np.allclose(values.sum(axis=1), 1, atol=0.1):
        return values
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _png(image: np.ndarray) -> str:
    """An image as a data: address."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
