"""A folder of images with boxes as a data set, in COCO's form or YOLO's."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.training.datasets.boxes import coco_json, yolo_text
from keras_mobilenets.training.datasets.boxes.annotations import Annotated, most
from keras_mobilenets.training.datasets.file_split import file_split
from keras_mobilenets.training.datasets.kind import Kind
from keras_mobilenets.training.datasets.split import Split, share_of
from keras_mobilenets.training.tasks.detection.detection import Detection

PARTS = ("train", "validation", "test")


def holds_boxes(folder: Path) -> bool:
    """Whether a folder is in the form of COCO or YOLO."""
    return bool(coco_json.files(folder) or yolo_text.names_file(folder))


def open_box_folder(
    folder: Path, kind: Kind, limits: Mapping[str, int] | None = None
) -> tuple[Detection, dict[str, Split]]:
    """Reads the annotations of a folder, and none of its images.

    A missing validation or test split is cut from the training images by a hash of their names.

    Args:
        folder: In COCO's form or YOLO's.
        kind: Images that are not cropped.
        limits: Maximum number of images, by split.

    Returns:
        The task and the splits "train", "validation" and "test".

    Raises:
        UserError: An annotation is damaged, an image is missing, or a split is empty.
    """
    names, parts = _read(folder)
    splits = _in_splits(folder, parts)
    for part, members in splits.items():
        if not members:
            raise UserError(f"{folder} has too few images: none falls into the {part} split; add some")
    tables = {part: [image.rows(str(folder)) for image in members] for part, members in splits.items()}
    task = Detection(names, most([rows for each in tables.values() for rows in each]))
    lacking = task.missing(np.concatenate([task.table(rows) for rows in tables["train"]]))
    if lacking:
        raise UserError(f"class {names[min(lacking)]!r} of {folder} has no box in the training images; add some")
    read, found = kind.reader(str(folder), [str(image.image) for image in splits["train"]]), {}
    for part, members in splits.items():
        last = (limits or {}).get(part)
        labels = np.stack([task.table(rows) for rows in tables[part]])
        found[part] = file_split([str(each.image) for each in members][:last], labels[:last], kind, task, read)
    return task, found


def _read(folder: Path) -> tuple[list[str], dict[str | None, list[Annotated]]]:
    annotations = coco_json.files(folder)
    if not annotations:
        return yolo_text.read(folder)
    names: list[str] = []
    parts: dict[str | None, list[Annotated]] = {}
    for path in annotations:
        own, images = coco_json.read(path, folder)
        if names and own != names:
            raise UserError(f"{path} has other classes than {annotations[0]}: give all files the same categories")
        names = own
        parts.setdefault(coco_json.split_of(path.relative_to(folder)), []).extend(images)
    return names, parts


def _in_splits(folder: Path, parts: Mapping[str | None, list[Annotated]]) -> dict[str, list[Annotated]]:
    """The parts that are there; what is missing is cut from the training images, or from all where none is named."""
    splits = {part: list(parts.get(part, [])) for part in PARTS}
    splits["train"] += parts.get(None, [])
    lacking = [part for part in ("validation", "test") if not splits[part]]
    if lacking:
        undivided, splits["train"] = splits["train"], []
        for image in undivided:
            place = 9 - int(10 * share_of(image.image.relative_to(folder)))  # a tenth each
            splits[lacking[place] if place < len(lacking) else "train"].append(image)
    return {
        part: sorted(members, key=lambda each: share_of(each.image.relative_to(folder)))
        for part, members in splits.items()
    }
