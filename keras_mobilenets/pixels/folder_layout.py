"""Where the images, or other files of one type, of a folder are.

They lie below split folders by any of their usual names, below class folders, or flat.

What a zip or a benchmark wraps around them (`archive/`, `ILSVRC/Data/CLS-LOC/`) and what systems leave behind is passed
over. What is assumed, and what is left out, is said in one line each.
"""

import contextlib
import importlib.util
import os
import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from keras_mobilenets.errors import UserError
from keras_mobilenets.plurals import listed


class FileType(NamedTuple):
    """Files that are examples of a data set.

    Attributes:
        noun: What one of them is called.
        suffixes: Of their names, in small letters.
        beside: Folders that hold such files and no examples.
        unread: Suffixes of such files that cannot be read here.
        advice: What makes that they can.
        has_folders: Whether a folder of images alone is such a file, too: the frames of a clip.
    """

    noun: str
    suffixes: frozenset[str]
    beside: frozenset[str] = frozenset()
    unread: frozenset[str] = frozenset()
    advice: str = ""
    has_folders: bool = False


SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif", ".bmp", ".gif", ".tif", ".tiff"})
IMAGE = FileType("image", SUFFIXES)
WAVES = frozenset({".wav", ".wave"})
SOUNDS = frozenset({".flac", ".mp3", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".au"})  # which libsndfile reads
NOISE = "_background_noise_"  # of Speech Commands: the folder of recordings that are no class, but noise
HAS_SOUNDFILE = importlib.util.find_spec("soundfile") is not None
_MORE = SOUNDS if HAS_SOUNDFILE else frozenset[str]()
RECORDING = FileType(
    "recording",
    WAVES | _MORE,
    frozenset({NOISE}),
    (SOUNDS | {".m4a", ".aac", ".wma"}) - _MORE,
    "make them WAV files"
    + ("" if _MORE else ", or pip install keras_mobilenets[audio], which reads FLAC, Ogg and MP3"),
)
CLIP = FileType(
    "clip",
    frozenset({".gif", ".webp"}),  # animated
    unread=frozenset(
        {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".ogv", ".3gp"}
    ),
    advice="make them animated GIF or WebP files, such as by ffmpeg -i clip.mp4 -vf fps=8,scale=-1:128 clip.gif",
)
CLIP_OF_FRAMES = CLIP._replace(has_folders=True)
SYSTEM_FILES = {"__macosx", "@eadir", "$recycle.bin", "thumbs.db", "ehthumbs.db", "desktop.ini"}  # besides hidden ones
SPLIT_WORDS = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validate", "validation", "dev", "eval", "evaluation"), "validation"),
    **dict.fromkeys(("test", "tests", "testing", "tst", "holdout"), "test"),
}
NO_NEWS = r"(data|sets?|images?|imgs?|photos?|pictures?|folder|split)+$"  # of the words in a split folder's name


@dataclass(eq=False)
class Folder:
    """A folder and all below it, without the files of systems.

    Attributes:
        path: Where it is.
        images: Image files directly in it, by their suffix, or those of another type.
        folders: The folders directly in it.
        others: How many other files are directly in it, by suffix.
        type: What the images are.
    """

    path: Path
    images: list[Path]
    folders: list["Folder"]
    others: Counter[str]
    type: FileType = IMAGE

    @cached_property
    def holds_images(self) -> bool:
        """Whether there is an image in it or below."""
        return bool(self.images) or any(folder.holds_images for folder in self.folders)

    @cached_property
    def filled(self) -> list["Folder"]:
        """The folders directly in it that hold images."""
        return [folder for folder in self.folders if folder.holds_images]

    def all_folders(self) -> Iterator["Folder"]:
        """The folder itself and all below it."""
        yield self
        for folder in self.folders:
            yield from folder.all_folders()

    def all_images(self) -> list[Path]:
        """All images in it and below."""
        return [image for folder in self.all_folders() for image in folder.images]


class Layout(NamedTuple):
    """Labelled images of a folder.

    Attributes:
        class_names: The classes, sorted.
        roots: What the names of the images of each split are relative to. A folder without splits has "all" alone.
        images: Image files, by split and class; in a validation or test split, a class may have none.
    """

    class_names: list[str]
    roots: dict[str, Path]
    images: dict[str, dict[str, list[Path]]]


def read_tree(path: Path, of: FileType = IMAGE, around: frozenset[str] = frozenset()) -> Folder:
    """Lists a folder and all below it; symbolic links are followed, but not to a folder around them.

    Args:
        path: The folder.
        of: The files that count as its images.
        around: The folders around it.

    Raises:
        UserError: A folder cannot be read.
    """
    folder, place = Folder(path, [], [], Counter(), of), os.path.realpath(path)
    if place in around:
        return folder
    try:
        entries = sorted(os.scandir(path), key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}; change its permissions or remove it") from error
    for entry in entries:
        if entry.name.startswith(".") or entry.name.lower() in SYSTEM_FILES:
            continue
        if entry.is_dir() and entry.name in of.beside:
            continue
        if of.has_folders and entry.is_dir() and _is_clip(path / entry.name):
            folder.images.append(path / entry.name)
        elif entry.is_dir():
            folder.folders.append(read_tree(path / entry.name, of, around | {place}))
        elif (suffix := os.path.splitext(entry.name)[1].lower()) in of.suffixes:
            folder.images.append(path / entry.name)
        else:
            folder.others[suffix] += 1
    return folder


def find_layout(path: Path, of: FileType = IMAGE) -> Layout:
    """Finds the splits, the classes and their images, or files of another type; reads none of them.

    A test folder without classes is left out. Warnings say, in a line each, what is left out and what is assumed.

    Raises:
        UserError: Fewer than two classes, a class without images, or names that cannot be understood.
    """
    folder = _unwrapped(read_tree(path, of))
    if folder.path != path:
        _say(f"{path}: takes the {of.noun}s from {folder.path}")
    splits = _split_folders(folder)
    train = _unwrapped(splits.get("train", folder))
    classes = _classes(train)
    roots, images = {"train" if splits else "all": splits.get("train", folder).path}, [classes]
    for split in ("validation", "test"):
        if split in splits and (labelled := _labelled(splits[split], list(classes))) is not None:
            roots[split] = splits[split].path
            images.append(labelled)
    return Layout(list(classes), roots, dict(zip(roots, images, strict=True)))


def _is_clip(folder: Path) -> bool:
    """Whether a folder holds still images and no folder."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        there = [entry for entry in entries if not entry.name.startswith(".")]
        stills = {os.path.splitext(entry.name)[1].lower() for entry in there} & SUFFIXES - CLIP.suffixes
        return bool(stills) and not any(entry.is_dir() for entry in there)
    return False


def type_of_files(path: Path) -> FileType:
    """What the examples of a folder are, by the first file that is one, or else by the first that cannot be read.

    Images, where there is neither.
    """
    unread = None
    for where, folders, files in os.walk(path, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))[:1000]
        for name in sorted(files):
            suffix = "" if name.startswith(".") else os.path.splitext(name)[1].lower()
            if suffix in IMAGE.suffixes:
                return CLIP if _are_clips(Path(where), files) else IMAGE
            if suffix in RECORDING.suffixes:
                return RECORDING
            unread = unread or next((kind for kind in (RECORDING, CLIP) if suffix in kind.unread), None)
    return unread or IMAGE


def _are_clips(folder: Path, names: Sequence[str]) -> bool:
    """Whether the images of a folder are animated: no other ones lie there, and of them the first that can be read."""
    from PIL import Image

    images = [name for name in sorted(names) if os.path.splitext(name)[1].lower() in IMAGE.suffixes]
    if any(os.path.splitext(name)[1].lower() not in CLIP.suffixes for name in images):
        return False
    for name in images:
        with contextlib.suppress(Exception), Image.open(folder / name) as image:  # whoever reads a damaged one says why
            return getattr(image, "n_frames", 1) > 1
    return False


def image_files(path: Path) -> list[Path]:
    """The images of a folder, whether in class folders or not, sorted; those of its training split, if it has one.

    Args:
        path: A folder, or one image file.

    Raises:
        UserError: It does not exist, or holds no image.
    """
    if not path.is_dir():
        if not path.is_file():
            raise UserError(f"{path} does not exist; give a folder of images, or an image file")
        return [path]
    folder = _unwrapped(read_tree(path))
    splits = [split_of_name(inner.path.name) for inner in folder.filled]
    trains = [inner for inner, split in zip(folder.filled, splits, strict=True) if split and split[0] == "train"]
    if len(trains) == 1 and None not in splits:
        (folder,) = trains
    files = sorted(folder.all_images())
    if not files:
        raise UserError(f"{path} holds no images; give a folder of {', '.join(sorted(SUFFIXES))} files")
    return files


def split_of_name(name: str) -> tuple[str, bool] | None:
    """The split that a folder's name speaks of, and whether it speaks of nothing else.

    "Train", "TEST_SET", "images_val" and "train2017" are plain names; "seg_train" has another word.
    """
    words = [re.sub(NO_NEWS, "", word.lower()) for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)]
    splits = {SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS}
    return (splits.pop(), all(not word or word in SPLIT_WORDS for word in words)) if len(splits) == 1 else None


def _unwrapped(folder: Folder, classes: Collection[str] = ()) -> Folder:
    """The folder within wrappers: each has no images of its own and one folder of folders of images."""
    while not folder.images and len(folder.filled) == 1:
        (inner,) = folder.filled
        if inner.path.name in classes or not inner.filled:
            break
        folder = inner
    return folder


def _split_folders(folder: Folder) -> dict[str, Folder]:
    """The split folders in a folder; none, where these are classes."""
    named = {inner.path.name: found for inner in folder.filled if (found := split_of_name(inner.path.name))}
    plain = [inner for inner in folder.filled if named.get(inner.path.name, ("", False))[1]]
    _refuse_class_major(folder)
    candidates: dict[str, list[Folder]] = {"train": [], "validation": [], "test": []}
    for inner in folder.filled:
        if inner.path.name in named:
            candidates[named[inner.path.name][0]].append(inner)
    candidates["train"] = [inner for inner in candidates["train"] if inner.filled]
    if candidates["train"] and sum(map(bool, candidates.values())) > 1:
        splits = {split: _only(split, found, plain) for split, found in candidates.items() if found}
        unused = [inner for inner in folder.filled if inner not in splits.values()]
        if unused:
            _say(f"{folder.path}: uses {_names(splits.values())} and leaves out {_names(unused)}")
        return splits
    if len(plain) == len(folder.filled) > 1:
        raise UserError(f"{folder.path} holds {_names(plain)}, but no training folder with a folder per class; add it")
    if candidates["train"] and candidates["train"][0] in plain:
        train = candidates["train"][0].path
        others = _names([inner for inner in folder.filled if inner.path != train])
        raise UserError(
            f"{train} holds folders of {folder.type.noun}s, but {others} beside it is no split; give {train} or move it"
        )
    if plain:
        _say(f"{folder.path}: takes {_names(plain)} for {'classes' if len(plain) > 1 else 'a class'}, not for splits")
    return {}


def _refuse_class_major(folder: Folder) -> None:
    """Refuses classes that are divided into splits: their hashes would put test images into the training split."""
    for inner in folder.filled:
        splits = [split_of_name(part.path.name) for part in inner.filled]
        if len(splits) < 2 or None in splits or ("train", True) not in splits or any(f.filled for f in inner.filled):
            return
    if len(folder.filled) > 1:
        inner = folder.filled[0]
        raise UserError(
            f"{inner.path} is divided into {_names(inner.filled)}; divide {folder.path} so, with the classes in each"
        )


def _only(split: str, found: list[Folder], plain: list[Folder]) -> Folder:
    """The folder of a split: the one with a plain name, where there are several."""
    chosen = [folder for folder in found if folder in plain] or found
    if len(chosen) > 1:
        where = chosen[0].path.parent
        raise UserError(f"{where}: {_names(chosen)} all name the {split} split; join them, or rename all but one")
    return chosen[0]


def _classes(folder: Folder) -> dict[str, list[Path]]:
    """The images of each class of the training images."""
    images, noun = len(folder.images), folder.type.noun
    if len(folder.folders) < 2:
        what = f"{images} {noun}(s) without classes" if images else f"{len(folder.folders)} class folder(s)"
        raise UserError(f"{folder.path} holds {what}; to train, give a folder with one folder per class{_hint(folder)}")
    for inner in folder.folders:
        if any(unicodedata.category(character) in ("Cc", "Cs") for character in inner.path.name):
            raise UserError(
                f"class folder {inner.path.name!r} of {folder.path} has a name that cannot be written; rename it"
            )
        if not inner.holds_images:
            raise UserError(f"class folder {inner.path} holds no {noun}s; {_hint(inner, '') or 'fill it or remove it'}")
    if images:
        _say(f"{folder.path}: left out {images} {noun}(s) that lie beside the class folders")
    return _images(folder)


def _labelled(folder: Folder, classes: list[str]) -> dict[str, list[Path]] | None:
    """The images of each class of a split beside the training split; None where they have no classes."""
    inside, noun = _unwrapped(folder, classes), folder.type.noun
    there = [inner.path.name for inner in inside.filled]
    if len(there) < 2 and not set(there) & set(classes):
        _say(f"{folder.path}: left out, since its {len(folder.all_images())} {noun}(s) are not in class folders")
        return None
    if strange := [name for name in there if name not in classes]:
        raise UserError(f"{inside.path} has classes that the training {noun}s do not have: {listed(strange)}")
    if missing := [name for name in classes if name not in there]:
        _say(f"{inside.path}: has no {noun}s of {listed(missing)}")
    if inside.images:
        _say(f"{inside.path}: left out {len(inside.images)} {noun}(s) that lie beside the class folders")
    return _images(inside)


def _images(folder: Folder) -> dict[str, list[Path]]:
    """The images of each class folder; says how many files have other names than images."""
    others: Counter[str] = sum((below.others for inner in folder.folders for below in inner.all_folders()), Counter())
    if others:
        kinds = ", ".join(f"{count} {kind or 'without a suffix'}" for kind, count in others.most_common(5))
        said = f"{folder.path}: left out {others.total()} file(s) whose names are not of {folder.type.noun}s: {kinds}"
        _say(said + _hint(folder))
    return {inner.path.name: inner.all_images() for inner in folder.folders}


def _hint(folder: Folder, before: str = "; ") -> str:
    """How files below a folder that are not read can be; empty where there are none."""
    found = {suffix for below in folder.all_folders() for suffix in below.others} & folder.type.unread
    return f"{before}of its {', '.join(sorted(found))} files: {folder.type.advice}" if found else ""


def _names(folders: Collection[Folder]) -> str:
    return listed([folder.path.name for folder in folders])


def _say(line: str) -> None:
    warnings.warn(line, stacklevel=5)
