"""What is assumed of a model's pixels where nothing says it, and the lines that say so: one a call."""

import sys
import warnings

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.pixels.scaling import HOW_TO_SAY, NAMED, PixelScaling, PixelWarning


def known_or_assumed(known: PixelScaling | None, images: np.ndarray | None, model: object) -> PixelScaling:
    """The scaling of a model that is given images.

    Args:
        known: What the user, the model or its file says; None where nothing does.
        images: Images for the model, N×H×W×C: floats show what range they have. None for none.
        model: For the message.

    Returns:
        `known`; else that of the images; else −1..1. A `PixelWarning` says what is assumed, and what is doubtful.

    Raises:
        UserError: Nothing is known, and the images have no usual range.
    """
    floats = images if images is not None and images.dtype.kind == "f" and images.size else None
    found = known or (_assumed("-1..1") if floats is None else _of_images(floats))
    if found.is_assumed:
        _say(f"{model} does not say what its pixels mean: {found} is assumed{found.source}; {HOW_TO_SAY}")
    elif floats is not None:
        _say_if_half(found, floats, model)
    return found


def _assumed(name: str, source: str = "") -> PixelScaling:
    return PixelScaling(*NAMED[name], source, is_assumed=True)


def _of_images(images: np.ndarray) -> PixelScaling:
    """By floats of which nothing else is known. Scaled to −1..1, dark pixels are negative: none is in 0..1."""
    low, high = float(images.min()), float(images.max())
    if low == high and abs(low) <= 1:  # black, or blank: of any range
        return _assumed("-1..1")
    source = f", since its images run from {low:.3g} to {high:.3g}"
    if low >= 0:
        return _assumed("0..1" if high <= 1 else "0..255", source)
    if low >= -1 and high <= 1:
        return _assumed("-1..1", source)
    least, greatest = PixelScaling(*NAMED["imagenet"]).range
    if low >= 1.05 * least and high <= 1.05 * greatest:
        return _assumed("imagenet", source)
    raise UserError(
        f"float images run from {low:.4g} to {high:.4g}, which is no usual range: pass uint8 pixels and say by pixels= "
        "what the model takes, such as a pair (mean, std)"
    )


def _say_if_half(scaling: PixelScaling, images: np.ndarray, model: object) -> None:
    """That several images of −1..1 have no pixel below mid-grey is unlikely, but not impossible."""
    (low, high), least, greatest = scaling.range, float(images.min()), float(images.max())
    if low <= -0.5 and least >= 0 and 0.5 < greatest <= 1 and len(images) >= 4:
        line = f"float images run from {least:.4g} to {greatest:.4g} and {model} takes {low:.4g} to {high:.4g}"
        _say(f"{line}: if they are of 0..1, pass uint8 pixels, or {HOW_TO_SAY}")


def _say(line: str) -> None:
    """Warns of the line of code outside of this package that asked."""
    frame, level = sys._getframe(), 1
    while frame.f_back is not None and frame.f_globals["__name__"].startswith("keras_mobilenets"):
        frame, level = frame.f_back, level + 1
    warnings.warn(line, PixelWarning, stacklevel=level)
