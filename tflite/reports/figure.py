"""A figure of the report: Matplotlib drawn as SVG text that stands inside an HTML page, light or dark.

Text and axes take the page's colour (currentColor).
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
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from keras_mobilenets.tflite.results.results import Row

INK = "#0a0b0c"  # stands for the page's text colour until the SVG is written


@dataclass(frozen=True)
class Label:
    """A row with the words that tell it from the others in a figure."""

    text: str
    row: Row


@contextmanager
def figure(width: float, height: float) -> Iterator[Figure]:
    """A figure in the report's style: no background, open frame, faint grid."""
    style: Any = {
        "svg.fonttype": "none", "svg.hashsalt": "report", "text.parse_math": False,
        "font.size": 10, "axes.edgecolor": INK, "text.color": INK,
        "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK, "grid.color": INK, "grid.alpha": 0.16,
        "axes.grid": True, "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
    }  # fmt: skip
    with matplotlib.rc_context(style):
        yield Figure(figsize=(width, height), layout="constrained")


def svg(drawn: Figure, title: str, description: str = "") -> str:
    """The figure as an <svg> element; `in_page` then makes its ids unique.

    Args:
        drawn: The figure.
        title: Its name.
        description: What it shows, in words, for those who do not see it.
    """
    buffer = io.StringIO()
    with warnings.catch_warnings():  # a name in a script that Matplotlib's font lacks; the browser has it
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        drawn.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    names = f"<title>{html.escape(title)}</title>" + (f"<desc>{html.escape(description)}</desc>" if description else "")
    head = re.compile(r'<svg [^>]*viewBox="([^"]*)"[^>]*>')
    text = head.sub(lambda found: f'<svg viewBox="{found[1]}" role="img">{names}', text, count=1)
    text = text.replace(INK, "currentColor").replace("xlink:href", "href")
    return re.sub(r"font: ([0-9.]+px)[^;\"]*", r"font: \1 system-ui, sans-serif", text)


def in_page(text: str, number: int) -> str:
    """A figure with ids of its own, for a page that holds several."""
    return re.sub(r'(id="|url\(#|href="#)', rf"\1figure{number}-", text)


def name_points(
    drawn: Figure,
    axes: Any,
    points: Sequence[Label],
    where: Sequence[tuple[float, float]],
    line: Sequence[tuple[float, float]] = (),
) -> None:
    """Writes each name at the nearest place beside its point where it covers neither a name, a point nor the line."""
    canvas = FigureCanvasAgg(drawn)
    canvas.draw()
    frame = axes.get_window_extent(canvas.get_renderer())
    to_points = 72 / drawn.dpi
    places = [axes.transData.transform(place) for place in where]
    occupied = [Bbox.from_bounds(x - 9, y - 9, 18, 18) for x, y in places]
    corners = [axes.transData.transform(corner) for corner in line]
    occupied += [Bbox([start, end]) for start, end in itertools.pairwise(corners)]
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
            return outside + sum(text.overlaps(other) for other in occupied), abs(shift[0]) + 3 * abs(shift[1])

        shifts = [
            (dx * (size.width / 2 + 12), dy * (size.height / 2 + gap))
            for gap in (12, 26, 42, 60, 80)
            for dx, dy in ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1))
        ]
        best = min(shifts, key=cost)
        occupied.append(box(best))
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
