"""Anchors of an SSD detector, and boxes as offsets from them.

SSD: Liu et al. 2016, arXiv:1512.02325, section 2.2. Boxes are (y, x) from the image's upper left corner, in shares of
its height and width.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_mobilenets.errors import UserError

LOWEST, HIGHEST = 0.2, 0.95  # scales of the first and of the last map, as shares of the image
# One offset is a tenth of an anchor's side, or a fifth of e-fold its size: the variances 0.1 and 0.2 of SSD's code.
CENTER, SIZE = 10.0, 5.0


class Shape(NamedTuple):
    """The shape of an anchor.

    Attributes:
        scale: Square root of its area: "own" of the map, "between" this map and the next (geometric mean), "half".
        ratio: Width over height.
    """

    scale: str
    ratio: float


# By the number of anchors at each position of a map.
SHAPES = {
    3: (Shape("half", 1.0), Shape("own", 2.0), Shape("own", 1 / 2)),  # a fine map whose small anchors would be many
    6: (
        Shape("own", 1.0),
        Shape("between", 1.0),
        Shape("own", 2.0),
        Shape("own", 1 / 2),
        Shape("own", 3.0),
        Shape("own", 1 / 3),
    ),
}


def anchors(maps: Sequence[tuple[int, int, int]]) -> np.ndarray:
    """The anchors of a detector, map by map, row by row, at each position in the order of `SHAPES`.

    Args:
        maps: Height and width in positions, and anchors at each, of every map, the finest first.

    Returns:
        float32 A×4: centre y, centre x, height, width.
    """
    scales = [*np.linspace(LOWEST, HIGHEST, len(maps)), 1.0]
    boxes = []
    for (height, width, count), own, following in zip(maps, scales, scales[1:], strict=False):
        by_name = {"own": own, "between": np.sqrt(own * following), "half": own / 2}
        shapes = [(by_name[scale] / np.sqrt(ratio), by_name[scale] * np.sqrt(ratio)) for scale, ratio in SHAPES[count]]
        sides = np.clip(np.array(shapes), 0.0, 1.0)
        y, x = np.mgrid[0:height, 0:width] + 0.5
        centers = np.stack([y / height, x / width], axis=-1).reshape(-1, 1, 2)
        boxes.append(np.concatenate(np.broadcast_arrays(centers, sides[None]), axis=-1).reshape(-1, 4))
    return np.concatenate(boxes).astype(np.float32)


def anchors_of(model: Any) -> np.ndarray:
    """The anchors of a model that `SSDLite` made: float32 A×4, as `anchors`.

    Args:
        model: Of Keras 3 or of tf_keras, whose layers may be in tfmot's wrappers.

    Raises:
        UserError: It is no such model.
    """
    layers = {getattr(layer, "layer", layer).name: layer for layer in model.layers}
    maps: list[tuple[int, int, int]] = []
    while f"boxes_{len(maps)}" in layers:
        output = layers[f"boxes_{len(maps)}"].output.shape
        maps.append((int(output[1]), int(output[2]), int(output[3]) // 4))
    if not maps:
        raise UserError(f"{model.name} is no detector: build it with km.SSDLite, or SSDLiteMobileNetV2 by its name")
    return anchors(maps)


def corners(centered: np.ndarray) -> np.ndarray:
    """Boxes (…, 4) of centre y, centre x, height, width as y1, x1, y2, x2."""
    center, half = centered[..., :2], centered[..., 2:] / 2
    return np.concatenate([center - half, center + half], axis=-1)


def decoded(offsets: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Boxes of the offsets that a detector gives.

    Args:
        offsets: float, …×A×4: of the centre's y and x, in `CENTER`ths of the anchor's sides; of the logarithms of
            height and width, in `SIZE`ths.
        anchors: A×4, as `anchors`.

    Returns:
        float32 …×A×4: y1, x1, y2, x2, which may reach beyond the image.
    """
    center = anchors[:, :2] + anchors[:, 2:] * offsets[..., :2] / CENTER
    size = anchors[:, 2:] * np.exp(offsets[..., 2:] / SIZE)
    return corners(np.concatenate([center, size], axis=-1)).astype(np.float32)
