"""A folder of class folders as a data set: classes are folder names, splits are chosen by a hash of each file's name.

Split folders (`folder_layout` knows their usual names) are used as they are where they exist.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.pixels.folder_layout import find_layout
from keras_mobilenets.training.datasets.file_split import file_split
from keras_mobilenets.training.datasets.kind import Kind, Reader
from keras_mobilenets.training.datasets.split import Split, divided, share_of
from keras_mobilenets.training.tasks.classification import Classification


def open_folder(
    folder: Path, kind: Kind, limits: Mapping[str, int] | None = None
) -> tuple[Classification, dict[str, Split]]:
    """Finds the images of a folder, or examples of another kind; reads none of them.

    A missing validation split is a tenth of the training split; a missing test split is the validation split where
    there is a folder of it, else another tenth of the training split.

    Args:
        folder: Holds one folder of images for each class, or split folders such as `train`, `val` and `test` of such
            folders, in any of the forms that `folder_layout` knows.
        kind: What the examples are, which reads their files.
        limits: Maximum number of images, by split; the same images every time.

    Returns:
        The task, its classes sorted, and the splits "train", "validation" and "test".

    Raises:
        UserError: Fewer than two classes, a class without images, or a split that is empty.
    """
    layout, noun = find_layout(folder, kind.files), kind.noun
    parts = {
        part: [(str(file), layout.class_names.index(name)) for name, files in classes.items() for file in files]
        for part, classes in layout.images.items()
    }
    called = {part: root.name for part, root in layout.roots.items()}

    def named(part: str, member: tuple[str, int]) -> Path:
        return kind.source(Path(member[0]).relative_to(layout.roots[part]))

    splits = divided(parts, named, folder, noun, called)
    missing = set(range(len(layout.class_names))) - {label for _, label in splits["train"]}
    if missing:
        raise UserError(
            f"class {layout.class_names[min(missing)]!r} of {folder} has no training {noun}; add some {noun}s"
        )
    splits = {split: _in_order(members, folder) for split, members in splits.items()}
    limits, read = limits or {}, kind.reader(str(folder), [file for file, _ in splits["train"]])
    task = Classification(layout.class_names)
    return task, {split: _split(members[: limits.get(split)], kind, task, read) for split, members in splits.items()}


def _in_order(members: list[tuple[str, int]], folder: Path) -> list[tuple[str, int]]:
    """Files and labels in the order of their hashes, so that the first ones are a random sample of all classes."""
    return sorted(members, key=lambda member: share_of(Path(member[0]).relative_to(folder)))


def _split(members: list[tuple[str, int]], kind: Kind, task: Classification, read: Reader) -> Split:
    return file_split([file for file, _ in members], np.array([label for _, label in members]), kind, task, read)
