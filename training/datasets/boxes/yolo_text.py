"""A folder in the form of YOLO: a text file for each image, of lines "class x y width height" in shares of its sides.

`images/train` beside `labels/train`, or `train/images` beside `train/labels`, or images and labels side by side; the
classes are in `data.yaml`, `classes.txt` or `obj.names`.
"""

import re
from pathlib import Path

from keras_mobilenets.errors import UserError
from keras_mobilenets.pixels.folder_layout import IMAGE
from keras_mobilenets.training.datasets.boxes.annotations import Annotated

NAMES = ("data.yaml", "dataset.yaml", "classes.txt", "obj.names")


def names_file(folder: Path) -> Path | None:
    """The file of class names; None where the folder is in another form."""
    found = [folder / name for name in NAMES if (folder / name).is_file()]
    return found[0] if found else None


def read(folder: Path) -> tuple[list[str], dict[str | None, list[Annotated]]]:
    """Reads all images and their text files; an image without one holds nothing.

    Returns:
        The classes; and the images of each part, or of None where the folders name none.

    Raises:
        UserError: A line is damaged, or there is no image.
    """
    names = _class_names(folder)
    parts: dict[str | None, list[Annotated]] = {}
    for image in sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE.suffixes):
        label = _label_file(image, folder)
        boxes = _boxes(label, len(names)) if label.is_file() else []
        words = [part.lower() for part in image.relative_to(folder).parts[:-1]]
        known = (("train", "train"), ("val", "validation"), ("test", "test"))
        part = next((split for word, split in known if any(each.startswith(word) for each in words)), None)
        parts.setdefault(part, []).append(Annotated(image, boxes))
    if not parts:
        raise UserError(f"{folder} holds no image; give a folder with images beside their labels")
    return names, parts


def _class_names(folder: Path) -> list[str]:
    file = names_file(folder)
    assert file is not None  # who calls this has asked
    text = file.read_text(encoding="utf-8")
    if file.suffix != ".yaml":
        return [line.strip() for line in text.splitlines() if line.strip()]
    if inline := re.search(r"^names:\s*\[(.*?)\]", text, re.MULTILINE | re.DOTALL):
        return [name.strip().strip("'\"") for name in inline[1].split(",") if name.strip()]
    block = re.search(r"^names:\s*\n((?:[ \t]*(?:-|\d+:).*\n?)+)", text, re.MULTILINE)
    if not block:
        raise UserError(f"{file} has no names; write them as names: [cat, dog]")
    return [
        re.sub(r"^\s*(?:-|\d+:)\s*", "", line).strip().strip("'\"") for line in block[1].splitlines() if line.strip()
    ]


def _label_file(image: Path, folder: Path) -> Path:
    parts = list(image.relative_to(folder).with_suffix(".txt").parts)
    return folder.joinpath(*("labels" if part == "images" else part for part in parts))


def _boxes(file: Path, classes: int) -> list[tuple[float, ...]]:
    boxes: list[tuple[float, ...]] = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            label, x, y, width, height = map(float, line.split()[:5])
        except ValueError as error:
            raise UserError(
                f"{file}, line {number}: write class x y width height, such as 0 0.5 0.5 0.2 0.3"
            ) from error
        if label != int(label) or not 0 <= label < classes:
            raise UserError(f"{file}, line {number}: class {label:g} is none of the {classes}, 0 to {classes - 1}")
        boxes.append((y - height / 2, x - width / 2, y + height / 2, x + width / 2, label, 0.0))
    return boxes
