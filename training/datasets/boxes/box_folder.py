"""A folder of images with boxes as a data set, in COCO's form or YOLO's."""

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.pixels.file_index import FileIndex
from keras_mobilenets.plurals import count, listed
from keras_mobilenets.training.datasets.boxes import coco_json, yolo_text
from keras_mobilenets.training.datasets.boxes.annotations import Annotated, Remarks, most
from keras_mobilenets.training.datasets.file_split import file_split
from keras_mobilenets.training.datasets.kind import Kind
from keras_mobilenets.training.datasets.split import Split, divided, share_of, warn_of_leaks
from keras_mobilenets.training.tasks.detection.boxes import CLASS, UNJUDGED
from keras_mobilenets.training.tasks.detection.detection import Detection

Tables = dict[str, list[np.ndarray]]


def holds_boxes(folder: Path) -> bool:
    """Whether a folder is in the form of COCO or YOLO, or a file is a YAML file of the latter."""
    return bool(coco_json.files(folder)) or yolo_text.is_yolo(folder)


def open_box_folder(
    folder: Path, kind: Kind, limits: Mapping[str, int] | None = None
) -> tuple[Detection, dict[str, Split]]:
    """Reads the annotations of a folder, and none of its images.

    Splits that are missing are made as those of class folders. Warnings say, in a line each, what is left out: images
    that are not there, boxes without area, and classes that no training image has a box of.

    Args:
        folder: In COCO's form or YOLO's, or a YAML file of the latter.
        kind: Images that are not cropped.
        limits: Maximum number of images, by split.

    Returns:
        The task and the splits "train", "validation" and "test".

    Raises:
        UserError: An annotation is damaged, or the training or the validation split is empty or has no box.
    """
    classes: dict[str, int] = {}
    remarks = Remarks()
    parts = _read(folder, classes, remarks)
    tables = {id(each): each.rows(remarks) for members in parts.values() for each in members}
    remarks.say(str(folder))
    if parts.get("test") and not any(len(tables[id(each)]) for each in parts["test"]):
        warnings.warn(f"{folder}: left out the test split, since none of its images has a box", stacklevel=3)
        del parts["test"]
    named = {"validation": "the validation split"}
    splits = divided(parts, lambda _, each: _name(each, folder), folder, kind.noun, named)
    warn_of_leaks(splits, lambda each: each.image, folder, kind.noun)
    names, rows = _learnable(
        list(classes), {part: [tables[id(each)] for each in members] for part, members in splits.items()}, folder
    )
    task = Detection(names, most([table for each in rows.values() for table in each]))
    frames = {str(each.image): each.size for members in splits.values() for each in members if each.boxes}
    read, found = kind.reader(str(folder), [str(image.image) for image in splits["train"]]), {}
    for part, members in splits.items():
        order = sorted(range(len(members)), key=lambda place: share_of(_name(members[place], folder)))
        order = order[: (limits or {}).get(part)]
        labels = np.stack([task.table(rows[part][place]) for place in order])
        files = [str(members[place].image) for place in order]
        found[part] = file_split(files, labels, kind, task, lambda file: read(file, frame=frames.get(file)))
    return task, found


def _read(folder: Path, classes: dict[str, int], remarks: Remarks) -> dict[str, list[Annotated]]:
    """The images by part; of "all" where none is named."""
    images = FileIndex(folder if folder.is_dir() else folder.parent)
    parts: dict[str | None, list[Annotated]] = {}
    for path in coco_json.files(folder):
        part, members = coco_json.read(path, folder, classes, images, remarks)
        parts.setdefault(part, []).extend(members)
    parts = parts or yolo_text.read(folder, classes, images, remarks)
    undivided = parts.pop(None, [])
    if undivided or "train" not in parts:
        parts["train" if parts else "all"] = parts.get("train", []) + undivided
    return {part: _merged(members, remarks) for part, members in parts.items() if part}


def _merged(members: Iterable[Annotated], remarks: Remarks) -> list[Annotated]:
    """Each image once, with the boxes that any file says of it, each once."""
    found: dict[Path, Annotated] = {}
    for each in members:
        one = found.setdefault(each.image, each)
        known = each.boxes if one is each else one.boxes + each.boxes
        one.boxes = list(dict.fromkeys(known))
        for _ in range(len(known) - len(one.boxes)):
            remarks.add("left out", "box", "written twice", f"in {one.image.name}")
    return list(found.values())


def _learnable(names: list[str], tables: Tables, folder: Path) -> tuple[list[str], Tables]:
    """The classes that a training image has a box of, and the boxes of these, renumbered; others are left out."""
    counts = {
        part: np.bincount(
            [int(row[CLASS]) for table in each for row in table if not row[UNJUDGED]], minlength=len(names)
        )
        for part, each in tables.items()
    }
    for part, called in (("train", "training"), ("validation", "validation")):
        if not counts[part].any():
            where = "boxes are looked for in the annotation files of COCO, or in a text file of YOLO for each image"
            raise UserError(f"no {called} image of {folder} has a box: {where}")
    kept = np.flatnonzero(counts["train"])
    lost = [name for name, number in zip(names, counts["train"], strict=True) if not number]
    if lost:
        others = sum(int(number.sum() - number[kept].sum()) for number in counts.values())
        more = f" with {count(others, 'box')} of other splits" if others else ""
        said = f"left out classes without a box in training images{more}: {listed(lost)}"
        warnings.warn(f"{folder}: {said}", stacklevel=3)
    places = np.full(len(names), -1.0, np.float32)
    places[kept] = np.arange(len(kept))

    def renumbered(table: np.ndarray) -> np.ndarray:
        number = places[table[:, CLASS].astype(int)]
        return np.concatenate([table[:, :CLASS], number[:, None], table[:, CLASS + 1 :]], axis=1)[number >= 0]

    return [names[place] for place in kept], {part: list(map(renumbered, each)) for part, each in tables.items()}


def _name(each: Annotated, folder: Path) -> Path:
    home = folder if folder.is_dir() else folder.parent
    return each.image.relative_to(home) if each.image.is_relative_to(home) else each.image
