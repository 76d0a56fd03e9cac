"""A folder of class folders as a data set: classes are folder names, splits are chosen by a hash of each file's name.

`train/`, `val/` or `validation/`, and `test/` folders are used as they are where they exist.
"""

import hashlib
import os
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_mobilenets.errors import UserError
from keras_mobilenets.training.datasets.image_decoder import read_image, why_unreadable
from keras_mobilenets.training.datasets.split import UNREADABLE, Selection, Split, permutation, select_all

SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif", ".bmp", ".gif", ".tif", ".tiff"}
SYSTEM_FILES = {"__macosx", "@eadir", "thumbs.db", "desktop.ini"}  # besides hidden files
SPLIT_FOLDERS = {"train": "train", "val": "validation", "validation": "validation", "test": "test"}


def open_folder(folder: Path, size: int, limits: Mapping[str, int] | None = None) -> tuple[list[str], dict[str, Split]]:
    """Finds the images of a folder; reads none of them.

    Args:
        folder: Holds one folder of images for each class, or `train`, `val` and `test` folders of such folders.
        size: Height and width, in pixels, that images are resized to.
        limits: Maximum number of images, by split; the same images every time.

    Returns:
        The class names, sorted, and the splits "train", "validation" and "test".

    Raises:
        UserError: Fewer than two classes, a class without images, or a split that is empty.
    """
    parts = {split: folder / name for name, split in SPLIT_FOLDERS.items() if (folder / name).is_dir()}
    if "train" not in parts or len(parts) == 1:
        parts = {"all": folder}
    found = {part: _images_by_class(path) for part, path in parts.items()}
    class_names = list(found.get("train", found.get("all", {})))
    if len(class_names) < 2:
        raise UserError(f"{folder} holds {len(class_names)} class folder(s); give a folder with one folder per class")

    splits: dict[str, list[tuple[str, int]]] = {"train": [], "validation": [], "test": []}
    for part, classes in found.items():
        for name, files in classes.items():
            if not files:
                raise UserError(f"class folder {parts[part] / name} holds no images; fill it or remove it")
            if name not in class_names:
                raise UserError(f"{parts[part] / name} is a class that {parts['train']} does not have")
            for file in files:
                share = _share(file.relative_to(parts[part]))
                splits[_split_of(part, share, parts)].append((str(file), class_names.index(name)))
    if not splits["test"] and "all" not in parts:
        splits["test"] = splits["validation"]
    for split, members in splits.items():
        if not members:
            raise UserError(f"{folder} has too few images: none falls into the {split} split; add some")
    missing = set(range(len(class_names))) - {label for _, label in splits["train"]}
    if missing:
        raise UserError(f"class {class_names[min(missing)]!r} of {folder} has no training image; add some images")
    limits = limits or {}
    return class_names, {split: _split(members, size, limits.get(split), folder) for split, members in splits.items()}


def _images_by_class(folder: Path) -> dict[str, list[Path]]:
    found = {
        path.name: list(_files(path)) for path in sorted(folder.iterdir()) if _is_user_file(path.name) and path.is_dir()
    }
    for name in found:
        if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
            raise UserError(f"class folder {name!r} of {folder} has a name that cannot be written; rename it")
    others = Counter(file.suffix.lower() for files in found.values() for file in files if not _is_image(file))
    if others:
        kinds = ", ".join(f"{count} {kind or 'without a suffix'}" for kind, count in others.most_common(5))
        warnings.warn(
            f"{folder}: left out {others.total()} file(s) whose names are not of images: {kinds}", stacklevel=4
        )
    return {name: sorted(filter(_is_image, files)) for name, files in found.items()}


def _files(folder: Path) -> Iterator[Path]:
    """The files below a folder without system files; symbolic links to files are followed, those to folders are not."""
    for where, folders, names in os.walk(folder):
        folders[:] = filter(_is_user_file, folders)
        yield from (Path(where, name) for name in filter(_is_user_file, names))


def _is_user_file(name: str) -> bool:
    return not name.startswith(".") and name.lower() not in SYSTEM_FILES


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES


def _share(name: Path) -> float:
    """A number in [0, 1) that depends on the file's name alone, so that adding files moves none between splits."""
    text = unicodedata.normalize("NFC", name.as_posix())  # macOS gives decomposed names
    return int.from_bytes(hashlib.sha256(text.encode(errors="surrogateescape")).digest()[:8], "big") / 2**64


def _split_of(part: str, share: float, parts: dict[str, Path]) -> str:
    if part == "all":
        return "train" if share < 0.8 else "validation" if share < 0.9 else "test"
    if part == "train" and "validation" not in parts:
        return "train" if share < 0.9 else "validation"
    return part


def _split(members: list[tuple[str, int]], size: int, limit: int | None, folder: Path) -> Split:
    # In the order of their hashes, so that the first `limit` are a random sample of all classes.
    members = sorted(members, key=lambda member: _share(Path(member[0]).relative_to(folder)))[:limit]
    files = [file for file, _ in members]
    labels = np.array([label for _, label in members], np.int64)
    skipped: set[str] = set()

    def read(index: np.ndarray) -> tuple[np.ndarray, np.int64]:
        file = files[int(index)]
        try:
            return read_image(file, size), labels[index]
        except Exception as error:  # Pillow raises OSError, SyntaxError, ValueError and others for damaged files
            if file not in skipped:
                skipped.add(file)
                warnings.warn(f"skipped {file}: {why_unreadable(error)}", stacklevel=2)
            return np.zeros((size, size, 3), np.uint8), np.int64(UNREADABLE)

    def images(seed: tf.Tensor | None, first: tf.Tensor | int, select: Selection = select_all) -> tf.data.Dataset:
        order = tf.range(len(files)) if seed is None else permutation(len(files), seed)
        return select(tf.data.Dataset.from_tensor_slices(order[first:])).map(
            lambda index: (*tf.numpy_function(read, [index], (tf.uint8, tf.int64)), tf.cast(index, tf.int64)),
            num_parallel_calls=tf.data.AUTOTUNE,
        )

    return Split(len(files), images)
