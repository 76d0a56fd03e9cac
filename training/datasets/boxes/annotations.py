"""What is written of the boxes of an image, whichever file says it, and what of it can be trained on."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


@dataclass
class Annotated:
    """An image and its boxes.

    Attributes:
        image: Its file.
        boxes: Of each y1, x1, y2, x2 in shares of the image's height and width, class, 1 where it is not judged.
    """

    image: Path
    boxes: list[tuple[float, ...]] = field(default_factory=list)

    def rows(self, where: str) -> np.ndarray:
        """The boxes K×6 inside the image; a warning names those that are cut at its edge, and those of no area.

        Args:
            where: What the boxes are written in.
        """
        kept = []
        for box in self.boxes:
            reason = "is of no finite numbers" if not all(map(math.isfinite, box)) else _flaw(box)
            if reason:
                warnings.warn(f"{where}: a box of {self.image.name} {reason}", stacklevel=2)
            inside = np.clip(np.nan_to_num(box[:4]), 0.0, 1.0)
            if inside[2] > inside[0] and inside[3] > inside[1]:
                kept.append((*inside, *box[4:]))
        return np.array(kept, np.float32).reshape(-1, 6)


def most(tables: Sequence[np.ndarray]) -> int:
    """The most boxes of an image, 1 at least."""
    return max(1, *map(len, tables)) if tables else 1


def _flaw(box: tuple[float, ...]) -> str:
    y1, x1, y2, x2 = box[:4]
    if not (y2 > y1 and x2 > x1):
        return "has no area and is left out"
    if min(y2, x2) <= 0 or max(y1, x1) >= 1:
        return "is outside and left out"
    slack = 0.01  # rounding of whole pixels
    return "reaches outside and is cut" if min(y1, x1) < -slack or max(y2, x2) > 1 + slack else ""
