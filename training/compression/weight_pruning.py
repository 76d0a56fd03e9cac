"""Weight pruning: the smallest weights of pointwise and dense layers become zeros during fine-tuning.

Magnitude pruning with increasing sparsity ("To prune, or not to prune", arXiv:1710.01878) by
tensorflow-model-optimization. Depthwise kernels and the first convolution have so few weights that zeros save nothing.
"""

import math
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.graphs.plain_layers import plain_model
from keras_mobilenets.graphs.reparameterization import reparameterized
from keras_mobilenets.progress import track
from keras_mobilenets.training.compression.wrappers import (
    check_arguments,
    compressible_layers,
    default_recipe,
    record_settings,
    wrap_layers,
)
from keras_mobilenets.training.datasets.dataset import Data
from keras_mobilenets.training.introspection import gives_logits
from keras_mobilenets.training.recipe import Recipe

SCHEDULES = ("polynomial", "constant")
PATTERNS = {"2:4": (2, 4)}  # zeros, weights of a group
RECIPE = Recipe(epochs=4, learning_rate=1.5e-3, warmup_epochs=0.0, augmentation="none")
UPDATES = 50  # of the pruning masks, between begin and end
LEVELS = (0.5, 0.75, 0.9)  # of sparsity, for `sensitivity`


def prune(
    model: keras.Model,
    data: Data,
    sparsity: float | Mapping[str, float] = 0.75,
    *,
    recipe: Recipe | None = None,
    run_dir: str | Path | None = None,
    schedule: str = "polynomial",
    begin: float = 0.0,
    end: float = 0.6,
    frequency: int | None = None,
    pattern: str | None = None,
    layers: Collection[str] | None = None,
    verbose: int | str = "auto",
) -> keras.Model:
    """Prunes weights by magnitude while the model is fine-tuned.

    The layers keep their shapes, so the .tflite is no smaller and no faster; but after gzip it is half the size.

    Args:
        model: Trained Keras 3 classifier, which may have models inside it; it is left as it is.
        data: What `load_data` returns.
        sparsity: Share of zeros in each pruned kernel, from 0 to below 1; or the sparsity of each layer by name, as
            `sensitivity(...).sparsities(...)` gives them.
        recipe: How to train. Default: 4 epochs (of fewer than 125 steps: 500 steps, at most 20 epochs) without
            augmentation at half the learning rate of a training from scratch.
        run_dir: Folder of the training; called again after a kill, it resumes there. Default: none is kept.
        schedule: Pruning schedule: "polynomial", from 0 to `sparsity`, fast at first and slowly at last (section 3), or
            "constant", `sparsity` at once.
        begin: When pruning starts, as a share 0..1 of the training.
        end: When `sparsity` is reached and the pruning masks are final; afterwards the other weights recover.
        frequency: Training steps between updates of the masks. Default: a fiftieth of the steps from begin to end.
        pattern: "2:4" for structured sparsity: two zeros in every four adjacent input channels, whatever `sparsity` is.
            Layers whose input channels are no multiple of 4 stay dense; a warning names them.
        layers: Names of the layers to prune. Default: all convolutions but the first and the depthwise ones, and all
            dense layers.
        verbose: As in `fit`.

    Returns:
        A new Keras 3 model of the same layers with the zeros in place, ready to convert.

    Raises:
        UserError: An argument is out of range, there is nothing to prune, or as in `fit`.
    """
    check_arguments(model, data, "prune")
    model = reparameterized(plain_model(model))
    shares = _shares(model, sparsity, layers, pattern)
    recipe = recipe or default_recipe(RECIPE, data, run_dir)
    plan = _plan(schedule, begin, end, frequency, recipe.epochs * data.steps_per_epoch())
    record_settings(run_dir, "pruning", {"sparsity": shares, "pattern": pattern, "schedule": schedule, **plan})

    import tensorflow_model_optimization as tfmot

    from keras_mobilenets.training.compression.keras_bridge import to_keras, to_tf_keras
    from keras_mobilenets.training.engine.trainer import fit

    tools = tfmot.sparsity.keras
    patterned = {"sparsity_m_by_n": PATTERNS[pattern]} if pattern else {}

    def prunable(layer: Any) -> Any:
        share = shares[layer.name]
        timed = (
            tools.PolynomialDecay(0.0, share, **plan)
            if schedule == "polynomial"
            else tools.ConstantSparsity(share, **plan)
        )
        return tools.prune_low_magnitude(layer, pruning_schedule=timed, **patterned)

    pruned = wrap_layers(to_tf_keras(model), shares, prunable)
    final = math.ceil(plan["end_step"] / data.steps_per_epoch())  # earlier epochs are not at the final sparsity
    callbacks = (tools.UpdatePruningStep(),)
    fit(pruned, data, recipe, run_dir, callbacks=callbacks, best_from=final, verbose=verbose)
    return to_keras(tools.strip_pruning(pruned))


def _shares(
    model: keras.Model, sparsity: float | Mapping[str, float], layers: Collection[str] | None, pattern: str | None
) -> dict[str, float]:
    """The sparsity of each layer that is pruned."""
    if pattern is not None and pattern not in PATTERNS:
        raise UserError(f"pattern must be None or {' or '.join(map(repr, PATTERNS))}, not {pattern!r}")
    by_layer = sparsity if isinstance(sparsity, Mapping) else None
    if by_layer is not None and layers is not None:
        raise UserError("sparsity names its layers already; leave layers out")
    chosen = compressible_layers(model, layers if by_layer is None else list(by_layer), "prune")
    if pattern:
        _, group = PATTERNS[pattern]
        odd = [layer.name for layer in chosen if layer.kernel.shape[-2] % group]
        if odd:
            warnings.warn(f"{pattern} takes input channels in {group}s; left dense: {', '.join(odd)}", stacklevel=3)
        chosen = [layer for layer in chosen if layer.name not in odd]
        sparsity = PATTERNS[pattern][0] / group
    shares = {
        layer.name: float(sparsity[layer.name] if isinstance(sparsity, Mapping) else sparsity) for layer in chosen
    }
    if not shares:
        raise UserError(f"{model.name} has no layer to prune by {pattern}: none has input channels in fours")
    for name, share in shares.items():
        check_sparsity(share, f" of {name}" if by_layer else "")
    return shares


def check_sparsity(share: float, where: str = "") -> None:
    """Checks a sparsity.

    Raises:
        UserError: It is below 0, or not below 1.
    """
    if not 0 <= share < 1:
        raise UserError(f"sparsity {share}{where} must be from 0 to below 1, such as 0.75: that share becomes zeros")


def _plan(schedule: str, begin: float, end: float, frequency: int | None, total: int) -> dict[str, int]:
    """First and last step of pruning and the steps between mask updates, as arguments of tfmot's schedules."""
    if schedule not in SCHEDULES:
        raise UserError(f"schedule must be {' or '.join(map(repr, SCHEDULES))}, not {schedule!r}")
    if not 0 <= begin < end <= 1:
        raise UserError(f"begin {begin} and end {end} must be shares of the training with 0 ≤ begin < end ≤ 1")
    if frequency is not None and frequency < 1:
        raise UserError(f"frequency must be a number of steps, 1 or more, not {frequency}")
    first, last = round(begin * total), max(1, round(end * total))
    period = frequency or max(1, (last - first) // UPDATES)
    if last - first < period:
        raise UserError(
            f"pruning lasts {last - first} of {total} steps, fewer than the {period} between mask updates; "
            "train longer or lower frequency"
        )
    # tfmot updates masks at multiples of the frequency only: the last update must be at the last step.
    return {"begin_step": first, "end_step": last - (last - first) % period, "frequency": period}


@dataclass(frozen=True)
class Sensitivity:
    """The accuracy lost when each layer alone is pruned, without fine-tuning; `str()` of it is a table.

    Attributes:
        accuracy: Top-1 accuracy of the dense model, 0..1.
        weights: Number of weights, by layer.
        drops: Accuracy lost (0..1; below 0 for gained), by layer and sparsity.
    """

    accuracy: float
    weights: dict[str, int]
    drops: dict[str, dict[float, float]]

    def sparsities(self, average: float = 0.75) -> dict[str, float]:
        """Chooses a sparsity for each layer so that all lose the same accuracy alone.

        Args:
            average: Share of zeros among the weights of all scanned layers together.

        Returns:
            Sparsity by layer, for `prune`.

        Raises:
            UserError: The average is out of range, or above what was scanned.
        """
        check_sparsity(average)
        most = max(max(drops) for drops in self.drops.values())
        if average > most:
            raise UserError(f"average {average} is above the highest scanned sparsity, {most}; scan with higher levels")
        total = sum(self.weights.values())
        low, high = 0.0, 1.0 + _SLOPE
        for _ in range(40):  # bisection on the accuracy that each layer may lose
            middle = (low + high) / 2
            found = {name: _sparsity_at(drops, middle) for name, drops in self.drops.items()}
            if sum(self.weights[name] * share for name, share in found.items()) < average * total:
                low = middle
            else:
                high = middle
        return {name: round(_sparsity_at(drops, high), 4) for name, drops in self.drops.items()}

    def __str__(self) -> str:
        levels = sorted({level for drops in self.drops.values() for level in drops})
        width = max(map(len, self.drops))
        lines = [f"{'layer':{width}}  {'weights':>9}  " + "  ".join(f"{level:>7.0%}" for level in levels)]
        for name, drops in self.drops.items():
            cells = "  ".join(f"{-100 * drops[level]:>+7.1f}" for level in levels)
            lines.append(f"{name:{width}}  {self.weights[name]:>9,}  {cells}".replace("-", "−"))
        return "\n".join([*lines, f"points of top-1, of {self.accuracy:.1%}, when the layer alone is pruned so far"])


_NOISE = 5e-3  # half a point up or down is noise
_SLOPE = 1e-3  # a tenth of a point at full sparsity, so that the same drop is never two sparsities


def _sparsity_at(drops: Mapping[float, float], drop: float) -> float:
    """The sparsity at which a layer loses this much accuracy, interpolated between the levels."""
    levels = sorted(drops)
    lost = np.maximum.accumulate([0.0, *(max(0.0, drops[level] - _NOISE) for level in levels)])
    places = np.array([0.0, *levels])
    return float(np.interp(drop, lost + _SLOPE * places, places))


def sensitivity(
    model: keras.Model,
    data: Data,
    *,
    levels: Sequence[float] = LEVELS,
    layers: Collection[str] | None = None,
    images: int = 500,
) -> Sensitivity:
    """Sensitivity analysis: prunes one layer at a time, without fine-tuning, and measures the validation accuracy.

    Args:
        model: Trained Keras 3 classifier; it is left as it is.
        data: What `load_data` returns.
        levels: The sparsities to test.
        layers: Names of the layers to scan. Default: those that `prune` prunes.
        images: Maximum number of validation images; the first ones are used.

    Returns:
        The table, from which `.sparsities(0.75)` chooses a sparsity for each layer.

    Raises:
        UserError: An argument is out of range, or there is no layer to prune.
    """
    check_arguments(model, data, "sensitivity")
    if data.task.name == "detection":
        raise UserError(
            "sensitivity measures top-1 accuracy, and a detector has none: give one sparsity for all layers"
        )
    model = reparameterized(plain_model(model))
    for level in levels:
        check_sparsity(level)
    scanned = compressible_layers(model, layers, "prune")
    batches = data.scaled_for(model).validation.take(math.ceil(images / data.batch_size)).cache()
    predict = keras.models.Model.predict_on_batch

    def logits(outputs: Any) -> Any:
        return outputs if gives_logits(model) else data.task.logits(outputs, keras.ops)

    def accuracy() -> float:
        right = [data.task.hits(data.task.soft(y), logits(predict(model, x))) for x, y in batches]
        return float(np.concatenate([keras.ops.convert_to_numpy(each) for each in right]).mean())

    dense = accuracy()
    drops: dict[str, dict[float, float]] = {}
    for layer in track(scanned, "Scanning layers"):
        kernel = keras.ops.convert_to_numpy(layer.kernel)
        drops[layer.name] = {}
        try:
            for level in sorted(levels):
                layer.kernel.assign(np.where(np.abs(kernel) <= np.quantile(np.abs(kernel), level), 0, kernel))
                drops[layer.name][level] = round(dense - accuracy(), 6)
        finally:
            layer.kernel.assign(kernel)
    return Sensitivity(dense, {layer.name: math.prod(layer.kernel.shape) for layer in scanned}, drops)
