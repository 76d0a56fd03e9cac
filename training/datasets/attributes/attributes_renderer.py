"""Draws the images of the data set `shapes_attributes`: a shape among clutter that has, or lacks, five attributes.

They are independent of each other and differently frequent. An image is a function of (seed, split, index) alone. As
shapes_renderer.py, whose strokes it uses, it is also a program that streams PNG images.
"""

import numpy as np
from PIL import Image

from keras_mobilenets.training.datasets import shapes_renderer as strokes

ATTRIBUTES = {"large": 0.4, "occluded": 0.2, "round": 0.5, "striped": 0.3, "warm": 0.15}  # share of images with each
ROUND = ("crescent", "disc", "heart", "ring")
ANGULAR = ("arrow", "bolt", "cross", "square", "star", "triangle")
RADII = {True: (0.29, 0.37), False: (0.17, 0.24)}  # of large shapes and of others, as shares of the side


def attributes_of(seed: int, split: int, index: int) -> np.ndarray:
    """Which attributes image `index` of split number `split` has: bool, in the order of ATTRIBUTES."""
    return _drawn(np.random.default_rng([seed, split, index]))


def example(seed: int, split: int, index: int, size: int = strokes.SIZE) -> np.ndarray:
    """Draws image `index` of split number `split`.

    Returns:
        uint8 of shape (size, size, 3); the same for the same arguments, whatever was drawn before.
    """
    rng = np.random.default_rng([seed, split, index])
    return render(_drawn(rng), rng, size)


def render(attributes: np.ndarray, rng: np.random.Generator, size: int = strokes.SIZE) -> np.ndarray:
    """Draws one shape on a cluttered background.

    Args:
        attributes: Which of ATTRIBUTES it has, in their order.
        rng: The source of every other choice.
        size: Height and width in pixels.

    Returns:
        RGB pixels, uint8 of shape (size, size, 3).
    """
    has = dict(zip(ATTRIBUTES, map(bool, attributes), strict=True))
    background, figure = _colours(has["warm"], rng)
    canvas = strokes.texture(background, rng, size)
    strokes.clutter(canvas, rng)
    radius = canvas.width * rng.uniform(*RADII[has["large"]])
    centre = canvas.width * rng.uniform(0.37, 0.63, 2)
    name = rng.choice(ROUND if has["round"] else ANGULAR)
    rings = strokes.pose(strokes.outline(strokes.LABELS.index(name), rng), rng)
    surface = _stripes(figure, rng, size) if has["striped"] else strokes.texture(figure, rng, size)
    canvas.paste(surface, mask=strokes.silhouette([ring * radius + centre for ring in rings], canvas.width))
    if has["occluded"]:
        strokes.bar(canvas, centre, radius, rng, 0.5, (0.9, 1.6), (0.2, 0.35))
    return strokes.photograph(canvas.reduce(strokes.SUPERSAMPLE), rng)


def _drawn(rng: np.random.Generator) -> np.ndarray:
    return rng.random(len(ATTRIBUTES)) < list(ATTRIBUTES.values())


def _colours(is_warm: bool, rng: np.random.Generator) -> np.ndarray:
    """Background and figure; a warm figure has clearly more red than blue, another one clearly less."""
    while True:
        colours = strokes.two_colours(rng)
        excess = colours[1, 0] - colours[1, 2]
        if (excess > 40) if is_warm else (excess < -10):
            return colours


def _stripes(colour: np.ndarray, rng: np.random.Generator, size: int) -> Image.Image:
    """A canvas of light and dark stripes, six to eleven across the image."""
    y, x = np.mgrid[0:size, 0:size] / size
    angle = rng.uniform(0, np.pi)
    along = x * np.cos(angle) + y * np.sin(angle)
    swing = rng.uniform(25, 45) * np.sign(np.sin(2 * np.pi * rng.uniform(6, 11) * along))
    pixels = np.clip(colour + swing[..., None], 0, 255).astype(np.uint8)
    return Image.fromarray(pixels).resize((size * strokes.SUPERSAMPLE,) * 2, Image.Resampling.NEAREST)


if __name__ == "__main__":
    strokes.write_images(example)
