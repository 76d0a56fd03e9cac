"""Regularized evolution: Real et al. 2019, arXiv:1802.01548, section 3.2, within a budget.

The step is a function of the seed, its number and the networks before it, and budgets are kept before anything is
estimated; so a search that was killed goes on where it was and ends in the same front, which the libraries for it do
not promise of theirs.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_mobilenets.progress import track
from keras_mobilenets.training.architecture_search.budget import Costs
from keras_mobilenets.training.architecture_search.candidate import History, scores
from keras_mobilenets.training.architecture_search.space import Genes, Space

POPULATION = 32  # the newest ones, of which parents are taken; so many are drawn at random first
TOURNAMENT = 8
TRIES = 2000  # draws for one network within the budget

Estimator = Callable[[Genes], dict[str, float]]


def evolve(
    space: Space,
    costs: Costs,
    estimator: Estimator,
    history: History,
    count: int,
    seed: int,
    population: int = POPULATION,
) -> None:
    """Estimates networks until the history has so many.

    Args:
        space: Where they are from.
        costs: What they may cost.
        estimator: Gives the figures of a network.
        history: What was estimated before; grows.
        count: How many it shall have.
        seed: Random seed.
        population: Networks of which parents are taken.
    """
    for step in track(range(len(history.rows), count), "Searching"):
        generator = np.random.default_rng([seed, step])
        if step < population:
            genes = draw(space, costs, generator, _seen(history))
        else:
            genes = _child(space, costs, history.rows, generator, population)
        if genes is None:  # the space has no other
            return
        history.add(genes, estimator(genes))


def draw(space: Space, costs: Costs, generator: np.random.Generator, seen: set[Genes] = frozenset()) -> Genes | None:  # type: ignore[assignment]
    """A random network within the budget that was not seen; None where there is no other.

    Where chance meets none, the smallest network is mutated away from, which is within any budget that one is.
    """
    for _ in range(TRIES):
        genes = space.random(generator)
        if genes not in seen and costs.fits(space.spec(genes)):
            return genes
    genes = space.smallest()
    for _, other in zip(range(TRIES), space.mutations(genes, generator), strict=False):
        if costs.fits(space.spec(other)):
            genes = other
            if genes not in seen:
                return genes
    return None if genes in seen else genes


def _child(
    space: Space, costs: Costs, rows: Sequence[dict[str, Any]], generator: np.random.Generator, population: int
) -> Genes | None:
    """A mutation of the best of a few; every other time of those below the cost of one, to fill the front."""
    newest = [tuple(row["genes"]) for row in rows[-population:]]
    estimates = scores([row["figures"] for row in rows])[-population:]
    size = min(TOURNAMENT, len(newest))
    drawn = [int(place) for place in generator.choice(len(newest), size, replace=False)]
    if generator.random() < 0.5:
        limit = costs.x(costs.of(space.spec(newest[drawn[0]])))
        drawn = [place for place in drawn if costs.x(costs.of(space.spec(newest[place]))) <= limit]
    parent, seen = newest[max(drawn, key=lambda place: estimates[place])], {tuple(row["genes"]) for row in rows}
    for _, genes in zip(range(TRIES), space.mutations(parent, generator), strict=False):
        if genes not in seen and costs.fits(space.spec(genes)):
            return genes
    return draw(space, costs, generator, seen)


def _seen(history: History) -> set[Genes]:
    return {tuple(row["genes"]) for row in history.rows}
