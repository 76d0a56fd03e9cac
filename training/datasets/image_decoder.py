"""Image decoding: any format of Pillow to uint8 RGB squares, upright, resized with antialiasing, centre-cropped."""

from pathlib import Path

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


def read_image(file: str | Path, size: int) -> np.ndarray:
    """Reads one image file as uint8 size×size×3: with its EXIF orientation, CMYK and greyscale converted to RGB.

    Raises:
        Exception: It is damaged or no image; Pillow raises OSError, SyntaxError, ValueError and others.
    """
    with Image.open(file) as image:
        image.draft(None, (2 * size, 2 * size))  # large JPEGs decode faster at reduced size
        image.load()
        upright = _upright(image)
        if image.mode == "CMYK" and image.format in ("JPEG", "MPO") and "adobe" not in image.info:
            # Adobe stores inverted CMYK and marks the file; Pillow inverts every CMYK file.
            upright = ImageChops.invert(upright)
    return center_crop(upright, size)


def why_unreadable(error: Exception) -> str:
    """The message for an error of `read_image`."""
    return "it is damaged or no image" if isinstance(error, UnidentifiedImageError) else first_line(error)


def center_crop(image: Image.Image | np.ndarray, size: int) -> np.ndarray:
    """Resizes the shorter side to `size` (antialiased, bilinear), crops the centre, rounds to uint8 RGB."""
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image)
    return np.asarray(ImageOps.fit(_rgb(image), (size, size), Image.Resampling.BILINEAR))


def _upright(image: Image.Image) -> Image.Image:
    turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    return image if turn is None else image.transpose(turn)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers of unknown range")
    if image.mode.startswith("I"):  # 16-bit grey, which Pillow would clip at 255
        image = Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
    if image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")
