"""How a float .tflite becomes int8 after training."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from keras_mobilenets.tflite.conversion.folds.scaling_fold import fold_scaling
from keras_mobilenets.tflite.conversion.output_error import without_softmax
from keras_mobilenets.tflite.conversion.quantization.activation_noise import with_quiet_ranges
from keras_mobilenets.tflite.conversion.quantization.calibration import PERCENTILE, Observation
from keras_mobilenets.tflite.conversion.quantization.correction.equalization import equalize
from keras_mobilenets.tflite.conversion.quantization.correction.layer_correction import correct_layers
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.runtime.activations import outputs

LADDER = (97.0, 98.5, 99.3, 99.7, 99.9, 99.97, PERCENTILE, 100.0)  # of percentiles, from narrow ranges to wide ones

Ranges = Sequence[tuple[float, float] | None]
Quantizer = Callable[[bytes], bytes]  # a float .tflite with ranges in it to an int8 one


@dataclass(frozen=True)
class Recipe:
    """The steps that int8 quantization takes.

    Attributes:
        method: How ranges follow from values, one of `calibration.METHODS`.
        percentile: Share of the values inside a range by "percentile", in percent.
        equalize: Whether channels of activations are equalized first.
        correct: Whether biases are corrected layer by layer.
        rounds: Whether weights are rounded anew too.
        tunes: Whether the ranges that make most noise are chosen by what they do to the output.
        trains: Whether weights and biases are trained against the float model in the end.
    """

    method: str = "percentile"
    percentile: float = PERCENTILE
    equalize: bool = False
    correct: bool = False
    rounds: bool = False
    trains: bool = False
    tunes: bool = False

    def __str__(self) -> str:
        ranges = f"{self.percentile:g}% of the values" if self.method == "percentile" else self.method
        ranges += ", the loudest tuned" if self.tunes else ""
        steps = {
            "channels equalized": self.equalize,
            "biases corrected": self.correct,
            "weights rounded": self.rounds,
            "weights trained": self.trains,
        }
        return ", ".join([f"ranges by {ranges}", *(step for step, done in steps.items() if done)])


class Quantization:
    """Quantizes a float .tflite by one recipe or several, which share what is observed."""

    def __init__(self, content: bytes, samples: Sequence[np.ndarray], ranges: Ranges, quantize: Quantizer) -> None:
        """Takes a float32 .tflite, float32 N×… and the range of pixels for each input, and the quantizer."""
        self._content, self._samples, self._ranges, self._quantize = content, samples, ranges, quantize
        self._observed: dict[tuple[bool, bool], Observation] = {}
        self._tuned: dict[Recipe, bytes] = {}

    def int8(self, recipe: Recipe) -> bytes:
        """The int8 .tflite by a recipe, not yet rewritten for a target."""
        calibrated = self.calibrated(recipe)
        result = self._quantize(calibrated)
        if recipe.correct:
            result = correct_layers(calibrated, result, self._samples, rounds=recipe.rounds)
        if recipe.trains:
            from keras_mobilenets.tflite.conversion.quantization.correction.distillation import distil

            teacher = without_softmax(self._content)
            result = distil(calibrated, result, lambda given: outputs(teacher, given), self._samples)
        return result

    def calibrated(self, recipe: Recipe) -> bytes:
        """The float .tflite that is quantized, with ranges in it."""
        if not recipe.tunes:
            return self._with_ranges(recipe)
        plain = Recipe(recipe.method, recipe.percentile, equalize=recipe.equalize)
        if plain not in self._tuned:
            start = LADDER.index(100.0 if recipe.method == "minmax" else recipe.percentile)
            steps = [replace(plain, method="percentile", percentile=percentile) for percentile in LADDER]
            self._tuned[plain] = with_quiet_ranges([self._with_ranges(step) for step in steps], start, self._samples)
        return self._tuned[plain]

    def _with_ranges(self, recipe: Recipe) -> bytes:
        counts = recipe.method != "minmax"
        observed = self._observed.get((recipe.equalize, True)) or self._observed.get((recipe.equalize, counts))
        if observed is None:
            content = equalize(self._content, self._samples) if recipe.equalize else self._content
            observed = Observation(content, self._samples, self._ranges, counts)
            self._observed[recipe.equalize, counts] = observed
        return flatbuffer.changed(observed.with_ranges(recipe.method, recipe.percentile), fold_scaling)
