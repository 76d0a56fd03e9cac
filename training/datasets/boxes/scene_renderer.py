"""Draws the images of the embedded data set `shapes_detection`: several of the shapes of `shapes` in clutter."""

import numpy as np

from keras_mobilenets.training.datasets import shapes_renderer as shapes

SIZE = 160
MOST = 6  # shapes in an image
SMALLEST, LARGEST = 0.11, 0.24  # radius, as a share of the side
APART = 0.15  # the most that two boxes share, as intersection over union
TRIES = 20


def scene(seed: int, split: int, index: int, size: int = SIZE) -> tuple[np.ndarray, list[tuple[float, ...]]]:
    """Draws image `index` of split number `split`.

    Returns:
        uint8 size×size×3; and of each shape y1, x1, y2, x2 in shares of the side, and its class in
        `shapes_renderer.LABELS`. The same for the same arguments, whatever was drawn before.
    """
    rng = np.random.default_rng([seed, split, index])
    background, _ = shapes.two_colours(rng)
    canvas = shapes.texture(background, rng, size)
    shapes.clutter(canvas, rng)
    boxes: list[tuple[float, ...]] = []
    for place in range(rng.integers(1, MOST + 1)):
        label = (index * MOST + place) % len(shapes.LABELS)
        drawn = _shape(label, boxes, canvas.width, rng)
        if drawn is None:
            continue
        rings, box = drawn
        canvas.paste(shapes.texture(_seen_on(background, rng), rng, size), mask=shapes.silhouette(rings, canvas.width))
        boxes.append((*box, label))
    return shapes.photograph(canvas.reduce(shapes.SUPERSAMPLE), rng), boxes


def _shape(
    label: int, others: list[tuple[float, ...]], side: int, rng: np.random.Generator
) -> tuple[list[np.ndarray], tuple[float, ...]] | None:
    """The rings of a shape in the canvas's pixels and its box, where there is room for it."""
    rings = shapes.pose(shapes.outline(label, rng), rng)
    for _ in range(TRIES):
        radius = rng.uniform(SMALLEST, LARGEST)
        placed = [ring * radius + rng.uniform(0, 1, 2) for ring in rings[:1]]
        low, high = placed[0].min(axis=0), placed[0].max(axis=0)
        box = (low[1], low[0], high[1], high[0])
        if min(low) >= 0 and max(high) <= 1 and all(_overlap(box, other) <= APART for other in others):
            center = placed[0][0] - rings[0][0] * radius
            return [(ring * radius + center) * side for ring in rings], tuple(map(float, box))
    return None


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Intersection over union."""
    sides = [min(one[k + 2], other[k + 2]) - max(one[k], other[k]) for k in (0, 1)]
    shared = max(0.0, sides[0]) * max(0.0, sides[1])
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(areas) - shared)


def _seen_on(background: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A colour that differs enough in brightness for a shape to be seen."""
    while True:
        colour = rng.uniform(20, 235, 3)
        if abs(np.dot(colour - background, (0.299, 0.587, 0.114))) > 60:
            return colour
