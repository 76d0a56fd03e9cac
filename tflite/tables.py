"""The accuracy/size/latency table: one set of columns for the terminal, Markdown and the report."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from keras_mobilenets.tflite.results import Row

if TYPE_CHECKING:
    from rich.table import Table

UNKNOWN = "–"


def table(rows: Sequence[Row]) -> "Table":
    """A table for the terminal; print it with `rich.print`.

    Args:
        rows: As `benchmark` or `read_results` give them.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    # Units under the titles, and no edge: so the columns fit 80 characters.
    grid = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for title, _, is_number in COLUMNS:
        grid.add_column(title.replace(" ", "\n"), justify="right" if is_number else "left", no_wrap=is_number)
    for row in rows:
        grid.add_row(*cells(row))
    return grid


def markdown(rows: Sequence[Row]) -> str:
    """The same table in Markdown, for an issue or a README."""
    lines = [[title for title, _, _ in COLUMNS], ["--:" if is_number else "---" for _, _, is_number in COLUMNS]]
    lines += [[cell.replace("|", "\\|") for cell in cells(row)] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def cells(row: Row) -> list[str]:
    """The text of each column for one row; the last says why a failed row has no figures."""
    texts = [text(row) for _, text, _ in COLUMNS]
    if row.status != "ok":
        texts[-2] = f"{row.backend or UNKNOWN} ({row.status}: {row.error or 'no reason given'})"
    return texts


def family_name(row: Row) -> str:
    """The model's name without the quantization that a file's name ends in."""
    for ending in (f"_{row.quantization}", f"_{quantization_name(row.quantization)}"):
        if row.model.endswith(ending):
            return row.model.removesuffix(ending)
    return row.model


def quantization_name(quantization: str | None) -> str:
    """What people call it: float32 for none."""
    return {"none": "float32", "dynamic": "dynamic range", None: UNKNOWN}.get(quantization, quantization or UNKNOWN)


def megabytes(value: float | None) -> str:
    """10⁶ bytes with two decimals, or – when unknown."""
    return UNKNOWN if value is None else f"{value:.2f}"


def milliseconds(value: float | None) -> str:
    """Three figures that mean something, or – when unknown."""
    if value is None:
        return UNKNOWN
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def percent(value: float | None, decimals: int = 1) -> str:
    """A share 0..1 as a percentage, or – when unknown."""
    return UNKNOWN if value is None else f"{100 * value:.{decimals}f}%"


def number(value: int | None) -> str:
    """A count with thousands separated, or – when unknown."""
    return UNKNOWN if value is None else f"{value:,}"


COLUMNS: list[tuple[str, Callable[[Row], str], bool]] = [  # title, text of a row, right-aligned
    ("model", lambda row: row.model, False),
    ("quantization", lambda row: quantization_name(row.quantization), False),
    ("size MB", lambda row: megabytes(row.model_size_mb), True),
    ("top-1", lambda row: percent(row.top1), True),
    ("median ms", lambda row: milliseconds(row.median_ms), True),
    ("p90 ms", lambda row: milliseconds(row.p90_ms), True),
    ("backend", lambda row: row.backend or UNKNOWN, False),
    ("threads", lambda row: number(row.threads), True),
]
