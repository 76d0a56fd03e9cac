"""A folder in the form of COCO: JSON files of annotations, and the images that they name.

`annotations/instances_train2017.json` beside `train2017/`, or one `_annotations.coco.json` in each of `train/`,
`valid/`, `test/` (Roboflow), or one JSON file for all.
"""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_mobilenets.errors import UserError, first_line
from keras_mobilenets.pixels.file_index import FileIndex, part_of
from keras_mobilenets.pixels.folder_layout import split_of_name
from keras_mobilenets.training.datasets.boxes.annotations import Annotated, Remarks

HEAD = 1 << 20  # characters by which a file is known
PATTERNS = ("*.json", "annotations/*.json", "*/*.json")
BOXES = "instances"  # what COCO calls its files of boxes, beside which those of captions and keypoints lie


def files(folder: Path) -> list[Path]:
    """The annotation files of a folder; none where it is in another form."""
    found = [path for pattern in PATTERNS for path in sorted(folder.glob(pattern))]
    found = [path for path in dict.fromkeys(found) if _looks_right(path)]
    return [path for path in found if path.stem.startswith(BOXES)] or found


def read(
    path: Path, folder: Path, classes: dict[str, int], images: FileIndex, remarks: Remarks
) -> tuple[str | None, list[Annotated]]:
    """Reads an annotation file.

    Args:
        path: The file.
        folder: Of the data set.
        classes: The numbers of those that are known by name; new ones are added in the order of their ids.
        images: Those below the folder.
        remarks: Of what is left out.

    Returns:
        The split that its name or folder speaks of, or None; every image that is there, with its boxes.

    Raises:
        UserError: The file is damaged, or none of its images is there.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        categories = sorted(content["categories"], key=lambda each: _in_order(each["id"]))
        names = {str(each["id"]): str(each["name"]) for each in categories}
        numbers = {key: classes.setdefault(name, len(classes)) for key, name in names.items()}
        part = (found := split_of_name(path.stem)) and found[0]
        part = part or part_of(path.parent, folder)
        records = {str(each["id"]): each for each in content["images"]}
        places = _places(path, folder)
        by_file: dict[Path, Annotated] = {}
        known: dict[str, Annotated | None] = {}
        for key, record in records.items():
            file = images.find(str(record["file_name"]), places, part)
            if file is None:
                remarks.add("left out", "image", f"of {path.name} without a file", str(record["file_name"]))
            known[key] = None if file is None else by_file.setdefault(file, Annotated(file, size=_size(record)))
        if known and not by_file:
            name = next(iter(records.values()))["file_name"]
            raise UserError(
                f"{path} names the image {name}, which is not in {' or '.join(map(str, places[:3]))}, nor any other"
                " image that is there; put them there"
            )
        for each in content.get("annotations") or []:
            if str(each["image_id"]) not in known:
                remarks.add("left out", "box", "of an image that is not listed", f"in {path.name}")
            elif image := known[str(each["image_id"])]:
                _add(image, each, numbers, path, remarks)
    except UserError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else first_line(error)
        raise UserError(f"{path} is no annotation file of COCO: {reason}; mend it") from error
    return part, list(by_file.values())


def _add(image: Annotated, annotation: Any, numbers: Mapping[str, int], path: Path, remarks: Remarks) -> None:
    key = str(annotation["category_id"])
    if key not in numbers:
        raise UserError(f"{path}: an annotation has the category {key}, which is none of its categories; add it there")
    image.size = image.size or _shown_size(image.image)
    try:
        found = annotation.get("bbox") or _around(annotation.get("segmentation"), image.size)
        x, y, wide, high = map(float, found or (math.nan,) * 4)
    except (ValueError, TypeError, KeyError) as error:
        where = f"annotation {annotation.get('id')} of {image.image.name}"
        raise UserError(f"{path}: {where} has no box that can be read; write it as [x, y, width, height]") from error
    if not found:
        return remarks.add("left out", "annotation", "without box and outline", f"in {image.image.name}")
    width, height = image.size
    box = (y / height, x / width, (y + high) / height, (x + wide) / width)
    image.boxes.append((*box, float(numbers[key]), float(bool(annotation.get("iscrowd")))))
    return None


def _around(outline: Any, size: tuple[int, int]) -> Any:
    """The box x, y, width, height around polygons, or a run-length encoded mask; None where there is neither."""
    if isinstance(outline, dict):
        from pycocotools import mask

        is_plain = isinstance(outline["counts"], list)
        return mask.toBbox(mask.frPyObjects(outline, size[1], size[0]) if is_plain else outline).tolist()
    polygons = outline if outline and isinstance(outline[0], list) else [outline or []]
    values = [float(value) for polygon in polygons for value in polygon]
    if not values:
        return None
    x, y = values[::2], values[1::2]
    return min(x), min(y), max(x) - min(x), max(y) - min(y)


def _size(record: Mapping[str, Any]) -> tuple[int, int] | None:
    """The width and height that a file says of an image, where it says them."""
    width, height = record.get("width"), record.get("height")
    return (int(width), int(height)) if width and height else None


def _shown_size(image: Path) -> tuple[int, int]:
    """Width and height of an image; those of one that cannot be read do not matter."""
    from keras_mobilenets.pixels.image_decoder import shown_size

    try:
        return shown_size(image)
    except Exception:  # whoever reads the image says why
        return 1, 1


def _in_order(number: Any) -> tuple[int, str]:
    """Numbers before words, 9 before 10, also where they are written as words."""
    text = str(number)
    return (int(text), "") if re.fullmatch(r"\d+", text) else (1 << 62, text)


def _looks_right(path: Path) -> bool:
    try:
        with open(path, encoding="utf-8-sig") as file:
            start = file.read(HEAD).lstrip()
    except (OSError, UnicodeDecodeError):
        return False
    about_images, about_boxes = '"images"' in start and '"file_name"' in start, '"image_id"' in start
    return start.startswith("{") and (about_images or ('"annotations"' in start and about_boxes))


def _places(path: Path, folder: Path) -> list[Path]:
    """Where a file's images may be: beside it, or in a folder of its name, as val2017 of instances_val2017.json."""
    name = path.stem.split("_")[-1]
    named = [folder / name, folder / "images" / name, folder / "images"]
    return [place for place in dict.fromkeys((path.parent, folder, *named)) if place.is_dir()]
