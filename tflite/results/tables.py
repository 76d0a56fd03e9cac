"""The accuracy/size/latency table: one set of columns for the terminal, Markdown and the report."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from keras_mobilenets.plurals import count
from keras_mobilenets.tflite.results.results import FIGURES, Row, dtype_of

if TYPE_CHECKING:
    from rich.console import Group, RenderableType

UNKNOWN = "–"
UNSETTLED = 0.05  # drift of the latency from which on a row is marked
MARK = "~"
ESTIMATED = "Estimated by the targets' own tools, not measured"
COMPRESSIONS = {
    "qat": "QAT",
    "prune": "pruned",
    "pqat": "PQAT",
    "channels": "channel-pruned",
    "cluster": "clustered",
    "cqat": "CQAT",
}


def table(rows: Sequence[Row]) -> "Group":
    """A table for the terminal; print it with `rich.print`. Estimated rows stand in one of their own below.

    Args:
        rows: As `benchmark`, `estimate` or `read_results` give them.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table

    parts: list[RenderableType] = []
    for heading, part, columns in _parts(rows):
        # Units under the titles, and no edge: so the columns fit 80 characters.
        grid = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
        for column in columns:
            title, is_number = column.title.replace(" ", "\n"), column.is_number
            grid.add_column(title, justify="right" if is_number else "left", no_wrap=is_number, overflow="fold")
        for row in part:
            grid.add_row(*(column.text(row) for column in columns))
        parts += ["", heading, "", grid] if parts else [heading, "", grid] if heading else [grid]
    return Group(*parts)


def markdown(rows: Sequence[Row]) -> str:
    """The same table in Markdown, for an issue or a README."""
    parts = []
    for heading, part, columns in _parts(rows):
        lines = [[column.title for column in columns], ["--:" if column.is_number else "---" for column in columns]]
        lines += [[cell.replace("|", "\\|") for cell in (column.text(row) for column in columns)] for row in part]
        title = f"**{heading}**\n\n" if heading else ""
        parts.append(title + "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n")
    return "\n".join(parts)


def notes(rows: Sequence[Row]) -> list[str]:
    """What the table does not explain itself, a line each: what the roofline is, which rows had not settled."""
    best = {
        (dtype_of(row.quantization), row.threads): row.gmacs_per_s / row.limit_share
        for row in rows
        if row.gmacs_per_s and row.limit_share
    }
    rates = [f"{rate:,.0f} ({dtype}, {count(threads, 'thread')})" for (dtype, threads), rate in best.items()]
    said = []
    if rates:
        said.append(
            f"GMAC/s: 10⁹ multiply-adds per second; roofline, this machine's best convolution: {', '.join(rates)}"
        )
    if any(row.peer_ratio for row in rows):
        said.append("vs stock: median over that of keras.applications' model through the stock converter")
    moving = [row for row in rows if is_unsettled(row)]
    if moving:
        worst = max(moving, key=lambda row: abs(row.drift or 0))
        said.append(
            f"{MARK} latency changed by more than {UNSETTLED:.0%} from the first to the last third of the runs, "
            f"{worst.model} by {worst.drift:+.0%}: the machine was busy or throttled; only ratios within this run hold"
        )
    return said


def is_unsettled(row: Row) -> bool:
    """Whether latency changed so much over the run that its median says little."""
    return row.drift is not None and abs(row.drift) > UNSETTLED


def family_name(row: Row) -> str:
    """The model's name without the compression and the quantization that a file's name ends in."""
    name = row.model
    for ending in (row.quantization, quantization_name(row.quantization)):
        name = name.removesuffix(f"_{ending}")
    return name.removesuffix(f"_{row.compression}")


def compression_of(path: Path) -> str | None:
    """The compression that a file's name tells; None where it tells none."""
    return next((kind for kind in COMPRESSIONS if path.stem.endswith(f"_{kind}_int8")), None)


def variant_name(row: Row, *, among_compressed: bool = False) -> str:
    """How a model was made smaller, in the words people use: "float32", "int8 QAT", "int8 pruned".

    Args:
        row: The row.
        among_compressed: Whether it stands beside such rows, where plain int8 is to be told from them as "int8 PTQ".
    """
    quantization = quantization_name(row.quantization)
    if row.compression:
        return f"{quantization} {COMPRESSIONS.get(row.compression, row.compression)}"
    return f"{quantization} PTQ" if among_compressed and row.quantization == "int8" else quantization


def are_compressed(rows: Iterable[Row]) -> bool:
    """Whether any of the models was trained or pruned to be smaller."""
    return any(row.compression for row in rows)


def quantization_name(quantization: str | None) -> str:
    """What people call it: float32 for none."""
    return {"none": "float32", "dynamic": "dynamic range", None: UNKNOWN}.get(quantization, quantization or UNKNOWN)


def split(rows: Iterable[Row]) -> tuple[list[Row], list[Row]]:
    """The rows that were measured, or will be, and those that are estimated."""
    kept = list(rows)
    return [row for row in kept if not row.estimated], [row for row in kept if row.estimated]


def kilobytes(memory: Mapping[str, int] | None) -> str:
    """Bytes by name in 10³ bytes: "SRAM 74.8 kB"; – when unknown."""
    return ", ".join(f"{name} {value / 1e3:,.1f} kB" for name, value in (memory or {}).items()) or UNKNOWN


def operators(row: Row) -> str:
    """How many operators are delegated, of how many: "34 of 36"; – when unknown."""
    if row.nodes_delegated is None or row.nodes_total is None:
        return UNKNOWN
    return f"{row.nodes_delegated} of {row.nodes_total}"


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


@dataclass(frozen=True)
class Column:
    """A title, the text of a row, and whether it is a number."""

    title: str
    text: Callable[[Row], str]
    is_number: bool = False


def _parts(rows: Sequence[Row]) -> list[tuple[str, list[Row], list[Column]]]:
    """The measured rows, and those that are estimated under a heading; each with their columns."""
    measured, estimates = split(rows)
    parts = [("", measured, [*_names(rows), *_columns(measured)])] if measured or not estimates else []
    return parts + ([(ESTIMATED, estimates, [*_names(rows), *_ESTIMATES])] if estimates else [])


def _names(rows: Sequence[Row]) -> list[Column]:
    if are_compressed(rows):  # the file's name would only repeat the variant
        return [Column("model", family_name), Column("variant", partial(variant_name, among_compressed=True))]
    return [Column("model", lambda row: row.model), Column("quantization", variant_name)]


def scores(row: Row) -> str:
    """What is known of how good a row's answers are, such as "top-1 93.50%"."""
    return ", ".join(f"{name} {value:.2%}" for name, value in row.scores.items())


def score(row: Row) -> str:
    """The first of them, in short: "93.5%" is top-1, others have their name; – when unknown."""
    name, value = next(iter(row.scores.items()), ("top-1", None))
    return percent(value) if name == "top-1" else f"{name} {percent(value)}"


def _columns(rows: Sequence[Row]) -> list[Column]:
    """The columns that have something to say of these rows."""
    small = [column for column in _SMALL if any(column.text(row) != UNKNOWN for row in rows)]
    rates = [column for column in _RATES if any(column.text(row) != UNKNOWN for row in rows)]
    scores = [column for column in _SCORES if any(column.text(row) != UNKNOWN for row in rows)] or [_SCORES[0]]
    return [_SIZE, *small, *scores, *_TIMES, *rates, *_WHERE]


def _figure(words: str, row: Row) -> str:
    return percent(row.scores.get(words))


def _backend(row: Row) -> str:
    if row.status != "ok":
        return f"{row.backend or UNKNOWN} ({row.status}: {row.error or 'no reason given'})"
    return f"CPU (nothing delegated to {row.backend})" if row.is_undelegated else row.backend or UNKNOWN


_SIZE = Column("size MB", lambda row: megabytes(row.model_size_mb), True)
_SMALL = (  # only where a row has them
    Column("gzip MB", lambda row: megabytes(row.gzip_size_mb), True),
    Column("zeros", lambda row: percent(row.sparsity, 0), True),
)
_SCORES = [  # likewise
    Column(words, partial(_figure, words), True) for words in FIGURES.values()
]
_TIMES = (
    Column("median ms", lambda row: f"{MARK if is_unsettled(row) else ''}{milliseconds(row.median_ms)}", True),
    Column("p90 ms", lambda row: milliseconds(row.p90_ms), True),
)
_RATES = (  # likewise
    Column("GMAC /s", lambda row: UNKNOWN if row.gmacs_per_s is None else f"{row.gmacs_per_s:,.1f}", True),
    Column("of roofline", lambda row: percent(row.limit_share, 0), True),
    Column("vs stock", lambda row: UNKNOWN if row.peer_ratio is None else f"{row.peer_ratio:.2f}", True),
)
_WHERE = (
    Column("backend", _backend),
    Column("threads", lambda row: number(row.threads), True),
)
_ESTIMATES = (
    Column("target", _backend),
    Column("estimate ms", lambda row: milliseconds(row.estimate_ms), True),
    Column("memory", lambda row: kilobytes(row.memory)),
    Column("delegated", operators),
    Column("system", lambda row: row.system or UNKNOWN),
)
