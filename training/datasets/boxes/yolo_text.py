"""A folder in the form of YOLO: a text file for each image, of lines "class x y width height" in shares of its sides.

`images/train` beside `labels/train`, or `train/images` beside `train/labels`, or images and labels side by side; the
classes are in a YAML file, which may also say where the images of each split are, in `classes.txt` or `obj.names`.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from keras_mobilenets.errors import UserError, first_line
from keras_mobilenets.pixels.file_index import FileIndex, files_below, part_of
from keras_mobilenets.training.datasets.boxes.annotations import Annotated, Remarks

DESCRIPTIONS = ("data.yaml", "dataset.yaml", "data.yml", "*.yaml", "*.yml")
LISTS = ("classes.txt", "obj.names", "labels/classes.txt", "*.names")
KEYS = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}
EXAMPLE = "0 0.5 0.5 0.2 0.3"


def is_yolo(folder: Path) -> bool:
    """Whether a folder is in this form, or a file is a YAML file of it."""
    if folder.is_file():
        return folder.suffix in (".yaml", ".yml")
    names = names_file(folder)
    if names is None:
        return any(True for pattern in ("labels", "*/labels", "labels/*") for _ in folder.glob(f"{pattern}/*.txt"))
    return names.suffix != ".txt" or any(_label_file(image, folder).is_file() for image in files_below(folder))


def names_file(folder: Path) -> Path | None:
    """The file of class names, or what is one; None where the folder is in another form."""
    if folder.is_file():
        return folder
    found = [path for name in DESCRIPTIONS for path in sorted(folder.glob(name)) if "names" in _described(path)]
    found += [path for name in LISTS for path in sorted(folder.glob(name)) if path.is_file()]
    return found[0] if found else None


def read(
    folder: Path, classes: dict[str, int], images: FileIndex, remarks: Remarks
) -> dict[str | None, list[Annotated]]:
    """Reads all text files; an image without one holds nothing.

    Args:
        folder: Of the data set, or its YAML file.
        classes: Becomes the numbers of the classes, by name.
        images: Those below the folder.
        remarks: Of what is left out.

    Returns:
        The images of each part, or of None where nothing names one.

    Raises:
        UserError: A line or the file of names is damaged, or it or the images are not there.
    """
    file = names_file(folder)
    if file is None:
        raise UserError(f"{folder} has labels but no names of their classes; add data.yaml with names: [cat, dog]")
    folder = folder if folder.is_dir() else folder.parent
    described = {} if file.suffix in (".txt", ".names") else _described(file)
    numbers = {
        key: classes.setdefault(name, len(classes)) for key, name in _class_names(file, described.get("names")).items()
    }
    parts = _described_parts(file, folder, described, images, remarks)
    if not parts:
        for image in files_below(folder):
            parts.setdefault(part_of(image.parent, folder), []).append(image)
    if not parts:
        raise UserError(f"{folder} holds no image; give a folder with images beside their labels")
    is_pose = "kpt_shape" in described
    return {
        part: [Annotated(image, _boxes(image, folder, numbers, is_pose, remarks)) for image in members]
        for part, members in parts.items()
    }


def _described(file: Path) -> Mapping[str, Any]:
    """What a YAML file says; nothing where it is no table."""
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        if file.name == DESCRIPTIONS[0]:
            raise UserError(f"{file} cannot be read: {first_line(error)}; mend it") from error
        return {}
    return content if isinstance(content, dict) else {}


def _class_names(file: Path, names: Any) -> dict[int, str]:
    """The names of the classes by their numbers: those of a YAML file, or the lines of another."""
    if file.suffix in (".txt", ".names"):
        names = _text(file).rstrip().splitlines()
    pairs = names.items() if isinstance(names, dict) else enumerate(names if isinstance(names, list) else [])
    try:
        found = {int(number): str(name).strip() for number, name in pairs}
    except ValueError as error:
        raise UserError(f"{file}: {first_line(error)}; number its names from 0") from error
    if not found or not all(found.values()):
        raise UserError(f"{file} has no names, or an empty one; write them as names: [cat, dog]")
    return found


def _described_parts(
    file: Path, folder: Path, described: Mapping[str, Any], images: FileIndex, remarks: Remarks
) -> dict[str | None, list[Path]]:
    """The images of the splits that a YAML file names; none where it names no training images that are there."""
    parts: dict[str | None, list[Path]] = {}
    for key, part in KEYS.items():
        given = described.get(key)
        for value in given if isinstance(given, list) else [given] if given else []:
            place = _place(str(value), str(described.get("path") or ""), file.parent)
            if place is None:
                remarks.add("passed over", "path", f"of {file.name} that is not there", f"{key}: {value}")
            else:
                parts.setdefault(part, []).extend(_listed(place, folder, images, remarks))
    return parts if parts.get("train") else {}


def _place(value: str, base: str, folder: Path) -> Path | None:
    """Where a path of a YAML file leads: from its `path`, from its folder, or by its last parts from there.

    Roboflow writes ../train/images for train/images; an absolute path is often of another machine.
    """
    value, base = value.replace("\\", "/"), base.replace("\\", "/")
    parts = [part for part in Path(value).parts if part not in ("..", ".", "/")]
    tails = [Path(*parts[first:]) for first in range(len(parts)) if len(parts) == 1 or first < len(parts) - 1]
    tried = [folder / base / value, folder / value, *(folder / tail for tail in tails)]
    return next((Path(os.path.normpath(place)) for place in tried if place.exists()), None)


def _listed(place: Path, folder: Path, images: FileIndex, remarks: Remarks) -> list[Path]:
    """The images of a folder, or those that a text file lists."""
    if place.is_dir():
        return files_below(place)
    if place.suffix != ".txt":
        raise UserError(f"{place} is no folder and no list of images; give a folder, or a .txt file of their paths")
    found = []
    for line in filter(None, map(str.strip, _text(place).splitlines())):
        file = images.find(line, (place.parent, folder))
        if file is None:
            remarks.add("left out", "image", f"of {place.name} without a file", line)
        else:
            found.append(file)
    return found


def _label_file(image: Path, folder: Path) -> Path:
    """The text file of an image: that of the folder `labels` in the place of the last `images`, or beside the image."""
    parts = list(image.with_suffix(".txt").parts)
    places = [image.with_suffix(".txt")]
    if image.is_relative_to(folder):
        places.append(folder / "labels" / image.relative_to(folder).with_suffix(".txt"))
    if "images" in parts[:-1]:
        last = max(place for place, part in enumerate(parts[:-1]) if part == "images")
        places.insert(0, Path(*parts[:last], "labels", *parts[last + 1 :]))
    return next((place for place in places if place.is_file()), places[0])


def _boxes(
    image: Path, folder: Path, numbers: Mapping[int, int], is_pose: bool, remarks: Remarks
) -> list[tuple[float, ...]]:
    """The boxes of an image's text file."""
    file = _label_file(image, folder)
    boxes: list[tuple[float, ...]] = []
    if not file.is_file():
        remarks.add("counted", "image", "without a text file as holding nothing", image.name)
        return []
    for number, line in enumerate(_text(file).splitlines(), 1):
        if not line.strip():
            continue
        try:
            label, *values = map(float, line.split())
            x, y, width, height = values[:4] if is_pose else _box(values)
        except ValueError as error:
            raise UserError(f"{file}, line {number}: write class x y width height, such as {EXAMPLE}") from error
        if label not in numbers:
            known = f"the {len(numbers)}, {min(numbers)} to {max(numbers)}"
            raise UserError(f"{file}, line {number}: class {label:g} is none of {known}")
        boxes.append((y - height / 2, x - width / 2, y + height / 2, x + width / 2, float(numbers[int(label)]), 0.0))
    return boxes


def _box(values: list[float]) -> list[float]:
    """Centre and sides: as written, perhaps with a confidence behind them, or those around a polygon x y x y x y."""
    if len(values) <= 5:
        x, y, width, height = values[:4]
        return [x, y, width, height]
    if len(values) % 2:
        raise ValueError("is neither a box nor a polygon")
    x1, x2, y1, y2 = min(values[::2]), max(values[::2]), min(values[1::2]), max(values[1::2])
    return [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1]


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file} cannot be read: {first_line(error)}; save it as text in UTF-8") from error
