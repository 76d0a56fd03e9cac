"""Image decoding: any format of Pillow to uint8 RGB squares, upright, resized with antialiasing, centre-cropped."""

import itertools
import sys
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageChops, ImageOps, UnidentifiedImageError

from keras_mobilenets.errors import first_line

# Transposition by EXIF orientation. (ImageOps.exif_transpose also rewrites other tags, and fails on malformed ones.)
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_QUARTERS = tuple(_TURNS[number] for number in (5, 6, 7, 8))
_MAX_SAMPLE_VALUE = 281  # the tag of TIFF 6.0, section 8
_SWAPPED = {  # raw modes of 16-bit colours, and the same ones of the other byte order
    f"{mode};16{order}": f"{mode};16{other}"
    for mode in ("RGB", "RGBA")
    for order, other in (("B", "L"), ("L", "B"), ("N", "B" if sys.byteorder == "little" else "L"))
} | {"LA;16B": "RGBA"}


class BitDepth:
    """The significant bits of a data set's images that are stored in 16 bits a channel.

    Microscopes, medical and industrial cameras store 10, 12 or 14 bits in 16; read as 16 bits, they are nearly black.
    One depth for all images keeps their brightness comparable.
    """

    def __init__(self, name: str, files: Sequence[str | Path]) -> None:
        """Takes the data set's name, for the message, and its images; the first 512 of 16 bits tell the depth."""
        self._name, self._files, self._lock = name, files, threading.Lock()
        self._bits: int | None = None

    def bits(self) -> int:
        """The most significant bits of any image; says so where they are fewer than 16. Reads the images once."""
        with self._lock:
            if self._bits is None:
                found = itertools.islice(filter(None, map(_bits_of_file, self._files)), 512)
                self._bits = max(found, default=16)
                if self._bits < 16:
                    warnings.warn(
                        f"{self._name}: takes 16-bit images as {self._bits}-bit, since none is brighter:"
                        f" {2**self._bits - 1} is white",
                        stacklevel=2,
                    )
            return self._bits


def read_image(
    file: str | Path,
    size: int,
    depth: BitDepth | None = None,
    whole: bool = False,
    frame: tuple[int, int] | None = None,
) -> np.ndarray:
    """Reads one image file as uint8 size×size×3: with its EXIF orientation, CMYK and greyscale converted to RGB.

    Args:
        file: Its path; of several pages, the first is read.
        size: Height and width in pixels.
        depth: Of the data set, for an image of 16 bits a channel; None for what its tags or its brightest pixel say.
        whole: Stretched to the square rather than cropped, as detectors see it.
        frame: Width and height of the image in which boxes were drawn, where they are known: where that is how the file
            stores it, it is not turned.

    Raises:
        Exception: It is damaged or no image, or of other sides than the frame; Pillow raises OSError, SyntaxError,
            ValueError and others.
    """
    with Image.open(file) as image:
        stored = image.size
        image.draft(None, (2 * size, 2 * size))  # large JPEGs decode faster at reduced size
        deep = _deep_pixels(image)
        image.load()
        shown: Image.Image = image
        if deep is not None:
            shown = Image.fromarray(_in_8_bits(image, deep, depth))
        elif image.mode == "CMYK" and image.format in ("JPEG", "MPO") and "adobe" not in image.info:
            # Adobe stores inverted CMYK and marks the file; Pillow inverts every CMYK file.
            shown = ImageChops.invert(image)
        turn = _turn(image, stored, frame)
        return squared(shown if turn is None else shown.transpose(turn), size, whole)


def shown_size(file: str | Path) -> tuple[int, int]:
    """Width and height of an image file in its EXIF orientation; its pixels are not read.

    Raises:
        Exception: As `read_image`.
    """
    with Image.open(file) as image:
        return _turned(image.size, _turn(image, image.size))


def why_unreadable(error: Exception) -> str:
    """The message for an error of `read_image`."""
    return "it is damaged or no image" if isinstance(error, UnidentifiedImageError) else first_line(error)


def center_crop(image: Image.Image | np.ndarray, size: int) -> np.ndarray:
    """Resizes the shorter side to `size` (antialiased, bilinear), crops the centre, rounds to uint8 RGB."""
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image)
    return np.asarray(ImageOps.fit(_rgb(image), (size, size), Image.Resampling.BILINEAR))


def squared(image: Image.Image | np.ndarray, size: int, whole: bool) -> np.ndarray:
    """`center_crop`, or the whole image stretched to the square (antialiased, bilinear)."""
    if not whole:
        return center_crop(image, size)
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image)
    return np.asarray(_rgb(image).resize((size, size), Image.Resampling.BILINEAR))


def _turn(image: Image.Image, size: tuple[int, int], frame: tuple[int, int] | None = None) -> Image.Transpose | None:
    """How an image of that stored size is turned to be upright, or to be in a frame; None for not at all."""
    turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    shown = _turned(size, turn)
    if frame is None or _alike(shown, frame):
        return turn
    if not _alike(size, frame):
        raise ValueError(f"it has {shown[0]}×{shown[1]} pixels and its annotation says {frame[0]}×{frame[1]}")
    return None


def _turned(size: tuple[int, int], turn: Image.Transpose | None) -> tuple[int, int]:
    return size[::-1] if turn in _QUARTERS else size


def _alike(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two sizes have the same sides' ratio, but for a pixel of rounding: one image may be resized."""
    return abs(one[0] * other[1] - one[1] * other[0]) <= max(*one, *other)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        values = np.asarray(image)
        if not (values.min() >= 0 and values.max() <= 1):
            raise ValueError("its pixels are floating-point numbers of unknown range, not 0 to 1")
        image = Image.fromarray(np.rint(values * 255).astype(np.uint8))
    if image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _deep_pixels(image: Any) -> np.ndarray | None:
    """The pixels of an image of more than 8 bits a channel, as integers; None for any other."""
    if image.mode.startswith("I"):
        return np.asarray(image).astype(np.int64)
    raw = _raw_mode(image)
    if raw not in _SWAPPED:
        return None
    # Pillow keeps the high byte of 16-bit colours; read in the other byte order, the same file gives the low byte.
    with Image.open(image.filename) as other:
        other.tile = [tile._replace(args=_with_raw_mode(tile.args, _SWAPPED[raw])) for tile in other.tile]
        low = np.asarray(other)
    if raw == "LA;16B":  # which has no other order; its four bytes are two of grey and two of alpha
        low = low[..., [1, 1, 1, 3]]
    return np.asarray(image).astype(np.int64) << 8 | low


def _in_8_bits(image: Image.Image, pixels: np.ndarray, depth: BitDepth | None) -> np.ndarray:
    bits = _bits(image, pixels[..., :3] if pixels.ndim == 3 else pixels)
    shown = (pixels >> (max(bits, depth.bits()) if depth else bits) - 8).astype(np.uint8)
    if pixels.shape[2:] == (4,):  # alpha may be of 16 bits where the colours are of 12
        shown[..., 3] = pixels[..., 3] >> _bits(image, pixels[..., 3]) - 8
    return shown


def _raw_mode(image: Any) -> Any:
    """How the file stores pixels, in Pillow's words; None where it does not say."""
    args = image.tile[0].args if image.tile else None
    return args[0] if isinstance(args, tuple) and args else args


def _with_raw_mode(args: Any, raw: str) -> Any:
    return (raw, *args[1:]) if isinstance(args, tuple) else raw


def _bits(image: Image.Image, pixels: np.ndarray) -> int:
    """The significant bits of deep pixels: by the tags of a TIFF file, else the fewest that hold them all."""
    if pixels.min() < 0 or pixels.max() >= 2**16:
        raise ValueError(f"its pixels run from {pixels.min()} to {pixels.max()}, of unknown range")
    tags = getattr(image, "tag_v2", {})
    white, stored = tags.get(_MAX_SAMPLE_VALUE), max(tags.get(ExifTags.Base.BitsPerSample, (16,)))
    declared = max(white if isinstance(white, tuple) else (white,)).bit_length() if white else stored
    least = 8 if declared >= 16 else declared  # 32 bits are those of the container
    return next(bits for bits in (8, 10, 12, 14, 16) if pixels.max() < 2**bits and bits >= least)


def _bits_of_file(file: str | Path) -> int | None:
    """The significant bits of an image file of 16 bits a channel; None of others, and of those that cannot be read."""
    try:
        with Image.open(file) as image:
            deep = _deep_pixels(image)
            return None if deep is None else _bits(image, deep[..., :3] if deep.ndim == 3 else deep)
    except Exception:  # whoever reads the image says why
        return None
