"""The networks that a search has estimated: their scores, their front, and the file that keeps them."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_mobilenets.costs.operators import SpecCost
from keras_mobilenets.errors import UserError
from keras_mobilenets.models.mobilenets.spec import Spec
from keras_mobilenets.training.architecture_search.space import Genes

ACCURACY = "accuracy"  # the figure that is an estimate by itself


class Measured(NamedTuple):
    """What a whole network took on the target, in milliseconds; `str()` of it is for a table.

    Attributes:
        ms: The median of the rounds.
        least: Of the rounds.
        most: Of the rounds.
    """

    ms: float
    least: float
    most: float

    def __str__(self) -> str:
        return f"{self.ms:.3f} ({self.least:.3f} to {self.most:.3f})"


@dataclass(frozen=True)
class Candidate:
    """One network.

    Attributes:
        genes: Its place in the space.
        spec: Its specification.
        cost: What it is predicted to cost.
        figures: What the method says of it, by name: an accuracy, or proxies of it.
        measured: What it took on the target; None where it was not measured.
    """

    genes: Genes
    spec: Spec
    cost: SpecCost
    figures: dict[str, float]
    measured: Measured | None = None

    @property
    def known_cost(self) -> SpecCost:
        """What it costs, its latency as measured where it was."""
        return dataclasses.replace(self.cost, latency_ms=self.measured.ms) if self.measured else self.cost


def scores(found: Sequence[dict[str, float]]) -> np.ndarray:
    """An estimate of each network from its figures; the higher is the better.

    An accuracy stands for itself. Proxies have no common unit, so each ranks the networks, and the estimate is the
    geometric mean of rank over number, 0 to 1: a bad rank counts more than a good one, as in AZ-NAS
    (arXiv:2403.19232). It tells the order of these networks, and nothing of others.

    Args:
        found: The figures of one network or more, of the same names.
    """
    if not found:
        return np.zeros(0)
    if ACCURACY in found[0]:
        return np.array([figures[ACCURACY] for figures in found])
    values = np.array([[figures[name] for name in sorted(found[0])] for figures in found])
    values[~np.isfinite(values)] = -np.inf
    at_most = (values[:, None] >= values[None]).sum(axis=1)
    below = (values[:, None] > values[None]).sum(axis=1)
    ranks = (at_most + below + 1) / 2  # equal ones share theirs
    return np.exp(np.log(ranks / len(values)).mean(axis=1))


def front(costs: Sequence[float], estimates: Sequence[float]) -> list[int]:
    """The Pareto front: the places of those that no other beats in both, from the cheapest on."""
    places: list[int] = []
    for place in sorted(range(len(costs)), key=lambda place: (costs[place], -estimates[place])):
        if not places or estimates[place] > estimates[places[-1]]:
            places.append(place)
    return places


class History:
    """The file of estimated networks, a line each, in the order of the search, without a line that a kill cut off."""

    def __init__(self, path: str | Path | None) -> None:
        """Opens the file; None keeps nothing."""
        self._path = Path(path) if path else None
        self.rows: list[dict[str, Any]] = []
        if self._path and self._path.exists():
            self._read(self._path)

    def add(self, genes: Genes, figures: dict[str, float]) -> None:
        """Writes one network more.

        Raises:
            UserError: The file cannot be written, or its networks were estimated otherwise.
        """
        row = {"genes": list(genes), "figures": figures}
        if self.rows and self.rows[0]["figures"].keys() != figures.keys():
            known = ", ".join(self.rows[0]["figures"])
            raise UserError(
                f"{self._path} holds estimates by {known}, of an earlier version: delete it, or give another run folder"
            )
        self.rows.append(row)
        if self._path:
            try:
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
            except OSError as error:
                raise UserError(
                    f"cannot write {self._path}: {error.strerror}; free some space and start again"
                ) from error

    def _read(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]
        try:
            self.rows = [
                {"genes": row["genes"], "figures": row["figures"]} for row in map(json.loads, whole.splitlines())
            ]
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path} is damaged ({error}): delete it to start over") from error
        if whole != text:
            path.write_text(whole, encoding="utf-8")


@dataclass(frozen=True)
class Search:
    """What a search found; `str()` of it is the table of the front.

    Attributes:
        method: How networks were estimated.
        candidates: All that were, in the order of the search.
        estimates: An estimate of each: an accuracy, 0 to 1, or a geometric mean of ranks.
        front: Places of those on the Pareto front of estimate over latency (or multiply-adds), the cheapest first;
            latencies are measured ones where there are, the best network's among them.
        correction: What the target's latencies were multiplied by, as networks at the budget took when measured.
    """

    method: str
    candidates: tuple[Candidate, ...]
    estimates: tuple[float, ...]
    front: tuple[int, ...]
    correction: float = 1.0

    @property
    def best(self) -> Candidate:
        """The one with the highest estimate, which is the last of the front."""
        return self.candidates[self.front[-1]]

    @property
    def spec(self) -> Spec:
        """The best one's specification."""
        return self.best.spec

    def record(self) -> dict[str, Any]:
        """The front as JSON holds it."""
        rows = [
            {
                "estimate": self.estimates[place],
                "cost": dataclasses.asdict(self.candidates[place].cost),
                "measured": (measured := self.candidates[place].measured) and measured._asdict(),
                "figures": self.candidates[place].figures,
                "spec": self.candidates[place].spec.record(),
            }
            for place in self.front
        ]
        found = {"method": self.method, "candidates": len(self.candidates), "correction": self.correction}
        return found | {"front": rows}

    def __str__(self) -> str:
        lines = [f"{'predicted ms':>12} {'measured ms':>22} {'M multiply-adds':>15} {'parameters':>10} {'estimate':>8}"]
        for place in self.front:
            cost, measured = self.candidates[place].cost, self.candidates[place].measured
            ms = "" if cost.latency_ms is None else f"{cost.latency_ms:.3f}"
            figures = f"{cost.macs / 1e6:15.2f} {cost.parameters:10,} {self.estimates[place]:8.3f}"
            lines.append(f"{ms:>12} {measured or ''!s:>22} {figures}")
        return "\n".join(lines)
