"""Data sets by name: their default sizes, which are recordings or logs, and files that must be downloaded by hand."""

import os
from pathlib import Path

from keras_mobilenets.pixels.folder_layout import RECORDING, type_of_files

EMBEDDED = {  # made on this machine: by which module of this folder, and what of it
    "shapes": ("shapes", "Shapes"),
    "shapes_attributes": ("attributes.shapes_attributes", "ShapesAttributes"),
    "shapes_detection": ("boxes.shapes_detection", "ShapesDetection"),
    "words": ("speech.words", "Words"),
    "motion": ("video.motion", "Motion"),
    "visits": ("sequences.visits", "visits"),
}
DEFAULT_SIZE = 64  # of data sets that are not listed
RECORDINGS = ("words", "speech_commands", "spoken_digit")  # their size is that of a recording, in samples at 16 kHz
BOXES = 320  # of images with boxes
SECOND = 16_000
LOGS = ("visits", "movielens")  # their size is that of a history, in items
HISTORY = 32
LOG_SUFFIXES = (".csv", ".tsv", ".dat", ".data")
MOVIELENS = ("ratings.csv", "ratings.dat", "u.data")  # the logs in its folders

SIZES = {
    **dict.fromkeys(RECORDINGS, SECOND),
    **dict.fromkeys(LOGS, HISTORY),
    "shapes": 64,
    "shapes_attributes": 64,
    "shapes_detection": 160,
    "motion": 32,
    "voc": BOXES,
    "coco": BOXES,
    "mnist": 32,
    "fashion_mnist": 32,
    "cifar10": 32,
    "cifar100": 32,
    "svhn_cropped": 32,
    "stl10": 96,
    "tf_flowers": 224,
    "oxford_flowers102": 224,
    "oxford_iiit_pet": 224,
    "stanford_dogs": 224,
    "caltech101": 224,
    "food101": 224,
    "celeb_a": 128,
    "cats_vs_dogs": 224,
    "imagenette": 224,
    "imagenet2012": 224,
}

# File names below the data folder's downloads/manual, and their source.
MANUAL_DOWNLOADS = {
    "imagenet2012": (("ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"), "https://image-net.org/download-images"),
}


def default_size(name: str | Path) -> int:
    """The default height and width of a data set's images, in pixels: 32 for "cifar10", 64 of a folder, 320 with boxes.

    Of recordings it is their length in samples at 16 kHz, of logs that of a history in items.
    """
    folder = Path(os.path.expanduser(name))  # where ~ is no user, it stays
    if str(name) not in EMBEDDED and log_file(folder):
        return HISTORY
    if str(name) and folder.exists():
        from keras_mobilenets.training.datasets.boxes.box_folder import holds_boxes

        if holds_boxes(folder):
            return BOXES
    if str(name) and folder.is_dir():
        return SECOND if type_of_files(folder) is RECORDING else DEFAULT_SIZE
    return SIZES.get(family(name), DEFAULT_SIZE)


def log_file(path: Path) -> Path | None:
    """The log that a path names: a file, or MovieLens' own in its folder; None where there is none."""
    if not path.is_dir():
        return path if path.suffix.lower() in LOG_SUFFIXES and path.is_file() else None
    for name in MOVIELENS:
        if (path / name).is_file():
            with (path / name).open(encoding="latin-1") as file:
                header = file.readline().lower()
            if not name.endswith(".csv") or ("user" in header and "time" in header):  # others rate images
                return path / name
    return None


def family(name: str | Path) -> str:
    """A TFDS name without configuration and version."""
    return str(name).split("/")[0].split(":")[0]
