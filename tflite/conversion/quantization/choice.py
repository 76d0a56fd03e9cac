"""The recipe of an int8 .tflite, chosen by what it does to the output on images kept back from calibration."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.conversion.output_error import answer, sqnr_db, without_softmax
from keras_mobilenets.tflite.conversion.quantization.recipe import Quantization, Quantizer, Ranges, Recipe
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.runtime.activations import outputs

FEWEST = 4  # images, below which nothing is kept back and the plain recipe taken
FEW = 64  # images, below which effort="high" has too few, and what is chosen is made of all
TOO_FEW = f"; with {FEWEST} calibration images or more the choice would be measured"
_KEPT_BACK, _MOST_KEPT_BACK = 4, 64  # every fourth image, so many at most
_CORRECTED = Recipe(equalize=True, correct=True)


@dataclass(frozen=True)
class Choice:
    """An int8 .tflite and how it came about.

    Attributes:
        content: The file, not yet rewritten for a target.
        recipe: What was chosen.
        quantization: What made it: by any recipe, of the same images.
        sqnr_db: Power of the float output (before a softmax) over that of the difference, in decibels, on the images
            kept back; None where there were too few to keep any.
        same_class: Share of them that get the same class as in float; None likewise, and of what is no classifier.
        images: How many those are.
        is_of_all: Whether the file was made of all images in the end, those too.
        is_too_few: Whether there were too few images to keep any.
    """

    content: bytes
    recipe: Recipe
    quantization: Quantization
    sqnr_db: float | None = None
    same_class: float | None = None
    images: int = 0
    is_of_all: bool = False
    is_too_few: bool = False

    def __str__(self) -> str:
        if self.sqnr_db is None:
            return f"int8, {self.recipe}{TOO_FEW if self.is_too_few else ''}"
        same = "" if self.same_class is None else f" and the same class as in float for {self.same_class:.1%}"
        then = ", then made of all" if self.is_of_all else ""
        return f"int8, {self.recipe}: SQNR {self.sqnr_db:.1f} dB{same} on {self.images} images kept back{then}"


def choose(
    content: bytes, samples: Sequence[np.ndarray], ranges: Ranges, quantize: Quantizer, effort: str = "default"
) -> Choice:
    """Tries recipes on three quarters of the samples, or more, and measures them on the others; few are used up then.

    Plain ranges are compared with equalized channels and corrected biases, by wider and by narrower ranges; the best of
    these gets its weights rounded anew, and ranges of its own where they matter most; so do equalized channels of
    narrower ranges, from where that leads furthest.

    Args:
        content: A float32 .tflite.
        samples: float32 N×… for each input.
        ranges: What pixels become at each input, as in `calibration.calibrate`.
        quantize: Makes an int8 .tflite of a float one with ranges in it.
        effort: "low" takes the plain recipe; "high" also trains the best against the float model, and keeps what is
            better.

    Raises:
        UserError: There are too few samples for "high", or the model has operators that it cannot train through.
    """
    plain = Recipe()
    if effort == "high" and len(samples[0]) < FEW:
        raise UserError(
            f'effort="high" trains on calibration images and measures on some kept back: give '
            f"{FEW} calibration images or more, not {len(samples[0])}"
        )
    if effort == "low" or len(samples[0]) < FEWEST:
        quantization = Quantization(content, samples, ranges, quantize)
        return Choice(quantization.int8(plain), plain, quantization, is_too_few=len(samples[0]) < FEWEST)
    every = max(_KEPT_BACK, -(-len(samples[0]) // _MOST_KEPT_BACK))
    is_kept = np.arange(len(samples[0])) % every == every - 1
    kept = [array[is_kept] for array in samples]
    quantization = Quantization(content, [array[~is_kept] for array in samples], ranges, quantize)
    is_classifier = flatbuffer.is_classifier(content)
    expected = outputs(without_softmax(content), kept)

    def tried(recipe: Recipe) -> Choice:
        try:
            result = quantization.int8(recipe)
        except UserError:
            if recipe == plain:
                raise
            return Choice(b"", recipe, quantization)  # scales that the runtime does not take
        found = outputs(without_softmax(result), kept)
        same = float((answer(found) == answer(expected)).mean()) if is_classifier else None
        return Choice(result, recipe, quantization, sqnr_db(expected, found), same, len(kept[0]))

    narrower, wider = replace(_CORRECTED, percentile=99.97), replace(_CORRECTED, method="minmax")
    found = [tried(plain), tried(narrower), tried(_CORRECTED)]
    is_narrower_better = _sqnr(found[1]) > _sqnr(found[2])
    found.append(tried(replace(narrower, percentile=99.9) if is_narrower_better else wider))
    best = max(found, key=_sqnr)
    found.append(tried(replace(best.recipe, equalize=False, correct=True)))
    best = max(found, key=_sqnr)
    tuned = (replace(best.recipe, rounds=best.recipe.correct), replace(narrower, rounds=True))
    found += [tried(replace(recipe, tunes=True)) for recipe in dict.fromkeys(tuned)]
    if best.recipe.correct and max(found, key=_sqnr) is best:
        found.append(tried(replace(best.recipe, rounds=True)))
    if effort == "high":
        found.append(tried(replace(max(found, key=_sqnr).recipe, trains=True)))
    best = max(found, key=_sqnr)
    if len(samples[0]) >= FEW:
        return best
    whole = Quantization(content, samples, ranges, quantize)
    return replace(best, content=whole.int8(best.recipe), quantization=whole, is_of_all=True)


def _sqnr(choice: Choice) -> float:
    return -math.inf if choice.sqnr_db is None else choice.sqnr_db
