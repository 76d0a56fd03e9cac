"""The page of an architecture search: the front as a plot and a table, published networks beside it."""

from collections.abc import Mapping
from pathlib import Path

from keras_mobilenets.costs.operators import SpecCost
from keras_mobilenets.files import atomic
from keras_mobilenets.tflite.reports import figure
from keras_mobilenets.tflite.reports.page import template
from keras_mobilenets.tflite.reports.plots import STYLES
from keras_mobilenets.training.architecture_search.candidate import ACCURACY, Search

_ESTIMATES = {True: "accuracy with shared weights, %", False: "geometric mean of the proxies' ranks, %"}


def search_page(found: Search, out: str | Path, title: str, beside: Mapping[str, SpecCost]) -> Path:
    """Writes the page.

    Args:
        found: What was found.
        out: The page.
        title: Its heading.
        beside: Costs of other networks, such as the published ones, by name.

    Returns:
        The path of the page.
    """
    page = template("search.html").render(
        title=title,
        svg=front_plot(found, beside),
        estimate=_ESTIMATES[_is_accuracy(found)],
        rows=[(found.candidates[place], 100 * found.estimates[place]) for place in reversed(found.front)],
        beside=beside,
        number=len(found.candidates),
        method=found.method,
        correction=found.correction,
    )
    with atomic(out) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return Path(out)


def front_plot(found: Search, beside: Mapping[str, SpecCost]) -> str:
    """Estimates over latency, or over multiply-adds: all networks, the front, and where published ones lie."""
    in_ms = found.best.cost.latency_ms is not None

    def cost(each: SpecCost) -> float:
        return (each.latency_ms or 0.0) if in_ms else each.macs / 1e6

    places = [
        (cost(each.known_cost), 100 * estimate)
        for each, estimate in zip(found.candidates, found.estimates, strict=True)
    ]
    front = [places[place] for place in found.front]
    with figure.figure(9.6, 4.8) as drawn:
        axes = drawn.subplots()
        axes.plot(
            *zip(*places, strict=True), "o", color=STYLES[None][0], markersize=4, alpha=0.5, markeredgecolor="none"
        )
        colour, marker = STYLES["int8"]
        axes.plot(*zip(*front, strict=True), "-", color=colour, drawstyle="steps-post", linewidth=1.2, alpha=0.6)
        axes.plot(*zip(*front, strict=True), marker, color=colour, markersize=7, markeredgecolor="none")
        for name, other in beside.items():
            axes.axvline(cost(other), color=figure.INK, alpha=0.4, linewidth=1, linestyle="--")
            axes.annotate(
                name, (cost(other), 0.02), xycoords=("data", "axes fraction"), rotation=90, va="bottom", ha="right"
            )
        unit = "latency, ms" if in_ms else "multiply-adds, millions"
        axes.set_xlabel(f"{unit}  (lower is better)")
        axes.set_ylabel(f"{_ESTIMATES[_is_accuracy(found)]}  (higher is better)")
        said = "; ".join(f"{x:.3g}: {y:.1f}%" for x, y in front)
        return figure.svg(drawn, f"Estimate over {unit.split(',')[0]}", f"The front: {said}.")


def _is_accuracy(found: Search) -> bool:
    return ACCURACY in found.best.figures
