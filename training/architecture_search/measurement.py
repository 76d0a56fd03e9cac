"""Whole networks of a search, measured on the target: what latencies are corrected by, and what proves the best."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from keras_mobilenets.models.mobilenets.spec import Spec
from keras_mobilenets.training.architecture_search.budget import Costs
from keras_mobilenets.training.architecture_search.candidate import History, Measured
from keras_mobilenets.training.architecture_search.evolution import draw
from keras_mobilenets.training.architecture_search.space import Genes, Space

NEAR = 6  # networks at the budget, whose median says what latencies are multiplied by
DRAWS = 60  # of which they are the slowest

Stopwatch = Callable[[Sequence[Spec]], list[Measured]]  # converts networks and times them on the target


class Measurements:
    """The networks that were measured, and the file that keeps them."""

    def __init__(self, space: Space, stopwatch: Stopwatch, path: Path | None) -> None:
        """Opens the file; None keeps nothing."""
        self._space, self._stopwatch, self._history = space, stopwatch, History(path)

    def take(self, networks: Iterable[Genes]) -> None:
        """Measures those that were not."""
        known = self.all()
        new = [genes for genes in networks if genes not in known]
        if new:
            measured = self._stopwatch([self._space.spec(genes) for genes in new])
            for genes, each in zip(new, measured, strict=True):
                self._history.add(genes, each._asdict())

    def all(self) -> dict[Genes, Measured]:
        """What was measured, by the genes."""
        return {tuple(row["genes"]): Measured(**row["figures"]) for row in self._history.rows}

    def correction(self, costs: Costs, seed: int) -> float:
        """The median of measured over predicted latency, of networks that are at the budget by what is predicted."""
        generator, space = np.random.default_rng([seed, DRAWS]), self._space
        drawn = filter(None, {draw(space, costs, generator) for _ in range(DRAWS)})
        predicted = {genes: costs.of(space.spec(genes)).latency_ms or 0.0 for genes in sorted(drawn)}
        near = sorted(predicted, key=lambda genes: -predicted[genes])[:NEAR]
        self.take(near)
        measured = self.all()
        return float(np.median([measured[genes].ms / predicted[genes] for genes in near]))
