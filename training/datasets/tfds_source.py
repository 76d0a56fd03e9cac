"""TensorFlow Datasets as a data set: any builder with one image, or recording, and one class label, or booleans."""

import difflib
import socket
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from etils import epath
from tensorflow_datasets.core.download import resource

from keras_mobilenets.errors import UserError, first_line
from keras_mobilenets.pixels.folder_layout import CLIP, IMAGE, RECORDING, FileType
from keras_mobilenets.training.datasets.boxes.record_boxes import boxes_of
from keras_mobilenets.training.datasets.catalog import EMBEDDED, MANUAL_DOWNLOADS
from keras_mobilenets.training.datasets.kind import Kind
from keras_mobilenets.training.datasets.split import Selection, Split, select_all
from keras_mobilenets.training.tasks.attributes import Attributes
from keras_mobilenets.training.tasks.classification import Classification
from keras_mobilenets.training.tasks.task import Task

SHUFFLE_BUFFER = 4096  # encoded images; TFDS has shuffled the whole set when it wrote the records


class Labels(NamedTuple):
    """Where the labels of a builder are.

    Attributes:
        task: What they are.
        read: Function of an example, whose image is not decoded, to its label.
    """

    task: Task
    read: Callable[[Mapping[str, Any]], tf.Tensor]


def open_records(builder: Any, kind: Kind, limits: Mapping[str, int] | None = None) -> tuple[Task, dict[str, Split]]:
    """Opens a prepared TFDS builder; decodes nothing.

    A missing validation split is the last tenth of the training split; a missing (or unlabelled) test split is the
    validation split.

    Args:
        builder: A `tfds.core.DatasetBuilder` that is prepared.
        kind: What the examples are, which decodes them.
        limits: Maximum number of images, by split.

    Returns:
        The task and the splits "train", "validation" and "test".

    Raises:
        UserError: The data set has no single example and label, or no training split.
    """
    name, there = builder.info.name, builder.info.splits
    features = dict(builder.info.features) if isinstance(builder.info.features, tfds.features.FeaturesDict) else {}
    example = getattr(tfds.features, kind.record)
    image_keys = [key for key, feature in features.items() if isinstance(feature, example)]
    if kind.record.lower() in image_keys:
        image_keys = [kind.record.lower()]
    boxes = boxes_of(builder)
    labels = Labels(boxes.task, boxes.read) if boxes else _labels(features)
    if len(image_keys) != 1 or labels is None:
        raise UserError(
            f"data set {name} is not for classification or detection: it needs one {kind.noun}, and one class label, a "
            "dictionary of booleans, or boxes"
        )
    if "train" not in there:
        raise UserError(f"data set {name} has no train split, only {', '.join(there)}")

    total = there["train"].num_examples
    ranges = {"train": ("train", 0, total), "validation": ("train", total - total // 10, total)}
    if "validation" in there:
        ranges["validation"] = ("validation", 0, there["validation"].num_examples)
    else:
        ranges["train"] = ("train", 0, total - total // 10)
    ranges["test"] = ranges["validation"]
    if "test" in there and _labelled(builder, labels):
        ranges["test"] = ("test", 0, there["test"].num_examples)
    splits = {}
    for split, (source, first, last) in ranges.items():
        last = min(last, first + (limits or {}).get(split, last))
        if first == last:
            raise UserError(f"data set {name} is too small: its {split} split is empty")
        splits[split] = _split(builder, f"{source}[{first}:{last}]", last - first, image_keys[0], labels, kind)
    return labels.task, splits


def _labels(features: Mapping[str, Any]) -> Labels | None:
    """The one class label of a builder, that called "label" among several; or else its one dictionary of booleans."""
    classes = [key for key, feature in features.items() if isinstance(feature, tfds.features.ClassLabel)]
    classes = ["label"] if "label" in classes else classes
    if len(classes) == 1:
        return Labels(
            Classification(features[classes[0]].names), lambda example: tf.cast(example[classes[0]], tf.int64)
        )
    booleans = [key for key, feature in features.items() if _are_booleans(feature)]
    if classes or len(booleans) != 1:
        return None
    (key,) = booleans
    task = Attributes(list(features[key]))
    return Labels(
        task, lambda example: tf.cast(tf.stack([example[key][name] for name in task.class_names]), task.dtype)
    )


def _are_booleans(feature: Any) -> bool:
    if not isinstance(feature, tfds.features.FeaturesDict):
        return False
    return all(isinstance(each, tfds.features.Tensor) and each.np_dtype == np.bool_ for each in feature.values())


def has_boxes(builder: Any) -> bool:
    """Whether a builder's labels are boxes."""
    return boxes_of(builder) is not None


def type_of_records(builder: Any) -> FileType:
    """What a builder's examples are, as the files of a folder would be."""
    features = builder.info.features
    known = features.values() if isinstance(features, tfds.features.FeaturesDict) else [features]
    kinds = {tfds.features.Audio: RECORDING, tfds.features.Video: CLIP}
    return next((of for kind, of in kinds.items() if any(isinstance(each, kind) for each in known)), IMAGE)


def prepared_builder(name: str, data_dir: str | Path | None) -> Any:
    """Finds a TFDS data set by name and downloads it when it is not there.

    Raises:
        UserError: No such data set, or it is not prepared and cannot be downloaded.
    """
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except (tfds.core.DatasetNotFoundError, ModuleNotFoundError, ValueError, AssertionError) as error:
        known = [*EMBEDDED, *tfds.list_builders(with_community_datasets=False)]
        family = name.split("/")[0].split(":")[0]
        if family in known:  # a config or version that does not exist
            raise UserError(f"cannot open data set {name!r}: {first_line(error)}") from error
        close = difflib.get_close_matches(family, known, n=3)
        hint = (
            f"did you mean {' or '.join(close)}?" if close else "give shapes, words, a TFDS name or a folder of images"
        )
        raise UserError(f"unknown data set {name!r}, which is no folder either; {hint}") from error
    return prepare(builder)


def prepare(builder: Any) -> Any:
    """Downloads or generates a builder's data set when it is not there yet; returns the builder.

    Raises:
        UserError: It cannot be downloaded, made or written.
    """
    if builder.data_path.exists():
        return builder
    folder = builder._data_dir_root
    if builder.name in MANUAL_DOWNLOADS:
        names, source = MANUAL_DOWNLOADS[builder.name]
        place = Path(folder) / "downloads" / "manual"
        if missing := [name for name in names if not (place / name).is_file()]:
            raise UserError(
                f"data set {builder.name} cannot be downloaded by a program: get {' and '.join(missing)} from {source}"
                f" with an account there, put them into {place} and start again (or give its data_dir)"
            )
    try:
        _find_hosts(builder)
        builder.download_and_prepare()
    except Exception as error:  # no network, moved downloads, files that must be placed by hand, a full disk
        if (
            isinstance(error, OSError) and (error.errno or 0) > 0
        ):  # not those of the network, which have none or a negative
            raise UserError(f"cannot write data set {builder.name} under {folder}: {error.strerror}") from error
        by_hand = getattr(builder, "MANUAL_DOWNLOAD_INSTRUCTIONS", None)
        advice = f"by hand: {' '.join(by_hand.split())}" if by_hand else "prepare it there on a machine with a network"
        raise UserError(
            f"data set {builder.name} is not prepared under {folder} and cannot be downloaded ({first_line(error)});"
            f" {advice}, or give its data_dir"
        ) from error
    return builder


def _find_hosts(builder: Any) -> None:
    """Fails at once where a download is needed and there is no network; TFDS would retry for many minutes."""
    downloads = epath.Path(builder._data_dir_root) / "downloads"
    hosts = {
        urllib.parse.urlsplit(url).hostname
        for url, info in (builder.url_infos or {}).items()
        if not resource.is_locally_cached(downloads / resource.get_dl_fname(url, info.checksum))
    }
    if not urllib.request.getproxies():  # a proxy resolves names itself
        for host in hosts - {None}:
            socket.getaddrinfo(host, None)


def _split(builder: Any, split: str, count: int, image_key: str, labels: Labels, kind: Kind) -> Split:
    feature = builder.info.features[image_key]

    def encoded_examples() -> tf.data.Dataset:
        return builder.as_dataset(
            split=split,
            shuffle_files=False,
            decoders={image_key: tfds.decode.SkipDecoding()},
            read_config=tfds.ReadConfig(try_autocache=False),
        )

    def decoded(encoded: tf.Tensor) -> tf.Tensor:
        return tf.numpy_function(kind.fitted(feature), [feature.decode_example(encoded)], kind.dtype)

    def stream(seed: tf.Tensor | None, first: tf.Tensor | int, select: Selection) -> tf.data.Dataset:
        encoded = encoded_examples().enumerate()
        encoded = encoded.map(lambda number, example: (example[image_key], labels.read(example), number))
        if seed is not None:
            # TensorFlow mixes its global seed in, and compares it with 0 in Python, which a symbolic seed cannot take.
            tf.compat.v1.get_default_graph().seed = 1
            encoded = encoded.shuffle(
                SHUFFLE_BUFFER, seed=seed[0] * 1_000_003 + seed[1], reshuffle_each_iteration=False
            )
        return select(encoded.skip(tf.cast(first, tf.int64))).map(
            lambda image, label, number: (decoded(image), label, number),
            num_parallel_calls=tf.data.AUTOTUNE,
        )

    def images(seed: tf.Tensor | None, first: tf.Tensor | int, select: Selection = select_all) -> tf.data.Dataset:
        # Inside flat_map there is a graph of its own, whose seed can be set without touching the caller's.
        if seed is None:
            return stream(None, first, select)
        return tf.data.Dataset.from_tensors((seed, tf.cast(first, tf.int64))).flat_map(
            lambda seed, first: stream(seed, first, select)
        )

    def all_labels() -> np.ndarray:
        return np.concatenate(list(encoded_examples().map(labels.read).batch(1024).as_numpy_iterator()))

    return Split(count, images, all_labels)


def _labelled(builder: Any, labels: Labels) -> bool:
    """Whether the test split has labels; contests such as imagenet2012 keep theirs and store −1."""
    examples = builder.as_dataset(split="test", shuffle_files=False).take(16)
    first = np.stack([labels.read(example) for example in examples])
    if labels.task.name == "detection":  # COCO's has images without boxes alone
        return len(labels.task.missing(first)) < len(labels.task.class_names)
    return bool(labels.task.readable(tf.constant(first[0])))
