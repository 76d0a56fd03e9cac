"""What is written of the boxes of an image, whichever file says it, and what of it can be trained on."""

import math
import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from keras_mobilenets.plurals import count

SLACK = 0.01  # rounding of whole pixels, as a share of a side


@dataclass
class Annotated:
    """An image and its boxes.

    Attributes:
        image: Its file.
        boxes: Of each y1, x1, y2, x2 in shares of the image's height and width, class, 1 where it is not judged.
        size: Width and height of the image that they were drawn in; None where that is the image as it is shown.
    """

    image: Path
    boxes: list[tuple[float, ...]] = field(default_factory=list)
    size: tuple[int, int] | None = None

    def rows(self, remarks: "Remarks") -> np.ndarray:
        """The boxes K×6 inside the image; remarks are made of those that are cut at its edge or left out."""
        kept = []
        for box in self.boxes:
            if flaw := _flaw(box):
                remarks.add(flaw[0], "box", flaw[1], f"in {self.image.name}")
            inside = np.clip(box[:4], 0.0, 1.0)
            if np.isfinite(box).all() and inside[2] > inside[0] and inside[3] > inside[1]:
                kept.append((*inside, *box[4:]))
        return np.array(kept, np.float32).reshape(-1, 6)


class Remarks:
    """What is left out of a folder or changed: counted, so that each kind is said in one line."""

    def __init__(self) -> None:
        """There is none yet."""
        self._cases: dict[tuple[str, str, str], list[str]] = defaultdict(list)

    def add(self, did: str, thing: str, which: str, case: str) -> None:
        """Takes one more, such as "left out", "box", "of no area" and "in a.jpg"."""
        self._cases[did, thing, which].append(case)

    def say(self, where: str) -> None:
        """Warns of each kind with its number and one case, such as "left out 3 boxes of no area, such as in a.jpg"."""
        for (did, thing, which), cases in self._cases.items():
            warnings.warn(f"{where}: {did} {count(len(cases), thing)} {which}, such as {cases[0]}", stacklevel=2)


def most(tables: Sequence[np.ndarray]) -> int:
    """The most boxes of an image, 1 at least."""
    return max(1, *map(len, tables)) if tables else 1


def _flaw(box: tuple[float, ...]) -> tuple[str, str] | None:
    """What becomes of a box that cannot stay as it is, and what is wrong with it."""
    y1, x1, y2, x2 = box[:4]
    if not all(map(math.isfinite, box)):
        return "left out", "without finite numbers"
    if not (y2 > y1 and x2 > x1):
        return "left out", "of no area"
    if min(y2, x2) <= 0 or max(y1, x1) >= 1:
        return "left out", "outside of the image"
    return ("cut", "reaching outside") if min(y1, x1) < -SLACK or max(y2, x2) > 1 + SLACK else None
