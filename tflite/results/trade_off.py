"""What blocks of an int8 model cost and bring in float: the curve of accuracy over latency, in run.json and the report.

The .tflite itself carries it too (conversion/attached_curve.py).
"""

from dataclasses import dataclass
from typing import Any

from keras_mobilenets.errors import UserError


@dataclass(frozen=True)
class Point:
    """A mixed model.

    Attributes:
        blocks: What it computes in float.
        slowdown: Its latency over that of the all-int8 model, one thread of this machine.
        sqnr_db: Power of the float output (before a softmax) over that of the difference, in decibels.
        same_class: Share of the images that get the same class as in float.
    """

    blocks: tuple[str, ...]
    slowdown: float
    sqnr_db: float
    same_class: float


@dataclass(frozen=True)
class TradeOff:
    """The curve of accuracy over latency; `str()` of it is a table.

    Attributes:
        points: The first all int8, the last the one that was taken.
        tensors: Names of the activations that the last one leaves in float.
    """

    points: tuple[Point, ...]
    tensors: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"{'slowdown':>8} {'SQNR dB':>8} {'same class':>10}  in float"]
        for point in self.points:
            blocks = ", ".join(point.blocks) or "nothing"
            lines.append(f"{point.slowdown:8.3f} {point.sqnr_db:8.1f} {point.same_class:10.1%}  {blocks}")
        return "\n".join(lines)


def read_points(rows: Any) -> list[Point]:
    """The points of a record.

    Raises:
        UserError: It is none.
    """
    try:
        figures = ("slowdown", "sqnr_db", "same_class")
        return [Point(tuple(map(str, row["blocks"])), *(float(row[name]) for name in figures)) for row in rows]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"a curve of accuracy over latency is damaged ({error}); convert again") from error
