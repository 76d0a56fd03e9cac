"""Mean average precision of boxes by pycocotools, the program that COCO's figures are made with."""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_mobilenets.training.tasks.detection.suppression import Found

SMALL, LARGE = 32**2, 96**2  # pixels of area between which a box is of medium size
SIZES = ("all", "small", "medium", "large")


@dataclass(frozen=True)
class AveragePrecision:
    """How well boxes were found, averaged over the classes; NaN where there are none.

    Attributes:
        map: Mean average precision over IoU 0.5, 0.55 to 0.95, 0..1.
        map50: At IoU 0.5.
        by_class: float C: `map50` of each class.
        by_size: `map` of small, medium and large boxes; by pixels of the model's input.
        recall: float 101: 0, 0.01 to 1.
        precision: float 101×C: at IoU 0.5, by recall.
    """

    map: float
    map50: float
    by_class: np.ndarray
    by_size: dict[str, float]
    recall: np.ndarray
    precision: np.ndarray


def average_precision(
    tables: np.ndarray, answers: Sequence[Found], classes: int, size: tuple[int, int]
) -> AveragePrecision:
    """Judges what was found.

    Args:
        tables: N×M×6: what is there, as `boxes` says.
        answers: Of each image.
        classes: Their number.
        size: Height and width of the images in pixels, by which boxes are small or large.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth, said = COCO(), COCO()
    with contextlib.redirect_stdout(io.StringIO()):
        described = {
            "images": [{"id": number, "height": size[0], "width": size[1]} for number in range(len(tables))],
            "categories": [{"id": number, "name": str(number)} for number in range(classes)],
        }
        truth.dataset = described | {"annotations": _annotations(tables, size)}
        said.dataset = described | {"annotations": _results(answers, size)}
        truth.createIndex()
        said.createIndex()
        judged = COCOeval(truth, said, "bbox")
        judged.evaluate()
        judged.accumulate()
    precision = judged.eval["precision"]  # IoU × recall × class × size × most boxes
    precision = np.where(precision < 0, np.nan, precision)[..., -1]
    by_size = {name: _mean(precision[..., place]) for place, name in enumerate(SIZES)}
    curves = precision[0, :, :, 0]
    by_class = np.array([_mean(curves[:, number]) for number in range(classes)])
    return AveragePrecision(
        by_size.pop("all"), _mean(curves), by_class, by_size, np.asarray(judged.params.recThrs), curves
    )


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _annotations(tables: np.ndarray, size: tuple[int, int]) -> list[dict[str, Any]]:
    rows = [(image, row) for image, table in enumerate(tables) for row in table if row[4] >= 0]
    return [
        _annotation(number, image, row[:4], int(row[4]), size) | {"iscrowd": int(row[5])}
        for number, (image, row) in enumerate(rows, 1)
    ]


def _results(answers: Sequence[Found], size: tuple[int, int]) -> list[dict[str, Any]]:
    rows = [(image, *row) for image, each in enumerate(answers) for row in zip(*each, strict=True)]
    return [
        _annotation(number, image, box, int(label), size) | {"score": float(score), "iscrowd": 0}
        for number, (image, box, score, label) in enumerate(rows, 1)
    ]


def _annotation(number: int, image: int, box: np.ndarray, label: int, size: tuple[int, int]) -> dict[str, Any]:
    y1, x1, y2, x2 = (np.asarray(box, np.float64) * (*size, *size)).tolist()
    area = max(0.0, y2 - y1) * max(0.0, x2 - x1)
    return {"id": number, "image_id": image, "category_id": label, "bbox": [x1, y1, x2 - x1, y2 - y1], "area": area}
