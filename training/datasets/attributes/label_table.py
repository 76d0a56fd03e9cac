"""A folder of images with CSV files that say the labels of each, as `label_columns` says:

    image,labels                            image,smiling,young
    photos/1.jpg,smiling|young       or     photos/1.jpg,1,1
    photos/2.jpg,                           photos/2.jpg,0,0

The splits are those of a column, such as "split", here or in another table (CelebA's list_eval_partition.csv), or of
the tables' names, such as train.csv and val.csv; else the images are divided 80/10/10 by a hash of their names.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.pixels.file_index import FileIndex
from keras_mobilenets.pixels.folder_layout import split_of_name
from keras_mobilenets.plurals import count, listed
from keras_mobilenets.training.datasets.attributes.label_columns import Table, read_table
from keras_mobilenets.training.datasets.file_split import file_split
from keras_mobilenets.training.datasets.kind import Kind
from keras_mobilenets.training.datasets.split import Split, divided, share_of, warn_of_leaks
from keras_mobilenets.training.tasks.attributes import Attributes


class Row(NamedTuple):
    """An image, its labels, perhaps none, and its part: "all" where nothing says it."""

    file: Path
    labels: tuple[str, ...]
    part: str


def holds_labels(folder: Path) -> bool:
    """Whether a table of labels lies in a folder, which are not those of class folders once more."""
    return any(table.has_labels and not table.repeats_folders for table in _tables(folder))


def open_tables(
    folder: Path, kind: Kind, limits: Mapping[str, int] | None = None
) -> tuple[Attributes, dict[str, Split]]:
    """Reads the tables of a folder; reads no image.

    Args:
        folder: It holds tables of labels.
        kind: What the examples are, which reads their files.
        limits: Maximum number of images, by split; the same images every time.

    Returns:
        The task, its labels sorted, and the splits "train", "validation" and "test".

    Raises:
        UserError: A table is damaged or names an image twice, tables cannot be told apart, a split is empty, or no
            training image has a label.
    """
    parts: dict[str, list[Row]] = {}
    for row in _rows(folder, kind):
        parts.setdefault(row.part, []).append(row)
    if len(parts) > 1 and "all" in parts:
        parts["train"] = parts.get("train", []) + parts.pop("all")
    called = {"validation": "the validation split"}
    splits = divided(parts, lambda _, row: kind.source(row.file.relative_to(folder)), folder, kind.noun, called)
    warn_of_leaks(splits, lambda row: row.file, folder, kind.noun)
    names = sorted({label for row in splits["train"] for label in row.labels})
    if not names:
        raise UserError(f"no training {kind.noun} of {folder} has labels: write them behind the {kind.noun}")
    unseen = sorted({label for rows in splits.values() for row in rows for label in row.labels} - set(names))
    if unseen:
        warnings.warn(f"{folder}: left out labels that no training {kind.noun} has: {listed(unseen)}", stacklevel=3)
    task, places = Attributes(names), {name: place for place, name in enumerate(names)}
    limits, made = limits or {}, {}
    read = kind.reader(str(folder), [str(row.file) for row in splits["train"]])
    for split, rows in splits.items():
        rows = sorted(rows, key=lambda row: share_of(row.file.relative_to(folder)))[: limits.get(split)]
        labels = np.zeros((len(rows), len(names)), task.dtype)
        for row, marks in zip(rows, labels, strict=True):
            marks[[places[label] for label in row.labels if label in places]] = 1
        made[split] = file_split([str(row.file) for row in rows], labels, kind, task, read)
    return task, made


def _rows(folder: Path, kind: Kind) -> list[Row]:
    """The rows of all tables of labels, each with its part."""
    tables, files = _tables(folder), FileIndex(folder, kind.files)
    labelled = [table for table in tables if table.has_labels]
    named = {table.path: split_of_name(table.path.stem) for table in labelled}
    if len(labelled) > 1 and (None in named.values() or len(set(named.values())) < len(labelled)):
        names = ", ".join(table.path.name for table in labelled)
        raise UserError(
            f"{folder} holds {names}: keep one table of labels, or call them train.csv, val.csv and test.csv"
        )
    elsewhere: dict[Path, str] = {}
    for table in tables:
        if not table.has_labels and table.split is not None:
            elsewhere |= {row.file: row.part for row in _found(table, files, kind)}
        elif not table.has_labels:
            warnings.warn(f"{table.path}: left out, since it says no labels", stacklevel=3)
    rows = []
    for table in labelled:
        of_name = found[0] if len(labelled) > 1 and (found := named[table.path]) else "all"
        table.say_what_is_left_out()
        rows += [row._replace(part=elsewhere.get(row.file, of_name)) if row.part == "all" else row
                 for row in _found(table, files, kind)]  # fmt: skip
    return rows


def _found(table: Table, files: FileIndex, kind: Kind) -> list[Row]:
    """The rows of a table whose images are there; a warning says of how many they are not.

    Raises:
        UserError: It names an image twice, or none of its images is there.
    """
    homes = [table.path.parent, *(inner for inner in sorted(table.path.parent.iterdir()) if inner.is_dir())]
    found: dict[Path, Row] = {}
    lost: list[str] = []
    for line, name, labels, part in table.read():
        file = files.find(name, homes)
        if file is None:
            lost.append(name)
        elif file in found:
            raise UserError(f"{table.path}, line {line}: {name} is there twice; write all of its labels into one line")
        else:
            found[file] = Row(file, labels, part or "all")
    if not found:
        raise UserError(
            f"{table.path} names {count(len(lost), kind.noun)}, none of which is there: names are relative to its"
            " folder"
        )
    if lost:
        missing = count(len(lost), kind.noun)
        warnings.warn(f"{table.path}: left out {missing} without a file, such as {lost[0]}", stacklevel=4)
    if table.labels is not None and all(len(row.labels) == 1 for row in found.values()):
        warnings.warn(
            f"{table.path}: each {kind.noun} has one label, and a model learns each as a yes or no of its own; for one "
            "class of several, give one folder per class",
            stacklevel=4,
        )
    return list(found.values())


def _tables(folder: Path) -> list[Table]:
    return [table for path in sorted(folder.glob("*.csv")) if (table := read_table(path)) is not None]
