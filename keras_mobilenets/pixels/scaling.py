"""Pixels to model input: value = (pixel − mean) / standard deviation, and what people call the usual pairs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_mobilenets.errors import UserError

HOW_TO_SAY = 'say it by pixels=, such as pixels="0..255" or a pair (mean, std); --pixels on the command line'


class PixelWarning(UserWarning):
    """What a model's pixels mean is assumed, since nothing says it."""


@dataclass(frozen=True)
class PixelScaling:
    """What the values of an image input mean: value = (pixel − mean) / std, for pixels of 0 to 255.

    Attributes:
        mean: In pixels: one number, or one for each channel.
        std: In pixels, each above 0; as many as `mean`.
        source: How this is known, in words that follow "known by": "its layer rescaling".
        is_assumed: Whether nothing said it, so that it may be wrong.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: str = ""
    is_assumed: bool = False

    @property
    def range(self) -> tuple[float, float]:
        """The least and the greatest value that a pixel becomes."""
        mean, std = np.array(self.mean), np.array(self.std)
        return float((-mean / std).min()) + 0.0, float(((255 - mean) / std).max())  # + 0.0 makes 0 of −0

    def values(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels 0..255 of any dtype, (..., channels), as float32 values."""
        mean, std = self._of_channels(pixels)
        if np.array_equal(mean, std):  # −1..1: in the operations of `preprocess_input`, to the last bit
            return pixels.astype(np.float32) / std - np.float32(1)
        return (pixels.astype(np.float32) - mean) / std

    def pixels(self, values: np.ndarray) -> np.ndarray:
        """Values (..., channels) as float32 pixels, not rounded and not clipped."""
        mean, std = self._of_channels(values)
        if np.array_equal(mean, std):
            return (values.astype(np.float32) + 1) * std
        return values.astype(np.float32) * std + mean

    def check(self, values: np.ndarray, model: object) -> None:
        """Refuses values that no pixel becomes; a twentieth of the range beyond it is granted to resized images.

        Values of a much smaller range are of another scaling, too: whole numbers apart, which may be dark pixels.

        Raises:
            UserError: It names both ranges.
        """
        (low, high), least, greatest = self.range, float(values.min(initial=np.inf)), float(values.max(initial=-np.inf))
        slack = (high - low) / 20
        is_tiny = high - low > 100 and greatest <= (1 if least >= 0 else 3) and bool((values % 1).any())
        if least < low - slack or greatest > high + slack or is_tiny:
            raise UserError(
                f"float images run from {least:.4g} to {greatest:.4g} but {model} takes {low:.4g} to {high:.4g} "
                f"({'assumed' if self.is_assumed else self.source}): pass uint8 pixels, scale them so, or {HOW_TO_SAY}"
            )

    def __str__(self) -> str:
        for name, (mean, std) in NAMED.items():
            if len(mean) == len(self.mean) and np.allclose([mean, std], [self.mean, self.std]):
                return name
        return f"mean {_listed(self.mean)}, std {_listed(self.std)}"

    def _of_channels(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if len(self.mean) not in (1, images.shape[-1]):
            raise UserError(
                f"images have {images.shape[-1]} channels but mean and std are of {len(self.mean)}; give one of each"
            )
        return np.array(self.mean, np.float32), np.array(self.std, np.float32)


# torchvision's and timm's, in pixels.
IMAGENET_MEAN, IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
NAMED: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "-1..1": ((127.5,), (127.5,)),
    "0..1": ((0.0,), (255.0,)),
    "0..255": ((0.0,), (1.0,)),
    "imagenet": (IMAGENET_MEAN, IMAGENET_STD),
}
MINUS_ONE_TO_ONE = PixelScaling(*NAMED["-1..1"], "as every builder of keras_mobilenets")
# How the input of a network is called that takes pixels scaled otherwise than the builders' and has no layer for it.
INPUT_NAMES = {"imagenet_pixels": "imagenet", "unit_pixels": "0..1"}


def said(pixels: Any) -> PixelScaling:
    """What a user says of a model's pixels.

    Args:
        pixels: "-1..1", "0..1", "0..255", "imagenet" (PyTorch's mean and standard deviation), or a pair (mean, std),
            each a number or one for each channel: in pixels, or in shares of 255 when none is above 1; as text
            "mean,mean,mean/std,std,std"; or a `PixelScaling`.

    Raises:
        UserError: It is none of these.
    """
    if isinstance(pixels, PixelScaling):
        return pixels
    pair = pixels
    if isinstance(pixels, str):
        text = "".join(pixels.replace("−", "-").replace("–", "-").replace("…", "..").lower().split())
        text = text.replace("...", "..")
        if text in NAMED:
            return PixelScaling(*NAMED[text], "as said")
        pair = [part.split(",") for part in text.split("/")]
    try:
        mean, std = (tuple(map(float, np.ravel(part))) for part in pair)
    except (TypeError, ValueError):
        raise _unknown(pixels) from None
    if not len(mean) == len(std) or len(mean) not in (1, 3) or not np.isfinite([mean, std]).all() or min(std) <= 0:
        raise _unknown(pixels)
    if not any(mean) and set(std) == {1}:
        raise UserError(f"pixels={pixels!r}: mean 0 and std 1 may be of pixels or of shares; say 0..255 or 0..1")
    if max(std) <= 1 and max(map(abs, mean)) <= 1:
        mean, std = tuple(255 * x for x in mean), tuple(255 * x for x in std)
    return PixelScaling(mean, std, "as said")


def _unknown(pixels: Any) -> UserError:
    return UserError(
        f"pixels={pixels!r}: choose {', '.join(NAMED)}, or give a pair (mean, std), each a number or one for each of "
        "three channels, std above 0"
    )


def nearest(low: float, high: float) -> tuple[PixelScaling, float]:
    """The usual scaling whose range is nearest, and by how much of that range it differs at an end."""
    known = [PixelScaling(*pair, f"nearest to {low:.3g}..{high:.3g}") for pair in NAMED.values()]
    found = [(scaling, _distance(scaling.range, (low, high))) for scaling in known]
    return min(found, key=lambda each: each[1])


def _distance(one: Sequence[float], other: Sequence[float]) -> float:
    return max(abs(a - b) for a, b in zip(one, other, strict=True)) / (one[1] - one[0])


def _listed(values: Sequence[float]) -> str:
    return " ".join(f"{value:.4g}" for value in values)


def preprocess_input(images: Any) -> Any:
    """Scales pixels to what every model of the package takes: x / 127.5 − 1.

    Args:
        images: Pixels 0..255 in RGB order, any shape and dtype: an array, a list, or a tensor of the Keras backend.

    Returns:
        float32 of the same shape in [−1, 1]: a tensor for a tensor, otherwise a NumPy array.
    """
    if isinstance(images, np.ndarray | np.generic | list | tuple):
        return np.asarray(images, np.float32) / np.float32(127.5) - np.float32(1)
    from keras import ops

    return ops.cast(images, "float32") / 127.5 - 1.0
