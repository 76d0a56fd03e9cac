"""`training.search`: the best network of a space within a budget, by one of three estimates of accuracy."""

import dataclasses
import hashlib
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import keras

from keras_mobilenets import files
from keras_mobilenets.errors import UserError
from keras_mobilenets.lock import locked
from keras_mobilenets.training.architecture_search.budget import Budget, Costs, Latency
from keras_mobilenets.training.architecture_search.candidate import (
    ACCURACY,
    Candidate,
    History,
    Search,
    front,
    scores,
)
from keras_mobilenets.training.architecture_search.differentiable import Choices
from keras_mobilenets.training.architecture_search.evolution import evolve
from keras_mobilenets.training.architecture_search.measurement import Measurements, Stopwatch
from keras_mobilenets.training.architecture_search.shared_weights import SharedWeights
from keras_mobilenets.training.architecture_search.space import Genes, Space, mobile_space
from keras_mobilenets.training.architecture_search.supernet import Supernet
from keras_mobilenets.training.architecture_search.zero_cost import ZeroCost, require_tensorflow
from keras_mobilenets.training.datasets.dataset import Data
from keras_mobilenets.training.recipe import Recipe, mixes
from keras_mobilenets.training.tasks.classification import Classification

METHODS = {
    "one-shot": "a supernet whose weights all networks share, trained first",
    "zero-cost": "proxies of untrained networks, ranked together, about 2 seconds a network; finds worse ones",
    "differentiable": "the same supernet, then gradients of the choices, with their latency in the loss",
}
TOGETHER = 3  # of the best networks, which are measured in one go
SLACK = 1.05  # of predicted latencies, where measured ones decide
SUPERNET = Recipe(epochs=12, learning_rate=2e-3, warmup_epochs=0.3, weight_decay=0.01, label_smoothing=0.0)


def search(
    data: Data,
    space: Space | None = None,
    budget: Budget | None = None,
    method: str = "one-shot",
    *,
    candidates: int = 200,
    latency: Latency | None = None,
    stopwatch: Stopwatch | None = None,
    recipe: Recipe = SUPERNET,
    seed: int = 0,
    run_dir: str | Path | None = None,
) -> Search:
    """Searches the space for networks that promise most within a budget.

    Regularized evolution over the estimates of a method; "differentiable" draws from the choices that it learned.
    With a stopwatch, networks at the budget are measured first and correct the latencies; then the best of the front
    are, until the first of them is within the budget as measured.
    Called again with the same arguments after a kill it goes on where it was and ends in the same front.

    Args:
        data: What `load_data` returns.
        space: The networks to choose from. Default: `mobile_space` at the data's image size.
        budget: What they may cost at most. Default: no limit.
        method: A name in `METHODS`.
        candidates: How many networks are estimated, 1 or more.
        latency: The target's latencies, such as tflite's `OperatorLatencies`. Needed for `budget.ms`; with it the
            front is drawn over latency, else over multiply-adds.
        stopwatch: Measures whole networks on the target, such as the pipeline's `Stopwatch`. Default: none is.
        recipe: How the supernet is trained, without mixup and cutmix; its seed is `seed`.
        seed: Random seed of everything.
        run_dir: Folder that keeps candidates.jsonl, measured.jsonl, front.json and spec.json, the best network.
            Default: none is kept.

    Returns:
        Every network that was estimated, with its costs, and the front. `search(...).spec` is the best one's, for
        `km.create_model("Searched", spec=...)`.

    Raises:
        UserError: No network fits the budget, an argument is out of range, or the folder holds another search.
    """
    space, budget = space or mobile_space(data.image_size), budget or Budget()
    check(method, candidates)
    recipe = dataclasses.replace(recipe, seed=seed)
    if mixes(recipe.augmentation) or recipe.stages > 1:
        raise UserError("a supernet is trained on labels and one size: no mixup, cutmix or stages in its recipe")
    if not isinstance(data.task, Classification):
        raise UserError(f"a search compares networks by their classes, and {data.name} is for {data.task.name}")
    costs = Costs(budget, len(data.class_names), latency, SLACK if stopwatch else 1.0)
    costs.check(space)
    folder = Path(run_dir) if run_dir else None
    asked = {
        "method": method,
        "data": {"name": data.name, "image_size": data.image_size, "train_images": data.count("train")},
        "space": hashlib.sha256(repr(space).encode()).hexdigest()[:8],
        "budget": dataclasses.asdict(budget),
        "seed": seed,
    }
    if method != "zero-cost":
        asked["recipe"] = dataclasses.asdict(recipe)
    with locked(folder) if folder else nullcontext():
        if folder:
            _record(folder, asked, space)
        measurements = Measurements(space, stopwatch, folder and folder / "measured.jsonl") if stopwatch else None
        if measurements and budget.ms is not None:
            costs.correct(measurements.correction(costs, seed))
            costs.check(space)
        history = History(folder / "candidates.jsonl" if folder else None)
        if len(history.rows) < candidates:
            _estimate(method, data, space, costs, history, candidates, recipe, folder)
        found = _result(method, space, costs, history, measurements)
        if folder:
            files.write_json(folder / "front.json", found.record())
            found.spec.write(folder / "spec.json")
        return found


def check(method: str, candidates: int) -> None:
    """Refuses a method that there is not, and a number of networks that makes no search.

    Raises:
        UserError: One of them is so.
    """
    if method not in METHODS:
        raise UserError(f"method must be {', '.join(METHODS)}, not {method!r}")
    if isinstance(candidates, bool) or not isinstance(candidates, int) or candidates < 1:
        raise UserError(f"candidates={candidates!r}: give a whole number of networks to estimate, 1 or more")


def _estimate(
    method: str,
    data: Data,
    space: Space,
    costs: Costs,
    history: History,
    count: int,
    recipe: Recipe,
    folder: Path | None,
) -> None:
    """Estimates networks until the history has so many."""
    require_tensorflow()
    if method == "zero-cost":
        evolve(space, costs, ZeroCost(data, space, recipe.seed), history, count, recipe.seed)
        return
    keras.utils.set_random_seed(recipe.seed)
    supernet, file = Supernet(space, costs.classes), folder / "supernet.npz" if folder else None
    shared = SharedWeights(supernet, costs, data, recipe, file)
    shared.train()

    def accuracy(genes: Genes) -> dict[str, float]:
        return {ACCURACY: shared.accuracy(genes)}

    if method == "one-shot":
        evolve(space, costs, accuracy, history, count, recipe.seed)
    else:
        choices = Choices(shared.supernet, costs, recipe.seed, folder / "choices.json" if folder else None)
        choices.learn(data, recipe.augmentation)
        choices.estimate(accuracy, history, count)


def _result(method: str, space: Space, costs: Costs, history: History, measurements: Measurements | None) -> Search:
    """The front of what was estimated; the best of it are measured until the first is within the budget."""
    found = []
    for row in history.rows:
        spec = space.spec(tuple(row["genes"]))
        found.append(Candidate(tuple(row["genes"]), spec, costs.of(spec), row["figures"]))
    estimates = [float(estimate) for estimate in scores([each.figures for each in found])]
    while True:
        measured = measurements.all() if measurements else {}
        found = [dataclasses.replace(each, measured=measured.get(each.genes)) for each in found]
        within = [
            place
            for place, each in enumerate(found)
            if (not costs.budget.exceeded(each.known_cost) if each.measured else costs.fits(each.spec))
        ]
        if not within:
            least = min(costs.x(each.known_cost) for each in found)
            raise UserError(
                f"no network of {len(found)} is within the budget when measured, the first at {least:.3g} ms: "
                "give more ms in another run folder"
            )
        drawn = front([costs.x(found[place].known_cost) for place in within], [estimates[place] for place in within])
        places = [within[place] for place in drawn]
        if measurements is None or found[places[-1]].measured:
            return Search(method, tuple(found), tuple(estimates), tuple(places), costs.correction)
        measurements.take(found[place].genes for place in places[-TOGETHER:])


def _record(folder: Path, asked: dict[str, Any], space: Space) -> None:
    """Writes what is searched for, or checks that the search that is there is the same."""
    path = folder / "search.json"
    if path.exists():
        files.refuse_other(folder, "search with", files.read_json(path), asked)
    else:
        files.write_json(path, asked | {"choices": space.record()})
