"""Plots of measurements: accuracy over latency, size and multiply-adds; latency; layer errors.

The variants have mid-tone colours and a marker each.
"""

from collections.abc import Sequence
from typing import Any

from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from keras_mobilenets.plurals import count
from keras_mobilenets.tflite.reports.figure import INK, Label, figure, name_points, svg
from keras_mobilenets.tflite.results.layer_errors import LayerError
from keras_mobilenets.tflite.results.results import Row
from keras_mobilenets.tflite.results.tables import are_compressed, family_name, milliseconds, variant_name
from keras_mobilenets.tflite.results.trade_off import Point

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
    places = [(scale * getattr(point.row, quantity), 100 * (point.row.score or 0)) for point in points]
    crowded = len(points) > CROWDED
    with figure(9.6 if crowded else 5.4, 6.6 if crowded else height if len(points) > 4 else 3.7) as drawn:
        axes = drawn.subplots()
        for point, (x, y) in zip(points, places, strict=True):
            colour, marker = _style(point.row)
            axes.plot(x, y, marker, color=colour, markersize=8, markeredgecolor="none")
        _scale(axes, [x for x, _ in places])
        axes.set_xlabel(f"{words}, {unit}  (lower is better)")
        name = " or ".join(sorted({str(point.row.score_name) for point in points}))
        axes.set_ylabel(f"{name}, %  (higher is better)")
        axes.margins(x=0.18, y=0.22)
        _widen(axes, 2.0)
        if axes.get_xscale() == "linear":
            axes.set_xlim(left=max(0.0, axes.get_xlim()[0]))
        front = pareto_front(places)
        corners = _draw_front(axes, front) if len(points) > 1 else []
        name_points(drawn, axes, points, places, corners)
        best = [
            f"{p.text} ({x:.3g} {unit}, {y:.1f}%)" for p, (x, y) in zip(points, places, strict=True) if (x, y) in front
        ]
        return svg(
            drawn,
            f"{'Top-1 accuracy' if name == 'top-1' else name} over {words}{where}",
            f"Best for their {words}: {'; '.join(best)}.",
        )


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
    with figure(9.6 if crowded else 5.4, max(1.9, 0.9 + (0.3 if crowded else 0.4) * len(points))) as drawn:
        axes = drawn.subplots()
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
        return svg(drawn, f"Latency of each model{f' on {device}' if device else ''}", f"Medians: {said}.")


def layer_errors(layers: Sequence[LayerError], worst: Sequence[LayerError], name: str) -> str:
    """Signal over quantization error of each layer in the order of execution, the worst layers ringed and numbered.

    Args:
        layers: Those with a known `sqnr_db`, one or more.
        worst: Those to number.
        name: The model, for the title.
    """
    with figure(9.6, 3.4) as drawn:
        axes = drawn.subplots()
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
        name_points(drawn, axes, numbers, marked, places)
        first = worst[0]
        said = f"Worst: operator {first.index}, {first.operator}, with {first.sqnr_db:.1f} dB."
        return svg(drawn, f"Signal to quantization noise of each layer of {name}", said)


def trade_off(points: Sequence[Point], name: str) -> str:
    """SQNR over latency of a model with more and more blocks in float, each point with how many.

    Args:
        points: From all int8 on, one or more.
        name: The model, for the title.
    """
    with figure(5.4, 3.7) as drawn:
        axes = drawn.subplots()
        places = [(point.slowdown, point.sqnr_db) for point in points]
        colour = STYLES["int8"][0]
        axes.plot(*zip(*places, strict=True), "-", color=colour, linewidth=1.2, alpha=0.6)
        axes.plot(*zip(*places, strict=True), "D", color=colour, markersize=6, markeredgecolor="none")
        axes.set_xlabel("latency / that of all int8  (lower is better)")
        axes.set_ylabel("SQNR, dB  (higher is better)")
        axes.margins(x=0.22, y=0.2)
        names = [count(len(point.blocks), "block") if point.blocks else "all int8" for point in points]
        name_points(drawn, axes, [Label(text, _NO_ROW) for text in names], places, places)
        said = "; ".join(f"{text} {x:.2f}, {y:.1f} dB" for text, (x, y) in zip(names, places, strict=True))
        return svg(drawn, f"Accuracy of {name} over latency with blocks in float", f"{said}.")


def _widen(axes: Any, least: float) -> None:
    """Keeps the accuracy axis from blowing tenths of a point up to the full height."""
    low, high = axes.get_ylim()
    if high - low < least:
        middle = (low + high) / 2
        axes.set_ylim(middle - least / 2, middle + least / 2)
