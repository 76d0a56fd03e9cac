"""A detector's boxes in a bundle: those of its images in the manifest, and its answers to the probes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_mobilenets.tflite.runtime.model import Model

DETECTION = "detection"
COLUMNS = 6  # y1, x1, y2, x2 in shares of the image's height and width; class; 1 where it is not judged
_PADDING = (0.0, 0.0, 0.0, 0.0, -1.0, 0.0)

Row = tuple[float, ...]


def rows(table: np.ndarray) -> tuple[Row, ...]:
    """The boxes of an image, without a table's padding: M×6 as `load_data` gives it."""
    return tuple(tuple(map(float, row)) for row in np.asarray(table) if row[4] >= 0)


def tables(images: Sequence[Sequence[Row]]) -> np.ndarray:
    """Tables of boxes as `evaluate` takes them, float32 N×M×6, of the boxes of each image."""
    found = np.full((len(images), max(1, *map(len, images)), COLUMNS), _PADDING, np.float32)
    for table, boxes in zip(found, images, strict=True):
        table[: len(boxes)] = boxes or np.empty((0, COLUMNS))
    return found


def values(most: int) -> int:
    """How many numbers a detector answers that gives so many boxes: each box, its class and its score; their number."""
    return most * COLUMNS + 1


def answers(model: Model, inputs: np.ndarray) -> np.ndarray:
    """What a detector answers, its outputs one behind the other: float32 inputs×values.

    What stands behind the last box is 0: the runtime leaves there what was in its memory.
    """
    found = []
    for value in inputs:
        model.feed(value[None])
        model.invoke()
        *listed, number = model.read_outputs()
        for output in listed:
            output[0, int(number[0]) :] = 0
        found.append(np.concatenate([output.reshape(-1) for output in (*listed, number)]))
    return np.stack(found).astype(np.float32)


def problem(images: Sequence[Any], classes: int) -> str:
    """What is wrong with boxes that were read; empty when nothing is."""
    for boxes in images:
        for box in boxes:
            if box[4] != int(box[4]) or not 0 <= box[4] < classes:
                return f"a box is of class {box[4]:g}, and there are {classes}"
    return ""
