"""`keras-mobilenets android report`."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_mobilenets.cli.android.phone_arguments import FOLDER
from keras_mobilenets.cli.output import show

PURPOSE = "show what phones and this machine measured in one table and page, and a data sheet of each phone"
EXAMPLE = "keras-mobilenets android report runs/phones runs/photos --out report.html"


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the verb's arguments."""
    parser.add_argument(
        "sources", nargs="*", default=[FOLDER], metavar="DIR|FILE", help=f"phones' folders, runs (default: {FOLDER})"
    )
    parser.add_argument("--out", metavar="FILE", help="the page (default: report.html in the first folder)")


def run(options: Namespace) -> None:
    """Joins what phones and this machine measured into a table and a page, beside a data sheet of each phone."""
    from keras_mobilenets import tflite
    from keras_mobilenets.tflite.reports.comparison import measurements
    from keras_mobilenets.tflite.reports.datasheet import NAME, data_sheet, is_phone, write_data_sheet
    from keras_mobilenets.tflite.reports.sources import read_source

    paths = [found for source in map(Path, options.sources) for found in _results(source)]
    page = tflite.report(paths, options.out or Path(options.sources[0]) / "report.html")
    sources = [read_source(path) for path in paths]
    sheets = {path: data_sheet(source) for path, source in zip(paths, sources, strict=True) if is_phone(source)}
    for sheet in sheets.values():
        print(f"{sheet}\n")
    show(_matrix(measurements(sources)))
    for path, sheet in sheets.items():
        print(write_data_sheet(sheet, path / NAME if path.is_dir() else path.with_name(f"{path.stem}_{NAME}")))
    print(page)


def _results(source: Path) -> list[Path]:
    """A run folder or results.json itself; of a folder of such folders, all of them."""
    below = sorted(path.parent for path in source.glob("*/results.json")) if source.is_dir() else []
    itself = not source.is_dir() or any((source / name).exists() for name in ("results.json", "run.json"))
    return [source] if itself or not below else below


def _matrix(measured: list[Any]) -> Any:
    """Median latencies: a row for each model, a column for each device and backend."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from keras_mobilenets.tflite.reports.comparison import matrix
    from keras_mobilenets.tflite.results.tables import UNKNOWN, megabytes, milliseconds, score

    found = matrix(measured)
    grid = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for title in ("model", "variant"):
        grid.add_column(title)
    devices = [device for device, columns in found.devices for _ in range(columns)]
    titles = [
        f"{device}\n{backend}{f' ×{threads}' if threads else ''} ms"
        for device, (backend, threads) in zip(devices, found.columns, strict=True)
    ]
    for title in ("size MB", "accuracy", *titles):
        grid.add_column(title, justify="right")
    for family, variant, cells in found.rows:
        rows = [each.row for cell in cells for each in cell]
        size = next((row.model_size_mb for row in rows if row.model_size_mb is not None), None)
        accuracy = next((text for text in map(score, rows) if text != UNKNOWN), UNKNOWN)
        texts = ["; ".join(_cell(each, milliseconds) for each in cell) or UNKNOWN for cell in cells]
        grid.add_row(family, variant, megabytes(size), accuracy, *texts)
    return grid


def _cell(measured: Any, milliseconds: Callable[[float | None], str]) -> str:
    if measured.row.status != "ok":
        return "failed"
    text = milliseconds(measured.row.median_ms)
    return f"{text} (on the CPU)" if measured.fell_back else text
