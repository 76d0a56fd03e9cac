"""The report's figures: Matplotlib drawn as SVG text that stands inside an HTML page, light or dark.

Text and axes take the page's colour (currentColor); the series have mid-tone colours and a marker each.
"""

import io
import itertools
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox

from keras_mobilenets.tflite.results import Row
from keras_mobilenets.tflite.tables import are_compressed, family_name, variant_name

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


@dataclass(frozen=True)
class Label:
    """A row with the words that tell it from the others in a figure."""

    text: str
    row: Row


def labels(rows: Sequence[Row]) -> list[Label]:
    """Names rows as briefly as tells them apart: by variant, and by model, backend and threads where they vary."""
    compressed = are_compressed(rows)
    several = len({family_name(row) for row in rows}) > 1
    vary = [name for name in ("backend", "threads") if len({getattr(row, name) for row in rows}) > 1]
    named = []
    for row in rows:
        words = [family_name(row)] if several else []
        words.append(variant_name(row, among_compressed=compressed))
        words += [f"{row.threads} threads" if name == "threads" else str(row.backend) for name in vary]
        named.append(Label(", ".join(words), row))
    return named


def accuracy_latency(points: Sequence[Label]) -> str:
    """Top-1 over median latency, each point named beside it, the Pareto front drawn."""
    return _accuracy_over("median_ms", points, "median latency, ms", "Top-1 accuracy over median latency", 4.6)


def accuracy_size(points: Sequence[Label]) -> str:
    """Top-1 over the size after gzip, likewise."""
    return _accuracy_over("gzip_size_mb", points, "size after gzip, MB", "Top-1 accuracy over size after gzip", 3.7)


def pareto_front(places: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The (cost, accuracy) pairs that no other beats in both, from the cheapest on."""
    front: list[tuple[float, float]] = []
    for cost, accuracy in sorted(places, key=lambda place: (place[0], -place[1])):
        if not front or accuracy > front[-1][1]:
            front.append((cost, accuracy))
    return front


def _accuracy_over(figure_of: str, points: Sequence[Label], words: str, title: str, height: float) -> str:
    places = [(getattr(point.row, figure_of), 100 * (point.row.top1 or 0)) for point in points]
    with _figure(5.4, height if len(points) > 4 else 3.7) as figure:
        axes = figure.subplots()
        for point, (x, y) in zip(points, places, strict=True):
            colour, marker = _style(point.row)
            axes.plot(x, y, marker, color=colour, markersize=8, markeredgecolor="none")
        axes.set_xlabel(f"{words}  (lower is better)")
        axes.set_ylabel("top-1, %  (higher is better)")
        axes.margins(x=0.18, y=0.22)
        _widen(axes, 2.0)
        axes.set_xlim(left=max(0.0, axes.get_xlim()[0]))
        front = _draw_front(axes, pareto_front(places)) if len(points) > 1 else []
        _name_points(figure, axes, points, places, front)
        return _svg(figure, title)


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


def latency_ranges(points: Sequence[Label]) -> str:
    """One bar per row: the median, with a whisker from the 5th to the 95th percentile."""
    with _figure(5.4, max(1.9, 0.9 + 0.5 * len(points))) as figure:
        axes = figure.subplots()
        for place, point in enumerate(points):
            row, (colour, _) = point.row, _style(point.row)
            median = row.median_ms or 0.0
            whisker = [[median - (row.p5_ms or median)], [(row.p95_ms or median) - median]]
            axes.barh(place, median, height=0.55, color=colour, alpha=0.85, xerr=whisker, ecolor=INK, capsize=4)
        axes.set_yticks(range(len(points)), [point.text for point in points])
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("latency, ms: bar = median, whisker = p5 to p95")
        return _svg(figure, "Latency of each model")


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
        "svg.fonttype": "none", "svg.hashsalt": "report", "font.size": 10, "axes.edgecolor": INK, "text.color": INK,
        "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK, "grid.color": INK, "grid.alpha": 0.16,
        "axes.grid": True, "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
    }  # fmt: skip
    with matplotlib.rc_context(style):
        yield Figure(figsize=(width, height), layout="constrained")


def _svg(figure: Figure, title: str) -> str:
    """The figure as an <svg> element with a name of its own, ready to stand in a page with others."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'<svg [^>]*viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" role="img">', text, count=1)
    text = text.replace('role="img">', f'role="img"><title>{title}</title>', 1)
    text = text.replace(INK, "currentColor").replace("xlink:href", "href")
    text = re.sub(r"font: ([0-9.]+px)[^;\"]*", r"font: \1 inherit", text).replace(" inherit", " system-ui, sans-serif")
    prefix = re.sub(r"\W+", "-", title.lower())  # ids must be unique in the page
    return re.sub(r'(id="|url\(#|href="#)', rf"\1{prefix}-", text)
