"""Channel pruning: `prune_channels` removes whole channels, so that the network is smaller on any runtime.

`groups` finds which channels depend on each other, `importance` scores them, `budget` decides how many each group
keeps, and `surgery` removes the others.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_mobilenets import files
from keras_mobilenets.costs.model_cost import cost
from keras_mobilenets.errors import UserError, unknown
from keras_mobilenets.graphs.plain_layers import plain_model
from keras_mobilenets.training.channel_pruning.budget import Budget
from keras_mobilenets.training.channel_pruning.groups import Channels
from keras_mobilenets.training.channel_pruning.importance import IMPORTANCES, scores
from keras_mobilenets.training.channel_pruning.surgery import remove_channels
from keras_mobilenets.training.datasets.dataset import Data
from keras_mobilenets.training.recipe import Recipe
from keras_mobilenets.weights.saved_model import load_model

TOLERANCE = 0.03  # of the requested multiply-adds
# Wide groups are pruned by many channels at a time, since kernels work on tiles of 16, 32 or 64: on an x86 CPU, half of
# the multiply-adds take 0.76 of MobileNetV1's int8 time at 64 pixels in multiples of 8 and 0.62 so, and 0.68 and 0.57
# of MobileNetV2's. Narrower where that does not meet the budget.
WIDEST = (64, 32, 16, 1)


def prune_channels(
    model: keras.Model,
    macs: float = 0.5,
    importance: str = "bn_scale",
    *,
    data: Data | None = None,
    steps: int = 1,
    recipe: Recipe | None = None,
    run_dir: str | Path | None = None,
    divisor: int = 8,
) -> keras.Model:
    """Removes the least important channels until the network has the requested multiply-adds.

    Channels are removed with all that depends on them: batch normalization, depthwise convolution, squeeze-and-excite,
    the other inputs of a residual addition, and the weights that read them. The model's input and outputs keep their
    channels. So does every tensor that reaches an unsupported layer: one of another class than the families' plain
    layers. A layer that is called twice loses the same channels in both places.

    Args:
        model: Keras 3 model of a fixed input size, which may have others inside it; it is left as it is.
        macs: Multiply-adds of the result as a fraction of the model's, above 0 and below 1; reached within 3%.
        importance: Importance criterion: "bn_scale", |γ| of its batch normalization (Network Slimming,
            arXiv:1708.06519); "l1", its filter (arXiv:1608.08710); "taylor", the change of the loss to first order on
            16 training batches (arXiv:1906.10771), which needs `data`.
        data: What `load_data` returns.
        steps: Number of pruning steps, each by the same factor and followed by fine-tuning; more than 1 need `recipe`.
        recipe: Recipe of the fine-tuning after every step, also the last one. Without it, the caller trains the result.
        run_dir: Folder of the fine-tuning: `step_1`, `step_2`, ..., and the result, `model.keras`. Called again after a
            kill, with the same arguments, it resumes.
        divisor: Channel counts of the result are a multiple of it. Counts that are no multiple before stay so where
            nothing can or need be removed.

    Returns:
        An ordinary functional model with the remaining weights, no model inside it, and the layer names of `model` (two
        layers of one name are named after the models that they are in). It is no longer the
        builder's variant, whose published weights do not fit it.

    Raises:
        UserError: An argument is out of range, nothing can be pruned, or so few multiply-adds cannot be reached.
    """
    if isinstance(model, str | Path):
        raise UserError("channel pruning takes a model: load the file with training.load_model first")
    model = plain_model(model)
    _check(macs, importance, data, steps, recipe, divisor)
    plan = _Plan(model.name, cost(model).macs, macs, importance, steps, divisor)
    run_dir = None if run_dir is None or recipe is None else Path(run_dir)
    if run_dir is not None:
        _record_settings(run_dir, plan)
    for step in range(1, steps + 1):
        step_dir = run_dir and run_dir / f"step_{step}"
        model = _pruning_step(model, plan, step, data, step_dir)
        if recipe is not None:
            from keras_mobilenets.training.engine.trainer import fit

            fit(model, data, recipe, step_dir)
    if run_dir is not None:
        _save(model, run_dir / "model.keras")
    return model


@dataclass(frozen=True)
class _Plan:
    """The settings, and the model's name and multiply-adds."""

    model: str
    multiply_adds: int
    macs: float
    importance: str
    steps: int
    divisor: int


def _check(macs: Any, importance: Any, data: Any, steps: Any, recipe: Any, divisor: Any) -> None:
    number = isinstance(macs, int | float) and not isinstance(macs, bool)
    if not number or not 0 < macs < 1:
        raise UserError(
            f"macs={macs!r}: give the fraction of multiply-adds that stays, above 0 and below 1, such as 0.5"
        )
    if importance not in IMPORTANCES:
        raise unknown("importance", importance, list(IMPORTANCES), "the documentation of prune_channels")
    for name, value in (("steps", steps), ("divisor", divisor)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UserError(f"{name}={value!r}: give a whole number, 1 or more")
    if importance == "taylor" and data is None:
        raise UserError('importance="taylor" needs training images: give data=, such as load_data("shapes")')
    if recipe is not None and data is None:
        raise UserError('fine-tuning by a recipe needs images: give data=, such as load_data("shapes")')
    if steps > 1 and recipe is None:
        raise UserError(f"steps={steps} fine-tunes between the steps: give recipe= and data=, or steps=1")


def _record_settings(run_dir: Path, plan: _Plan) -> None:
    """Writes prune.json, or checks that the existing one has the same settings."""
    path, settings = run_dir / "prune.json", asdict(plan)
    before = files.read_json(path) if path.exists() else settings
    files.refuse_other(run_dir, "pruning with", before, settings)
    files.write_json(path, settings)


def _save(model: keras.Model, path: Path) -> None:
    with files.atomic(path) as temporary:
        model.save(temporary)


def _pruning_step(model: keras.Model, plan: _Plan, step: int, data: Data | None, step_dir: Path | None) -> keras.Model:
    """The model after a pruning step; loaded where a killed run has written it."""
    if step_dir is None:
        return _prune(model, plan, step, data)
    path = step_dir / "pruned.keras"
    if not path.exists():
        _save(_prune(model, plan, step, data), path)
    return load_model(path)


def _prune(model: keras.Model, plan: _Plan, step: int, data: Data | None) -> keras.Model:
    channels = Channels(model)
    groups = channels.groups(plan.divisor)
    if not groups:
        raise UserError(f"{model.name} has no channels to prune: each is tied to an output or to an unsupported layer")
    finest = Budget(model, channels, groups)
    _check_reached(finest.macs(finest.units), plan, "the fewest", above=True)
    score = scores(model, channels, plan.importance, data)
    order = [group.channels[np.argsort(-score[group.channels], kind="stable")] for group in groups]
    target = plan.multiply_adds * plan.macs ** (step / plan.steps)
    for widest in WIDEST:
        counts = Budget(model, channels, groups, widest).allot([score[numbers] for numbers in order], target)
        if abs(finest.macs(counts) - target) <= TOLERANCE / 2 * target:
            break
    if step == plan.steps:
        _check_reached(finest.macs(counts), plan, "the nearest")
    keep = np.ones(channels.count, bool)
    for numbers, count in zip(order, counts, strict=True):
        keep[numbers[count:]] = False
    return remove_channels(model, channels, keep)


def _check_reached(multiply_adds: float, plan: _Plan, what: str, above: bool = False) -> None:
    """Checks that the multiply-adds are those requested; with `above`, that they are not more."""
    excess = multiply_adds / plan.multiply_adds - plan.macs
    if (excess if above else abs(excess)) > TOLERANCE * plan.macs:
        raise UserError(
            f"macs={plan.macs:g} cannot be reached: {what} multiply-adds that {plan.model} can have are "
            f"{multiply_adds / plan.multiply_adds:.3f} of its {plan.multiply_adds:,}"
        )
