"""detection.npz: precision by recall of a detector on a split, and its worst misses.

It is read without TensorFlow and without pickle.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from keras_mobilenets.training.evaluation.examination_file import ExaminationFile
from keras_mobilenets.training.evaluation.forward_pass import answers
from keras_mobilenets.training.introspection import without_nesting

MISSES = 12  # images
SURE = 0.3  # score from which a box is drawn


@dataclass(frozen=True)
class DetectionExamination(ExaminationFile):
    """What a detector finds on a split.

    Attributes:
        class_names: The C classes.
        split: "train", "validation" or "test".
        count: Number of images of the split.
        map: Mean average precision over IoU 0.5 to 0.95, 0..1; NaN where there is no box.
        map50: At IoU 0.5.
        by_size: `map` of small, medium and large boxes, by pixels of the model's input.
        by_class: float64 C: `map50` of each class, NaN where it has no box.
        recall: float64 R, 0..1.
        precision: float64 R×C, by recall, at IoU 0.5.
        images: uint8 M×S×S×3: those with the most missed boxes and false ones.
        truth: float32 M×B×6: their boxes, as `boxes` says.
        answers: float32 M×K×6: y1, x1, y2, x2, class (−1 where there is none), score of what was found from `SURE` on.
        model_sha256: SHA-256 of the model's file, in hexadecimal; empty where there is none.
    """

    TASK: ClassVar[str] = "detection"
    FILE: ClassVar[str] = "detection.npz"
    class_names: tuple[str, ...]
    split: str
    count: int
    map: float
    map50: float
    by_size: dict[str, float]
    by_class: np.ndarray
    recall: np.ndarray
    precision: np.ndarray
    images: np.ndarray
    truth: np.ndarray
    answers: np.ndarray
    model_sha256: str = ""


def examine(model: Any, data: Any, split: str = "validation", misses: int = MISSES) -> DetectionExamination:
    """Judges a detector on a split.

    Args:
        model: As `SSDLite`, of Keras 3 or tf_keras.
        data: What `load_data` returns, of boxes.
        split: "train", "validation" or "test".
        misses: Maximum number of images to keep.

    Raises:
        UserError: There is no such split, or the model is no detector of its classes.
    """
    from keras_mobilenets.models.detection.anchors import anchors_of
    from keras_mobilenets.training.tasks.detection.average_precision import average_precision
    from keras_mobilenets.training.tasks.detection.suppression import found

    model = without_nesting(model)
    data.task.check(model, data.name)
    data, anchors = data.scaled_for(model), anchors_of(model)
    tables, boxes = [], []
    for _, labels, outputs in answers(model, data, split):
        boxes += found(outputs, anchors)
        tables.append(labels)
    truth = np.concatenate(tables)
    judged = average_precision(truth, boxes, len(data.class_names), data.kind.shape[:2])
    errors = [_errors(table, each) for table, each in zip(truth, boxes, strict=True)]
    worst = np.argsort(-np.array(errors), kind="stable")[:misses]
    worst = worst[np.array(errors)[worst] > 0]
    return DetectionExamination(
        tuple(data.class_names),
        split,
        len(truth),
        judged.map,
        judged.map50,
        judged.by_size,
        judged.by_class,
        judged.recall,
        judged.precision,
        _pictures(data, split, worst),
        truth[worst],
        _stacked([boxes[place] for place in worst]),
    )


def examine_into(run_dir: str | Path, model: Any, data: Any, again: bool = False) -> DetectionExamination:
    """Writes the examination of a run's model on its validation images, unless it is up to date.

    Args:
        run_dir: The folder, with model.keras; detection.npz is written into it.
        model: The model of model.keras.
        data: The training data.
        again: Whether to evaluate again even where it is up to date.
    """
    return DetectionExamination.up_to_date(run_dir, lambda: examine(model, data), again)


def _errors(table: np.ndarray, found: Any) -> int:
    """Boxes that were missed, and sure ones where none is."""
    from keras_mobilenets.training.tasks.detection.boxes import overlap

    there = table[(table[:, 4] >= 0) & (table[:, 5] == 0)]
    sure = found.scores >= SURE
    same = np.asarray(overlap(there[None, :, :4], found.boxes[sure]))[0] >= 0.5
    same &= there[:, 4, None] == found.classes[sure][None]
    hits = int(min(same.any(axis=0).sum(), same.any(axis=1).sum()))
    return len(there) + int(sure.sum()) - 2 * hits


def _pictures(data: Any, split: str, places: np.ndarray) -> np.ndarray:
    """Some images of a split, which is not held as a whole."""
    first = 0
    kept: dict[int, np.ndarray] = {}
    for images, _ in data.pixels(split):
        kept |= {int(place): images[place - first].numpy() for place in places if first <= place < first + len(images)}
        first += len(images)
    return np.array([kept[int(place)] for place in places], np.uint8).reshape(-1, *data.kind.shape)


def _stacked(answers: list[Any]) -> np.ndarray:
    """What was found from `SURE` on, of each image as many rows."""
    sure = [
        np.concatenate([each.boxes, each.classes[:, None], each.scores[:, None]], axis=1)[each.scores >= SURE]
        for each in answers
    ]
    most = max(map(len, sure), default=0)
    rows = np.tile(np.array((0, 0, 0, 0, -1, 0), np.float32), (len(sure), most, 1))
    for place, each in enumerate(sure):
        rows[place, : len(each)] = each
    return rows
