"""A folder in the form of COCO: JSON files of annotations, and the images that they name.

`annotations/instances_train2017.json` beside `train2017/`, or one `_annotations.coco.json` in each of `train/`,
`valid/`, `test/` (Roboflow), or one JSON file for all.
"""

import json
from pathlib import Path
from typing import Any

from keras_mobilenets.errors import UserError, first_line
from keras_mobilenets.training.datasets.boxes.annotations import Annotated


def files(folder: Path) -> list[Path]:
    """The annotation files of a folder; none where it is in another form."""
    found = [path for pattern in ("*.json", "annotations/*.json", "*/*.json") for path in sorted(folder.glob(pattern))]
    return [path for path in dict.fromkeys(found) if _looks_right(path)]


def read(path: Path, folder: Path) -> tuple[list[str], list[Annotated]]:
    """Reads an annotation file.

    Args:
        path: The file.
        folder: Of the data set, below which images are looked for.

    Returns:
        The classes in the order of their ids, and every image with its boxes.

    Raises:
        UserError: The file is damaged, or an image is missing.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        categories = sorted(content["categories"], key=lambda each: each["id"])
        numbers = {each["id"]: number for number, each in enumerate(categories)}
        places = _places(path, folder)
        images = {
            each["id"]: (each, Annotated(_found(str(each["file_name"]), places, path))) for each in content["images"]
        }
        for each in content.get("annotations", []):
            about, image = images[each["image_id"]]
            x, y, width, height = map(float, each["bbox"])
            box = (
                y / about["height"],
                x / about["width"],
                (y + height) / about["height"],
                (x + width) / about["width"],
            )
            image.boxes.append((*box, float(numbers[each["category_id"]]), float(each.get("iscrowd", 0))))
    except UserError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else first_line(error)
        raise UserError(f"{path} is no annotation file of COCO: {reason}; mend it") from error
    return [str(each["name"]) for each in categories], [image for _, image in images.values()]


def _looks_right(path: Path) -> bool:
    try:
        with open(path, encoding="utf-8") as file:
            start = file.read(1 << 20)
    except (OSError, UnicodeDecodeError):
        return False
    return '"images"' in start and '"file_name"' in start


def _places(path: Path, folder: Path) -> list[Path]:
    """Where a file's images may be: beside it, or in a folder of its name, as val2017 of instances_val2017.json."""
    name = path.stem.split("_")[-1]
    named = [folder / name, folder / "images" / name, folder / "images"]
    return [place for place in dict.fromkeys((path.parent, folder, *named)) if place.is_dir()]


def _found(name: str, places: list[Path], path: Path) -> Path:
    for place in places:
        if (place / name).is_file():
            return place / name
    raise UserError(f"{path} names the image {name}, which is not in {' or '.join(map(str, places[:3]))}; put it there")


def split_of(path: Path) -> str | None:
    """The part that a file's name or folder says: "train", "validation" or "test"; None where neither does."""
    words: Any = f"{path.parent.name} {path.stem}".lower()
    return next(
        (part for word, part in (("train", "train"), ("val", "validation"), ("test", "test")) if word in words), None
    )
