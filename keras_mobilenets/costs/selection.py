"""Which model for which phone: the published variants, filtered by limits and ranked by `choosing.json`.

What an operator costs on a target, and what a task weighs, is data in that file; here it is only added up.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from keras_mobilenets.costs.published_figures import Published, table
from keras_mobilenets.errors import UserError, unknown
from keras_mobilenets.models.catalog import list_models


@dataclass(frozen=True)
class Choice:
    """A variant and how it was ranked.

    Attributes:
        variant: The published variant.
        size_mb: Of its .tflite for the target, 10⁶ bytes, estimated from the parameters.
        score: Published top-1 less all points taken off; the highest is chosen.
        reasons: What was taken off and why, a line each.
    """

    variant: Published
    size_mb: float
    score: float
    reasons: tuple[str, ...]


def select(
    *,
    max_parameters: float = math.inf,
    max_macs: float = math.inf,
    family: str = "",
    sort: str = "",
) -> list[Published]:
    """The published variants of the package's builders within limits.

    Args:
        max_parameters: Trainable parameters at most.
        max_macs: Multiply-adds at most.
        family: Only builders whose name contains this, in any case.
        sort: "top1" (best first), "parameters", "macs" (least first), or "" for the order of the families.

    Raises:
        UserError: The order is unknown.
    """
    builders = list_models()
    orders: dict[str, Any] = {
        "": lambda row: builders.index(row.builder),
        "top1": lambda row: (not row.is_of_images, -row.imagenet_top1),
        "parameters": lambda row: row.parameters,
        "macs": lambda row: row.macs_millions,
    }
    if sort not in orders:
        raise UserError(f"sort={sort!r}: choose one of {', '.join(filter(None, orders))}")
    rows = [
        row
        for row in table()
        if row.builder in builders
        and row.parameters <= max_parameters
        and row.macs_millions * 1e6 <= max_macs
        and family.lower() in row.builder.lower()
    ]
    return sorted(rows, key=orders[sort])


def choose(
    rows: Iterable[Published], *, target: str, task: str = "balanced", max_size_mb: float = math.inf
) -> list[Choice]:
    """Ranks variants for a target and a task.

    Args:
        rows: From `select`; networks that take no images are left out.
        target: A name in `targets()`.
        task: "accuracy", "balanced" or "speed".
        max_size_mb: Size of the .tflite at most, 10⁶ bytes.

    Returns:
        The variants that fit, best first.

    Raises:
        UserError: Target or task is unknown, or nothing fits.
    """
    facts = _facts()
    for kind, name in (("target", target), ("task", task)):
        if name not in facts[f"{kind}s"]:
            raise unknown(kind, name, list(facts[f"{kind}s"]), "keras-mobilenets choose --help")
    images = [row for row in rows if row.is_of_images]
    ranked = [_rank(row, facts, facts["targets"][target], facts["tasks"][task]) for row in images]
    fitting = [choice for choice in ranked if choice.size_mb <= max_size_mb]
    if not fitting:
        smallest = min((choice.size_mb for choice in ranked), default=None)
        hint = f"the smallest is {smallest:.1f} MB" if smallest else "no variant is within the other limits"
        raise UserError(f"no published variant fits: {hint}; raise --max-size-mb or another limit")
    return sorted(fitting, key=lambda choice: -choice.score)


def targets() -> dict[str, str]:
    """The targets, and when to take each."""
    return {name: target["says"] for name, target in _facts()["targets"].items()}


def tasks() -> dict[str, str]:
    """The tasks, and what each weighs."""
    return {name: task["says"] for name, task in _facts()["tasks"].items()}


def traits(row: Published) -> list[str]:
    """The parts of a variant that a target may run badly, such as "swish"."""
    facts = _facts()
    found = [trait for prefix, names in facts["traits"].items() if row.builder.startswith(prefix) for trait in names]
    removed = [
        t for argument, names in facts["traits_removed_by"].items() if row.arguments.get(argument) for t in names
    ]
    return [trait for trait in found if trait not in removed]


def _rank(row: Published, facts: dict[str, Any], target: dict[str, Any], task: dict[str, Any]) -> Choice:
    taken = [(points, why) for trait in traits(row) for points, why in [target["points"].get(trait, (0, ""))] if points]
    doublings = math.log2(row.macs_millions / 50)
    if work := round(task["points_per_doubling"] * doublings, 1):
        taken.append(
            (work, f"{row.macs_millions:,.0f} M multiply-adds, {task['points_per_doubling']:g} a doubling over 50 M")
        )
    return Choice(
        row,
        row.parameters * target["bytes_per_parameter"] / 1e6,
        row.imagenet_top1 - sum(points for points, _ in taken),
        tuple(f"{-points:+.1f}  {why}" for points, why in taken),
    )


@cache
def _facts() -> dict[str, Any]:
    return json.loads((files("keras_mobilenets.costs") / "selection.json").read_text(encoding="utf-8"))
