"""CIFAR-10 by TFDS' own builder, offline, from an archive in the format of the true one: data_batch_1.bin and so on.

A record is one byte of label, then 1,024 bytes each of red, green and blue, row by row (the home page of CIFAR-10).
The archive lies where TFDS keeps the true one once it is downloaded, under a name made of its address and SHA-256.
"""

import io
import tarfile

import numpy as np
import pytest
import tensorflow_datasets as tfds
from etils import epath
from tensorflow_datasets.core.download import resource

from keras_mobilenets import training
from keras_mobilenets.training.datasets import dataset as loading

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
PER_FILE = 40  # of the 10,000 there are


@pytest.fixture(scope="module")
def cifar10(tmp_path_factory):
    """A data folder with the archive, and what is in it: file name to (labels, images)."""
    folder, rng = tmp_path_factory.mktemp("tfds"), np.random.default_rng(0)
    content = {}
    for name in [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]:
        content[name] = (
            rng.permutation(np.arange(PER_FILE, dtype=np.uint8) % 10),
            rng.integers(0, 256, (PER_FILE, 32, 32, 3), np.uint8),
        )
    members = {
        name: b"".join(
            bytes([label]) + image.transpose(2, 0, 1).tobytes() for label, image in zip(labels, images, strict=True)
        )
        for name, (labels, images) in content.items()
    }
    members["batches.meta.txt"] = ("\n".join(NAMES) + "\n\n").encode()
    known = tfds.builder("cifar10", data_dir=folder).url_infos[URL]
    path = epath.Path(folder / "downloads" / resource.get_dl_fname(URL, known.checksum))
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as archive:
        for name, record in members.items():
            entry = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            entry.size = len(record)
            archive.addfile(entry, io.BytesIO(record))
    resource.write_info_file(URL, path, "cifar10", "cifar-10-binary.tar.gz", known)
    return folder, content


def test_the_archive_is_read_as_its_format_says(cifar10):
    folder, content = cifar10
    data = training.load_data("cifar10", data_dir=folder)
    assert data.image_size == 32 and data.class_names == NAMES
    assert [data.count(split) for split in ("train", "validation", "test")] == [180, 20, 40]
    images, labels = (np.concatenate(parts) for parts in zip(*map(data.images, ("train", "validation")), strict=True))
    there = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}
    written = [content[f"data_batch_{number}.bin"] for number in range(1, 6)]
    assert there == {image.tobytes(): label for ls, files in written for label, image in zip(ls, files, strict=True)}
    images, labels = data.images("test")
    there = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}
    assert there == {image.tobytes(): label for label, image in zip(*content["test_batch.bin"], strict=True)}


def test_the_cifar_recipe_trains_on_it_and_its_shifts_are_of_four_pixels(cifar10, monkeypatch):
    monkeypatch.setattr(loading, "MEMORY_LIMIT", 0)  # streamed from the records, as large sets are
    data = training.load_data("cifar10", data_dir=cifar10[0], batch_size=60)
    augmentation = training.Recipe.named("cifar").augmentation
    batches = list(tfds.as_numpy(data.epochs(0, 2, 1, augmentation)))
    assert len(batches) == 6 and batches[0][0].shape == (60, 32, 32, 3)
    black = [(image == -1).all(axis=(1, 2)).sum() for images, _ in batches for image in images]  # rows from outside
    assert max(black) == 4 and min(black) == 0
