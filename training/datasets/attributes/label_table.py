"""A folder of images with a CSV file that says the labels of each, joined by a bar:

    image,labels
    photos/1.jpg,smiling|young
    photos/2.jpg,

One table is divided 80/10/10 by a hash of the images' names; tables with the names of splits, such as train.csv and
val.csv, are used as they are.
"""

import csv
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_mobilenets.errors import UserError, first_line
from keras_mobilenets.pixels.folder_layout import split_of_name
from keras_mobilenets.plurals import count
from keras_mobilenets.training.datasets.file_split import file_split
from keras_mobilenets.training.datasets.kind import Kind
from keras_mobilenets.training.datasets.split import Split, share_of, split_of
from keras_mobilenets.training.tasks.attributes import Attributes

HEADER = (
    {"image", "images", "image_id", "file", "filename", "file_name", "path"},
    {"labels", "label", "tags", "attributes"},
)
BAR = "|"


class Row(NamedTuple):
    """An image and its labels, perhaps none."""

    file: Path
    labels: tuple[str, ...]


def find_tables(folder: Path) -> dict[str, Path]:
    """The tables that lie in a folder, by split; one that is to be divided is called "all". Empty where there is none.

    Raises:
        UserError: There are several, whose names do not tell the splits apart.
    """
    tables = [path for path in sorted(folder.glob("*.csv")) if _is_table(path)]
    if len(tables) < 2:
        return dict.fromkeys(["all"] if tables else [], *tables)
    named = {found[0]: path for path in tables if (found := split_of_name(path.stem))}
    if len(named) < len(tables) or "train" not in named:
        names = ", ".join(path.name for path in tables)
        raise UserError(
            f"{folder} holds {names}: keep one table of labels, or call them train.csv, val.csv and test.csv"
        )
    return named


def open_tables(
    folder: Path, kind: Kind, limits: Mapping[str, int] | None = None
) -> tuple[Attributes, dict[str, Split]]:
    """Reads the tables of a folder; reads no image.

    Args:
        folder: It holds tables, as `find_tables` finds them.
        kind: What the examples are, which reads their files.
        limits: Maximum number of images, by split; the same images every time.

    Returns:
        The task, its labels sorted, and the splits "train", "validation" and "test".

    Raises:
        UserError: A table is damaged or names an image twice, a split is empty, or no training image has a label.
    """
    tables = find_tables(folder)
    splits: dict[str, list[Row]] = {"train": [], "validation": [], "test": []}
    for part, path in tables.items():
        for row in read_table(path):
            name = kind.source(row.file.relative_to(folder))
            splits[split_of(part, share_of(name), tables)].append(row)
    if not splits["test"] and "validation" in tables:
        where = tables["validation"].name
        warnings.warn(f"{folder}: there is no test split, so that test figures are those of {where}", stacklevel=3)
        splits["test"] = splits["validation"]
    for split, rows in splits.items():
        if not rows:
            raise UserError(f"{folder} has too few {kind.noun}s: none falls into the {split} split; add some")
    names = sorted({label for rows in splits.values() for row in rows for label in row.labels})
    task = Attributes(names)
    places = {name: place for place, name in enumerate(names)}
    limits, made = limits or {}, {}
    read = kind.reader(str(folder), [str(row.file) for row in splits["train"]])
    for split, rows in splits.items():
        rows = sorted(rows, key=lambda row: share_of(row.file.relative_to(folder)))[: limits.get(split)]
        labels = np.zeros((len(rows), len(names)), task.dtype)
        for row, marks in zip(rows, labels, strict=True):
            marks[[places[label] for label in row.labels]] = 1
        if split == "train" and (missing := task.missing(labels)):
            raise UserError(f"no training {kind.noun} of {folder} has the label {names[min(missing)]!r}; add some")
        made[split] = file_split([str(row.file) for row in rows], labels, kind, task, read)
    return task, made


def read_table(path: Path) -> list[Row]:
    """The rows of a table whose images are there; a warning says of how many they are not.

    Raises:
        UserError: It is no table, names an image twice, or none of its images is there.
    """
    homes = [path.parent, *(inner for inner in sorted(path.parent.iterdir()) if inner.is_dir())]
    found: dict[Path, Row] = {}
    lost: list[str] = []
    for line, cells in _lines(path):
        if len(cells) != 2 or not cells[0].strip():
            raise UserError(
                f"{path}, line {line}: give an image and its labels, such as photos/1.jpg,smiling{BAR}young"
            )
        name = cells[0].strip()
        file = next((home / name for home in homes if (home / name).is_file()), None)
        if file is None:
            lost.append(name)
        elif file in found:
            raise UserError(f"{path}, line {line}: {name} is there twice; write all of its labels into one line")
        else:
            labels = (label.strip() for label in cells[1].split(BAR))
            found[file] = Row(file, tuple(dict.fromkeys(filter(None, labels))))
    if not found:
        raise UserError(
            f"{path} names {count(len(lost), 'image')}, none of which is there: names are relative to its folder"
        )
    if lost:
        warnings.warn(f"{path}: left out {count(len(lost), 'image')} without a file, such as {lost[0]}", stacklevel=4)
    if not any(row.labels for row in found.values()):
        raise UserError(f"{path} has no labels: write them behind the image, joined by {BAR}")
    return list(found.values())


def _is_table(path: Path) -> bool:
    """Whether a CSV file has two columns, the first of which is called or names an image."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            first = next(csv.reader(file), [])
    except (OSError, UnicodeDecodeError, csv.Error):
        return False
    return len(first) == 2 and (_is_header(first) or (path.parent / first[0].strip()).is_file())


def _is_header(cells: list[str]) -> bool:
    return all(cell.strip().lower() in names for cell, names in zip(cells, HEADER, strict=True))


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV file with their line numbers, without header and empty ones."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            for cells in reader:
                is_first = reader.line_num == 1 and len(cells) == 2 and _is_header(cells)
                if cells and not is_first:
                    yield reader.line_num, cells
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read as a table: {first_line(error)}; save it as CSV in UTF-8") from error
