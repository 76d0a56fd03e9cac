"""`load_data` opens the embedded data sets, any TFDS data set, folders of class folders or with a table of labels."""

import contextlib
import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_mobilenets.errors import UserError
from keras_mobilenets.pixels.folder_layout import CLIP, CLIP_OF_FRAMES, RECORDING, FileType, type_of_files
from keras_mobilenets.training.datasets.boxes.box_folder import holds_boxes
from keras_mobilenets.training.datasets.catalog import EMBEDDED, LOG_SUFFIXES, default_size, log_file
from keras_mobilenets.training.datasets.dataset import Data
from keras_mobilenets.training.datasets.images import Images
from keras_mobilenets.training.datasets.kind import Kind
from keras_mobilenets.training.datasets.split import Split
from keras_mobilenets.training.tasks.task import Task

SPLITS = ("train", "validation", "test")
Opened = tuple[Kind, Task, dict[str, Split]]


def load_data(
    name: str | Path = "shapes",
    image_size: int | None = None,
    batch_size: int = 64,
    data_dir: str | Path | None = None,
    *,
    limit: int | Mapping[str, int] | None = None,
    frames: int | None = None,
) -> Data:
    """Opens a data set: classes of images, recordings or clips, several labels an image, boxes, or items to come.

    Images become RGB squares: the shorter side is resized (antialiased), the centre cropped. Recordings become one
    channel at 16 kHz: the piece of most energy of a long one, a short one between silence. Clips become eight frames,
    evenly over the whole, some of them twice where there are fewer, each as an image. Images with boxes are stretched
    to the square. Logs of users and items become, for each item, the history before it: the last item of each user
    tests, the one before validates.

    Args:
        name: "shapes", "shapes_attributes", "shapes_detection", "words", "motion" or "visits" (embedded, generated); a
            folder with one folder of images, of WAV or of animated GIF or WebP files, per class (split 80/10/10 by a
            hash of the file names) or with `train`, `val`, `test` folders (by any of their usual names) of such
            folders; a folder of images with a CSV file of lines such as "photos/1.jpg,smiling|young", for several
            labels an image, or with a column of 1 and 0 for each, or with such a train.csv, val.csv and test.csv; a
            folder of images with boxes in COCO's JSON or YOLO's text form, or the latter's YAML file; a CSV file with
            the columns user, item and timestamp, or MovieLens' own folder; or a TFDS name, such as "cifar10",
            "speech_commands", "celeb_a", "voc" or "movielens/100k-ratings". A missing validation split is cut from
            train; a missing test split is the validation split, which a warning says of a folder.
            `validation_list.txt` and `testing_list.txt` beside the class folders name the files of these splits, and
            recordings in `_background_noise_` are noise, as Speech Commands has them.
        image_size: Height and width in pixels. Default: that of the data set in `catalog`, such as 32 for cifar10 and
            224 for stanford_dogs; otherwise 64. Of recordings their samples at 16 kHz; by default a second. Of logs the
            items of a history; by default 32.
        batch_size: Examples per batch.
        data_dir: Where TFDS data sets, `shapes` and `words` are kept. Default: the environment variable
            KERAS_MOBILENETS_DATA, else the user's cache folder for the embedded ones and TFDS's own for the others.
        limit: Maximum number of examples of each split, for quick trials; or of named splits, such as {"train": 800} to
            train on few labels.
        frames: Of each clip, 8 by default. Where it is given, a folder's examples are clips: animated files, and
            folders of nothing but images, the frames of a clip in the order of the numbers in their names.

    Returns:
        The data; examples are decoded on first use.

    Raises:
        UserError: No such data set, or one that cannot be trained on; the message says why.
    """
    limits = dict(limit) if isinstance(limit, Mapping) else {} if limit is None else dict.fromkeys(SPLITS, limit)
    if not limits.keys() <= set(SPLITS):
        raise UserError(f"limit names {', '.join(limits)}; the splits are {', '.join(SPLITS)}")
    counts = [(count, "limit") for count in limits.values()]
    for value, what in ((image_size, "image_size"), (batch_size, "batch_size"), (frames, "frames"), *counts):
        if value is not None and value < 1:
            raise UserError(f"{what} must be at least 1, not {value}")
    if not str(name):  # as a path, it would be the working directory
        raise UserError(
            "the data set has no name; give shapes, words, a TFDS name or a folder of images, such as . for this one"
        )
    folder = Path(os.path.expanduser(name))  # where ~ is no user, it stays
    image_size = image_size or default_size(name)
    data_dir = data_dir or os.environ.get("KERAS_MOBILENETS_DATA") or None
    if keras.backend.backend() != "tensorflow":
        with contextlib.suppress(RuntimeError):  # TensorFlow is initialized already
            tf.config.set_visible_devices([], "GPU")  # it only decodes images; GPU memory is for the model
    file = None if name in EMBEDDED else log_file(folder)
    if name == "visits" or file:
        kind, task, splits = _of_log(_log(file), image_size, limits)
    elif name in EMBEDDED or not (folder.is_dir() or holds_boxes(folder)):
        _refuse_missing(str(name), folder)
        kind, task, splits = _of_records(str(name), image_size, data_dir, limits, frames)
    else:
        kind, task, splits = _of_folder(folder, image_size, limits, frames)
    if frames is not None and kind.record != "Video":
        raise UserError(f"{name} holds {kind.noun}s, which have no frames; leave out frames={frames}")
    return Data(str(name), task, splits, kind, batch_size)


def _refuse_missing(name: str, folder: Path) -> None:
    """Refuses what is meant as a file or folder and is none, before it is looked for by name."""
    if folder.suffix.lower() in LOG_SUFFIXES:
        raise UserError(f"{name} does not exist; give a CSV file with the columns user, item and timestamp")
    if folder.is_absolute() or name.startswith((".", "~")):
        raise UserError(f"{name} is not a folder; give a folder that holds one folder of images per class")


def _of_records(
    name: str, size: int, data_dir: str | Path | None, limits: Mapping[str, int], frames: int | None
) -> Opened:
    """A data set that is made on this machine, or one of TFDS."""
    from keras_mobilenets.training.datasets.sequences.rating_records import has_ratings, log_of
    from keras_mobilenets.training.datasets.tfds_source import (
        has_boxes,
        open_records,
        prepare,
        prepared_builder,
        type_of_records,
    )

    cache = data_dir or Path.home() / ".cache" / "keras_mobilenets"
    builder = prepare(_embedded(name)(data_dir=cache)) if name in EMBEDDED else prepared_builder(name, data_dir)
    if has_ratings(builder):
        return _of_log(log_of(builder), size, limits)
    files = type_of_records(builder)
    kind = Images(size, whole=True) if has_boxes(builder) else _kind(files, size, frames)
    return kind, *open_records(builder, kind, limits)


def _of_folder(folder: Path, size: int, limits: Mapping[str, int], frames: int | None) -> Opened:
    """Images with boxes or several labels, or class folders."""
    if holds_boxes(folder):
        from keras_mobilenets.training.datasets.boxes.box_folder import open_box_folder

        kind: Kind = Images(size, whole=True)
        return kind, *open_box_folder(folder, kind, limits)
    from keras_mobilenets.training.datasets.attributes.label_table import holds_labels, open_tables
    from keras_mobilenets.training.datasets.class_folders import open_folder

    kind = _kind(type_of_files(folder) if frames is None else CLIP_OF_FRAMES, size, frames, folder)
    return kind, *(open_tables if holds_labels(folder) else open_folder)(folder, kind, limits)


def _log(file: Path | None) -> Any:
    """The log of a file, or the one that is made on this machine."""
    if file is None:
        return _embedded("visits")()
    from keras_mobilenets.training.datasets.sequences.log_file import read_log

    return read_log(file)


def _of_log(log: Any, length: int, limits: Mapping[str, int]) -> Opened:
    from keras_mobilenets.training.datasets.sequences.log import leave_one_out
    from keras_mobilenets.training.datasets.sequences.sequences import Sequences

    return Sequences(length), *leave_one_out(log, length, limits)


def _embedded(name: str) -> Any:
    """The builder of a data set that is made on this machine, or the function that draws a log."""
    module, maker = EMBEDDED[name]
    return getattr(importlib.import_module(f"keras_mobilenets.training.datasets.{module}"), maker)


def _kind(files: FileType, size: int, frames: int | None, folder: Path | None = None) -> Kind:
    if files is RECORDING:
        from keras_mobilenets.training.datasets.speech.background_noise import background_noise
        from keras_mobilenets.training.datasets.speech.recordings import RATE, Recordings

        return Recordings(size, None if folder is None else background_noise(folder, RATE))
    if files in (CLIP, CLIP_OF_FRAMES):
        from keras_mobilenets.training.datasets.video.clips import FRAMES, Clips

        return Clips(size, frames or FRAMES, files)
    return Images(size)
