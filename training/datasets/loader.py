"""`load_data` opens the embedded data set `shapes`, any TFDS data set, or a folder of class folders."""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

import keras
import tensorflow as tf

from keras_mobilenets.errors import UserError
from keras_mobilenets.training.datasets.catalog import DEFAULT_SIZE, default_size
from keras_mobilenets.training.datasets.dataset import Data

SPLITS = ("train", "validation", "test")


def load_data(
    name: str | Path = "shapes",
    image_size: int | None = None,
    batch_size: int = 64,
    data_dir: str | Path | None = None,
    *,
    limit: int | Mapping[str, int] | None = None,
) -> Data:
    """Opens a data set for image classification.

    Images become RGB squares: the shorter side is resized (antialiased), the centre cropped.

    Args:
        name: "shapes" (embedded, generated on first use); a folder with one folder of images per class (split 80/10/10
            by a hash of the file names) or with `train`, `val`, `test` folders (by any of their usual names) of such
            folders; or a TFDS name, such as "cifar10" or "tf_flowers". A missing validation split is cut from train; a
            missing test split is the validation split, which a warning says of a folder.
        image_size: Height and width in pixels. Default: that of the data set in `catalog`, such as 32 for cifar10 and
            224 for stanford_dogs; otherwise 64.
        batch_size: Images per batch.
        data_dir: Where TFDS data sets and `shapes` are kept. Default: the environment variable KERAS_MOBILENETS_DATA,
            else the user's cache folder for `shapes` and TFDS's own folder for the others.
        limit: Maximum number of images of each split, for quick trials; or of named splits, such as {"train": 800} to
            train on few labels.

    Returns:
        The data; images are decoded on first use.

    Raises:
        UserError: No such data set, or one that cannot be trained on; the message says why.
    """
    limits = dict(limit) if isinstance(limit, Mapping) else {} if limit is None else dict.fromkeys(SPLITS, limit)
    if not limits.keys() <= set(SPLITS):
        raise UserError(f"limit names {', '.join(limits)}; the splits are {', '.join(SPLITS)}")
    counts = [(count, "limit") for count in limits.values()]
    for value, what in ((image_size, "image_size"), (batch_size, "batch_size"), *counts):
        if value is not None and value < 1:
            raise UserError(f"{what} must be at least 1, not {value}")
    if not str(name):  # as a path, it would be the working directory
        raise UserError(
            "the data set has no name; give shapes, a TFDS name or a folder of images, such as . for this one"
        )
    folder = Path(os.path.expanduser(name))  # where ~ is no user, it stays
    image_size = image_size or (DEFAULT_SIZE if folder.is_dir() else default_size(str(name)))
    data_dir = data_dir or os.environ.get("KERAS_MOBILENETS_DATA") or None
    if keras.backend.backend() != "tensorflow":
        with contextlib.suppress(RuntimeError):  # TensorFlow is initialized already
            tf.config.set_visible_devices([], "GPU")  # it only decodes images; GPU memory is for the model
    if name == "shapes" or not folder.is_dir():
        if folder.is_absolute() or str(name).startswith((".", "~")):
            raise UserError(f"{name} is not a folder; give a folder that holds one folder of images per class")
        from keras_mobilenets.training.datasets.tfds_source import open_records, prepare, prepared_builder

        if name == "shapes":
            from keras_mobilenets.training.datasets.shapes import Shapes

            builder = prepare(Shapes(data_dir=data_dir or Path.home() / ".cache" / "keras_mobilenets"))
        else:
            builder = prepared_builder(str(name), data_dir)
        class_names, splits = open_records(builder, image_size, limits)
    else:
        from keras_mobilenets.training.datasets.image_folder import open_folder

        class_names, splits = open_folder(folder, image_size, limits)
    return Data(str(name), class_names, splits, image_size, batch_size)
