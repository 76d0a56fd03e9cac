"""A split of a data set on disk: single images in an order that depends on a seed; which split a file belongs to."""

import hashlib
import unicodedata
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import tensorflow as tf

from keras_mobilenets.errors import UserError
from keras_mobilenets.plurals import count

Member = TypeVar("Member")

Selection = Callable[[tf.data.Dataset], tf.data.Dataset]  # keeps some of the images of a stream


def select_all(stream: tf.data.Dataset) -> tf.data.Dataset:
    """Selects every image."""
    return stream


@dataclass(frozen=True)
class Split:
    """The images of a split, on disk.

    Attributes:
        count: Number of images.
        images: Function of a seed (two integers, or None for the order on disk), the number of images to skip, and a
            `Selection` of the rest, to a data set of single (uint8 image, label, index on disk). The order depends on
            the seed alone. Skipped images are not decoded. Where decoding failed, the label is `Task.unreadable`.
        labels: Function to the labels of all images, in the order on disk; no image is decoded.
    """

    count: int
    images: Callable[..., tf.data.Dataset]
    labels: Callable[[], np.ndarray]


def permutation(count: int, seed: tf.Tensor) -> tf.Tensor:
    """The numbers below `count` in an order that depends on `seed` (two integers) alone."""
    return tf.argsort(tf.random.stateless_uniform([count], seed), stable=True)


def share_of(name: Path) -> float:
    """A number in [0, 1) that depends on the file's name alone, so that adding files moves none between splits."""
    text = unicodedata.normalize("NFC", name.as_posix())  # macOS gives decomposed names
    return int.from_bytes(hashlib.sha256(text.encode(errors="surrogateescape")).digest()[:8], "big") / 2**64


def split_of(part: str, share: float, parts: Collection[str]) -> str:
    """The split of a file; the parts that are there are not divided, but for the training files' lack of others.

    Args:
        part: The part that it lies in: "train", "validation", "test", or "all" where there are none.
        share: As `share_of` its name.
        parts: Those that are there.
    """
    if part in ("validation", "test") or "validation" in parts:
        return part
    if "test" in parts:
        return "train" if share < 0.9 else "validation"
    return "train" if share < 0.8 else "validation" if share < 0.9 else "test"


def divided(
    parts: Mapping[str, Sequence[Member]],
    name: Callable[[str, Member], Path],
    folder: Path,
    noun: str,
    called: Mapping[str, str],
) -> dict[str, list[Member]]:
    """The members of each split. A test split that is missing is the validation split where that is there.

    Args:
        parts: Members by the part that they lie in, as `split_of` says.
        name: Of a part and a member of it, the part of its file's name that chooses its split.
        folder: Of the data set, for messages.
        noun: What a member is called.
        called: What the validation part is called.

    Raises:
        UserError: A split is empty.
    """
    splits: dict[str, list[Member]] = {"train": [], "validation": [], "test": []}
    for part, members in parts.items():
        for member in members:
            splits[split_of(part, share_of(name(part, member)), parts)].append(member)
    if not splits["test"] and "validation" in parts:
        where = called["validation"]
        warnings.warn(f"{folder}: there is no test split, so that test figures are those of {where}", stacklevel=4)
        splits["test"] = splits["validation"]
    for split, members in splits.items():
        if not members:
            raise UserError(f"{folder} has too few {noun}s: none falls into the {split} split; add some")
    return splits


def warn_of_leaks(
    splits: Mapping[str, Sequence[Member]], file: Callable[[Member], Path], folder: Path, noun: str
) -> None:
    """Says how many files of the validation and the test split are in the training split too."""
    trained = {file(member) for member in splits["train"]}
    for part in ("validation", "test"):
        shared = trained & {file(member) for member in splits[part]}
        if shared and (part == "validation" or splits["test"] is not splits["validation"]):
            warnings.warn(
                f"{folder}: the {part} split shares {count(len(shared), noun)} with the training split, such as"
                f" {min(shared).name}: its figures are of what was trained on",
                stacklevel=4,
            )
