"""The report's figures: Matplotlib drawn as SVG text that stands inside an HTML page, light or dark.

Text and axes take the page's colour (currentColor); the series have mid-tone colours and a marker each.
"""

import html
import io
import itertools
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from matplotlib.transforms import Bbox

from keras_mobilenets.plurals import count
from keras_mobilenets.tflite.results.layer_errors import LayerError
from keras_mobilenets.tflite.results.results import Row
from keras_mobilenets.tflite.results.tables import are_compressed, family_name, milliseconds, variant_name

INK = "#0a0b0c"  # stands for the page's text colour until the SVG is written
STYLES = {  # colour with 3:1 or more against white and against near-black, marker
    "none": ("#2f7ed8", "o"),
    "float16": ("#0f9b72", "s"),
    "dynamic": ("#b7791f", "^"),
    "int8": ("#d0508a", "D"),
    "qat": ("#7a5af5", "P"),
    "prune": ("#c2571a", "v"),
    "pqat": ("#1a8fa8", "p"),
    "channels": ("#5f8f1e", "*"),
    "cluster": ("#a0662e", "h"),
    "cqat": ("#b04fc4", "<"),
    None: ("#808080", "X"),
}
QUANTITIES = {  # words, unit, and what the value of a row is multiplied by
    "median_ms": ("median latency", "ms", 1),
    "gzip_size_mb": ("size after gzip", "MB", 1),
    "model_size_mb": ("size of the file", "MB", 1),
    "macs": ("multiply-adds of one image", "millions", 1e-6),
}
CROWDED = 10  # points, from which on a plot takes the width of the page
LONGEST_NAME = 44  # characters beside a point
RIGHT, WRONG = "#2468c0", "#d0508a"  # of the cells of a confusion matrix
STRONGEST = 0.8  # opacity of a cell; text on it can be read, light or dark
CROWDED_CLASSES = 12  # from which on a confusion matrix takes the width of the page
NUMBERED_CLASSES = 30  # up to so many, its cells have numbers
NAMED_CLASSES = 60  # up to so many, its rows and columns have names
LARGEST = 200  # classes; a larger matrix shows nothing
LONGEST_CLASS = 18  # characters


@dataclass(frozen=True)
class Label:
    """A row with the words that tell it from the others in a figure."""

    text: str
    row: Row


_NO_ROW = Row("")


def labels(rows: Sequence[Row]) -> list[Label]:
    """Names rows as briefly as tells them apart: by variant, and by model, backend and threads where they vary."""
    compressed = are_compressed(rows)
    several = len({family_name(row) for row in rows}) > 1
    vary = [name for name in ("backend", "threads") if len({getattr(row, name) for row in rows}) > 1]
    named = []
    for row in rows:
        words = [family_name(row)] if several else []
        words.append(variant_name(row, among_compressed=compressed))
        words += [str(row.backend)] if "backend" in vary else []
        words += [count(row.threads, "thread")] if "threads" in vary and row.threads and not row.is_accelerated else []
        text = ", ".join(words)
        named.append(Label(text if len(text) <= LONGEST_NAME else f"{text[:LONGEST_NAME]}…", row))
    return named


def accuracy_latency(points: Sequence[Label], device: str = "") -> str:
    """Top-1 over median latency, each point named beside it, the Pareto front drawn."""
    return _accuracy_over("median_ms", points, f" on {device}" if device else "", 4.6)


def accuracy_size(points: Sequence[Label]) -> str:
    """Top-1 over the size after gzip, or that of the file where not all are known, likewise."""
    zipped = all(point.row.gzip_size_mb is not None for point in points)
    return _accuracy_over("gzip_size_mb" if zipped else "model_size_mb", points, "", 3.7)


def accuracy_macs(points: Sequence[Label]) -> str:
    """Top-1 over multiply-adds, likewise."""
    return _accuracy_over("macs", points, "", 3.7)


def pareto_front(places: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The (cost, accuracy) pairs that no other beats in both, from the cheapest on."""
    front: list[tuple[float, float]] = []
    for cost, accuracy in sorted(places, key=lambda place: (place[0], -place[1])):
        if not front or accuracy > front[-1][1]:
            front.append((cost, accuracy))
    return front


def _accuracy_over(quantity: str, points: Sequence[Label], where: str, height: float) -> str:
    words, unit, scale = QUANTITIES[quantity]
    places = [(scale * getattr(point.row, quantity), 100 * (point.row.top1 or 0)) for point in points]
    crowded = len(points) > CROWDED
    with _figure(9.6 if crowded else 5.4, 6.6 if crowded else height if len(points) > 4 else 3.7) as figure:
        axes = figure.subplots()
        for point, (x, y) in zip(points, places, strict=True):
            colour, marker = _style(point.row)
            axes.plot(x, y, marker, color=colour, markersize=8, markeredgecolor="none")
        _scale(axes, [x for x, _ in places])
        axes.set_xlabel(f"{words}, {unit}  (lower is better)")
        axes.set_ylabel("top-1, %  (higher is better)")
        axes.margins(x=0.18, y=0.22)
        _widen(axes, 2.0)
        if axes.get_xscale() == "linear":
            axes.set_xlim(left=max(0.0, axes.get_xlim()[0]))
        front = pareto_front(places)
        corners = _draw_front(axes, front) if len(points) > 1 else []
        _name_points(figure, axes, points, places, corners)
        best = [
            f"{p.text} ({x:.3g} {unit}, {y:.1f}%)" for p, (x, y) in zip(points, places, strict=True) if (x, y) in front
        ]
        return _svg(figure, f"Top-1 accuracy over {words}{where}", f"Best for their {words}: {'; '.join(best)}.")


def _scale(axes: Any, values: Sequence[float]) -> None:
    """Decades on the axis where the values span more than one."""
    if min(values) > 0 and max(values) > 12 * min(values):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())


def _draw_front(axes: Any, front: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """A staircase to the right edge, with nothing measured above it; its points ringed. Returns its corners."""
    (_, right), (bottom, _) = limits = axes.get_xlim(), axes.get_ylim()
    corners = [(front[0][0], bottom)]
    for cost, accuracy in front:
        corners += [(cost, corners[-1][1]), (cost, accuracy)]
    corners.append((right, corners[-1][1]))
    axes.plot(*zip(*corners, strict=True), color=INK, alpha=0.45, linewidth=1.1, zorder=1)
    rings = {"markerfacecolor": "none", "markeredgecolor": INK, "markersize": 14, "markeredgewidth": 1.1}
    axes.plot(*zip(*front, strict=True), "o", **rings)
    axes.set(xlim=limits[0], ylim=limits[1])
    return corners


def _style(row: Row) -> tuple[str, str]:
    """Colour and marker of a variant."""
    return STYLES.get(row.compression or row.quantization, STYLES[None])


def latency_ranges(points: Sequence[Label], device: str = "") -> str:
    """One bar per row: the median, with a whisker from the 5th to the 90th percentile."""
    crowded = len(points) > CROWDED
    with _figure(9.6 if crowded else 5.4, max(1.9, 0.9 + (0.3 if crowded else 0.4) * len(points))) as figure:
        axes = figure.subplots()
        for place, point in enumerate(points):
            row, (colour, _) = point.row, _style(point.row)
            median = row.median_ms or 0.0
            whisker = [[max(0.0, median - (row.p5_ms or median))], [max(0.0, (row.p90_ms or median) - median)]]
            axes.barh(place, median, height=0.55, color=colour, alpha=0.85, xerr=whisker, ecolor=INK, capsize=4)
        axes.set_yticks(range(len(points)), [point.text for point in points])
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("latency, ms")
        said = "; ".join(f"{point.text} {milliseconds(point.row.median_ms)} ms" for point in points)
        return _svg(figure, f"Latency of each model{f' on {device}' if device else ''}", f"Medians: {said}.")


def layer_errors(layers: Sequence[LayerError], worst: Sequence[LayerError], name: str) -> str:
    """Signal over quantization error of each layer in the order of execution, the worst layers ringed and numbered.

    Args:
        layers: Those with a known `sqnr_db`, one or more.
        worst: Those to number.
        name: The model, for the title.
    """
    with _figure(9.6, 3.4) as figure:
        axes = figure.subplots()
        colour = STYLES["int8"][0]
        places = [(layer.index, layer.sqnr_db or 0.0) for layer in layers]
        axes.plot(*zip(*places, strict=True), "-", color=colour, linewidth=1.2, alpha=0.6)
        axes.plot(*zip(*places, strict=True), "o", color=colour, markersize=4, markeredgecolor="none")
        marked = [(layer.index, layer.sqnr_db or 0.0) for layer in worst]
        rings: Any = {"markerfacecolor": "none", "markeredgecolor": INK, "markersize": 9, "markeredgewidth": 1.1}
        axes.plot(*zip(*marked, strict=True), "o", **rings)
        axes.margins(y=0.2)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("operator, in the order of execution")
        axes.set_ylabel("SQNR, dB  (higher is better)")
        numbers = [Label(str(layer.index), _NO_ROW) for layer in worst]
        _name_points(figure, axes, numbers, marked, places)
        first = worst[0]
        said = f"Worst: operator {first.index}, {first.operator}, with {first.sqnr_db:.1f} dB."
        return _svg(figure, f"Signal to quantization noise of each layer of {name}", said)


def training_curve(epochs: Sequence[float], train: Sequence[float], validation: Sequence[float], what: str) -> str:
    """One quantity over the epochs: training dashed, validation solid, the best validation value marked."""
    with _figure(5.4, 3.1) as figure:
        axes = figure.subplots()
        is_accuracy = what == "accuracy"
        scale = 100 if is_accuracy else 1
        if len(train):
            axes.plot(epochs, scale * np.asarray(train), "--", color=STYLES["none"][0], label="training", linewidth=1.6)
        if len(validation):
            values = scale * np.asarray(validation)
            colour = STYLES["int8"][0]
            axes.plot(epochs, values, color=colour, label="validation", linewidth=2)
            if np.isfinite(values).any():
                best = int(np.nanargmax(values) if is_accuracy else np.nanargmin(values))
                shown = f"{values[best]:.1f}%" if is_accuracy else f"{values[best]:.3f}"
                axes.plot(
                    epochs[best],
                    values[best],
                    "D",
                    color=colour,
                    markersize=6,
                    label=f"best: {shown} in epoch {epochs[best]:g}",
                )
        axes.set_xlabel("epoch")
        axes.set_ylabel("accuracy, %" if is_accuracy else what)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(frameon=False, labelcolor=INK)
        return _svg(figure, f"Training and validation {what} by epoch")


def learning_rate(epochs: Sequence[float], rates: Sequence[float]) -> str:
    """The learning rate at the end of each epoch."""
    with _figure(5.4, 3.1) as figure:
        axes = figure.subplots()
        axes.plot(epochs, rates, "-o", color=STYLES["float16"][0], linewidth=2, markersize=3)
        axes.set_xlabel("epoch")
        axes.set_ylabel("learning rate")
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        return _svg(figure, "Learning rate by epoch", f"From {rates[0]:.3g} to {rates[-1]:.3g}.")


def confusion(counts: np.ndarray, class_names: Sequence[str]) -> str:
    """A confusion matrix: a row for each true class, a column for the predicted one.

    The right answers are blue, as deep as their share of the row; the wrong ones red, of which few are seen already.

    Args:
        counts: C×C images.
        class_names: The C classes.
    """
    classes = len(class_names)
    side = 4.9 if classes <= CROWDED_CLASSES else 9.4
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    cells = np.empty((classes, classes, 4))
    cells[..., :3], cells[..., 3] = to_rgb(WRONG), STRONGEST * (shares > 0) * (0.2 + 0.8 * np.sqrt(shares))
    diagonal = np.arange(classes)
    cells[diagonal, diagonal, :3], cells[diagonal, diagonal, 3] = to_rgb(RIGHT), STRONGEST * shares.diagonal()
    with _figure(side + 0.6, side) as figure:
        axes = figure.subplots()
        axes.imshow(cells, interpolation="none", aspect="equal")
        axes.grid(visible=False)
        axes.tick_params(length=0)
        axes.set_xlabel("predicted class")
        axes.set_ylabel("true class")
        size = 9 if classes <= CROWDED_CLASSES else 8 if classes <= NUMBERED_CLASSES else 6
        if classes <= NAMED_CLASSES:
            names = [name if len(name) <= LONGEST_CLASS else f"{name[: LONGEST_CLASS - 1]}…" for name in class_names]
            axes.set_xticks(diagonal, names, rotation=90 if max(map(len, names)) > 2 else 0, fontsize=size)
            axes.set_yticks(diagonal, names, fontsize=size)
        if classes <= NUMBERED_CLASSES:
            for row, column in zip(*np.nonzero(counts), strict=True):
                axes.text(column, row, f"{counts[row, column]}", ha="center", va="center", fontsize=size)
        worst = int((counts.sum(axis=1) - counts.diagonal()).argmax())
        said = f"{counts.trace():,} of {counts.sum():,} right; most mistakes on {class_names[worst]}."
        return _svg(figure, "Confusion matrix", said)


def _widen(axes: Any, least: float) -> None:
    """Keeps the accuracy axis from blowing tenths of a point up to the full height."""
    low, high = axes.get_ylim()
    if high - low < least:
        middle = (low + high) / 2
        axes.set_ylim(middle - least / 2, middle + least / 2)


def _name_points(
    figure: Figure,
    axes: Any,
    points: Sequence[Label],
    where: Sequence[tuple[float, float]],
    line: Sequence[tuple[float, float]] = (),
) -> None:
    """Writes each name at the nearest place beside its point where it covers neither a name, a point nor the line."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    frame = axes.get_window_extent(canvas.get_renderer())
    to_points = 72 / figure.dpi
    places = [axes.transData.transform(place) for place in where]
    taken = [Bbox.from_bounds(x - 9, y - 9, 18, 18) for x, y in places]
    corners = [axes.transData.transform(corner) for corner in line]
    taken += [Bbox([start, end]) for start, end in itertools.pairwise(corners)]
    for point, place, (x, y) in zip(points, where, places, strict=True):
        note = axes.annotate(point.text, place, color=INK)
        size = note.get_window_extent(canvas.get_renderer())
        note.remove()

        def box(shift: tuple[float, float], x=x, y=y, size=size) -> Bbox:
            return Bbox.from_bounds(
                x + shift[0] - size.width / 2, y + shift[1] - size.height / 2, size.width, size.height
            )

        def cost(shift: tuple[float, float], box=box) -> tuple[int, float]:
            text = box(shift)
            outside = text.x0 < frame.x0 or text.x1 > frame.x1 or text.y0 < frame.y0 or text.y1 > frame.y1
            return outside + sum(text.overlaps(other) for other in taken), abs(shift[0]) + 3 * abs(shift[1])

        shifts = [
            (dx * (size.width / 2 + 12), dy * (size.height / 2 + gap))
            for gap in (12, 26, 42, 60, 80)
            for dx, dy in ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1))
        ]
        best = min(shifts, key=cost)
        taken.append(box(best))
        far = abs(best[1]) > size.height / 2 + 12
        axes.annotate(
            point.text,
            place,
            xytext=(best[0] * to_points, best[1] * to_points),
            textcoords="offset points",
            ha="center",
            va="center",
            color=INK,
            arrowprops={"arrowstyle": "-", "color": INK, "alpha": 0.45, "shrinkB": 6} if far else None,
        )


@contextmanager
def _figure(width: float, height: float) -> Iterator[Figure]:
    """A figure in the report's style: no background, open frame, faint grid."""
    style: Any = {
        "svg.fonttype": "none", "svg.hashsalt": "report", "text.parse_math": False,
        "font.size": 10, "axes.edgecolor": INK, "text.color": INK,
        "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK, "grid.color": INK, "grid.alpha": 0.16,
        "axes.grid": True, "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
    }  # fmt: skip
    with matplotlib.rc_context(style):
        yield Figure(figsize=(width, height), layout="constrained")


def _svg(figure: Figure, title: str, description: str = "") -> str:
    """The figure as an <svg> element; `in_page` then makes its ids unique.

    Args:
        figure: The figure.
        title: Its name.
        description: What it shows, in words, for those who do not see it.
    """
    buffer = io.StringIO()
    with warnings.catch_warnings():  # a name in a script that Matplotlib's font lacks; the browser has it
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    names = f"<title>{html.escape(title)}</title>" + (f"<desc>{html.escape(description)}</desc>" if description else "")
    head = re.compile(r'<svg [^>]*viewBox="([^"]*)"[^>]*>')
    text = head.sub(lambda found: f'<svg viewBox="{found[1]}" role="img">{names}', text, count=1)
    text = text.replace(INK, "currentColor").replace("xlink:href", "href")
    return re.sub(r"font: ([0-9.]+px)[^;\"]*", r"font: \1 system-ui, sans-serif", text)


def in_page(svg: str, number: int) -> str:
    """A figure with ids of its own, for a page that holds several."""
    return re.sub(r'(id="|url\(#|href="#)', rf"\1figure{number}-", svg)
