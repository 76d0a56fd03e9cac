"""A folder of class folders as a data set: classes are folder names, splits are chosen by a hash of each file's name.

Split folders (`folder_layout` knows their usual names) are used as they are where they exist, and so are Speech
Commands' lists of files.
"""

import unicodedata
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from keras_mobilenets.errors import UserError, first_line
from keras_mobilenets.pixels.folder_layout import Layout, find_layout
from keras_mobilenets.training.datasets.file_split import file_split
from keras_mobilenets.training.datasets.kind import Kind, Reader
from keras_mobilenets.training.datasets.split import Split, divided, share_of
from keras_mobilenets.training.tasks.classification import Classification

# Files beside the classes that name those of a split, such as "yes/0a7c2a8d_nohash_0.wav", a line each.
LISTS = {"validation_list.txt": "validation", "testing_list.txt": "test"}


def open_folder(
    folder: Path, kind: Kind, limits: Mapping[str, int] | None = None
) -> tuple[Classification, dict[str, Split]]:
    """Finds the images of a folder, or examples of another kind; reads none of them.

    A missing validation split is a tenth of the training split; a missing test split is the validation split where
    there is a folder of it, else another tenth of the training split.

    Args:
        folder: Holds one folder of images for each class, or split folders such as `train`, `val` and `test` of such
            folders, in any of the forms that `folder_layout` knows; `LISTS` beside the class folders take the place
            of split folders.
        kind: What the examples are, which reads their files.
        limits: Maximum number of images, by split; the same images every time.

    Returns:
        The task, its classes sorted, and the splits "train", "validation" and "test".

    Raises:
        UserError: Fewer than two classes, a class without images, or a split that is empty.
    """
    layout, noun = find_layout(folder, kind.files), kind.noun
    listed, parts = _listed(layout), dict[str, list[tuple[str, int]]]()
    for part, classes in layout.images.items():
        for name, files in classes.items():
            for file in files:
                place = _named(file.relative_to(layout.roots[part]).as_posix())
                there = listed.get(place, "train") if listed else part
                parts.setdefault(there, []).append((str(file), layout.class_names.index(name)))
    roots = dict.fromkeys(parts, layout.roots["all"]) if listed else layout.roots
    called = {part: f"the {part} list" if listed else root.name for part, root in roots.items()}

    def named(part: str, member: tuple[str, int]) -> Path:
        return kind.source(Path(member[0]).relative_to(roots[part]))

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


def _listed(layout: Layout) -> dict[str, str]:
    """The splits of the files that `LISTS` name; empty where there are split folders, or no lists."""
    if "all" not in layout.roots:
        return {}
    root, found, said = layout.roots["all"], dict[str, str](), []
    there = {_named(file.relative_to(root).as_posix()) for files in layout.images["all"].values() for file in files}
    for name, split in LISTS.items():
        if not (root / name).is_file():
            continue
        try:
            lines = (root / name).read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{root / name} cannot be read: {first_line(error)}; mend it or remove it") from error
        named = {_named(line.strip()) for line in lines if line.strip()}
        found |= dict.fromkeys(named & there, split)
        said.append(f"{name} ({len(named & there)} of its {len(named)} files are there)")
    if said:
        warnings.warn(f"{root}: the splits are those of {' and '.join(said)}", stacklevel=4)
    return found


def _named(name: str) -> str:
    """The name of a file in a list, or of one that is there, in one form."""
    return unicodedata.normalize("NFC", Path(name.replace("\\", "/")).as_posix())


def _in_order(members: list[tuple[str, int]], folder: Path) -> list[tuple[str, int]]:
    """Files and labels in the order of their hashes, so that the first ones are a random sample of all classes."""
    return sorted(members, key=lambda member: share_of(Path(member[0]).relative_to(folder)))


def _split(members: list[tuple[str, int]], kind: Kind, task: Classification, read: Reader) -> Split:
    return file_split([file for file, _ in members], np.array([label for _, label in members]), kind, task, read)
