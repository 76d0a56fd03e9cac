"""TFDS' own `celeb_a`, made from files of the form in which the data set is published, as a data set of 40 labels."""

import io

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.datasets.celeb_a.celeb_a_dataset_builder import ATTR_HEADINGS, LANDMARK_HEADINGS

from keras_mobilenets import training
from keras_mobilenets.training.datasets import dataset

COUNTS = (60, 12, 12)  # of train, validation, test: 0, 1, 2 in list_eval_partition.txt
RARE = ATTR_HEADINGS.index("Bald")


class Downloads:
    """Stands for TFDS' download manager: the published text files, and the photographs of their archive."""

    downloaded_size = 0

    def __init__(self, folder):
        self.folder, rng = folder, np.random.default_rng(0)
        names = [f"{number:06}.jpg" for number in range(1, 1 + sum(COUNTS))]
        self.has = rng.random((len(names), 40)) < 0.4
        self.has[:, RARE] = np.arange(len(names)) % 20 == 0
        parts = np.repeat([0, 1, 2], COUNTS)
        self._write("list_eval_partition", [f"{name} {part}" for name, part in zip(names, parts, strict=True)])
        marks = [" ".join("1" if one else "-1" for one in row) for row in self.has]
        self._write("list_attr_celeba", self._table(names, ATTR_HEADINGS, marks))
        places = ["69 109 106 113 77 142 73 152 108 154"] * len(names)
        self._write("landmarks_celeba", self._table(names, LANDMARK_HEADINGS, places))
        self._write("identity_celeba", [f"{name} {number}" for number, name in enumerate(names)])
        # A photograph tells its number by its grey.
        self.images = {name: self._photograph(number) for number, name in enumerate(names)}

    @staticmethod
    def _table(names, headings, values):
        return [str(len(names)), " ".join(headings), *(f"{n}  {v}" for n, v in zip(names, values, strict=True))]

    def _write(self, name, lines):
        (self.folder / f"{name}.txt").write_text("\n".join(lines) + "\n")

    @staticmethod
    def _photograph(number):
        file = io.BytesIO()
        Image.new("RGB", (178, 218), (3 * number,) * 3).save(file, "JPEG", quality=95)
        return file.getvalue()

    def download(self, urls):
        return {name: self.folder / f"{name}.txt" for name in urls}

    def iter_archive(self, path):
        return ((f"img_align_celeba/{name}", io.BytesIO(content)) for name, content in self.images.items())


@pytest.fixture(scope="module")
def celeb_a(tmp_path_factory):
    folder = tmp_path_factory.mktemp("celeb_a")
    builder, published = tfds.builder("celeb_a", data_dir=folder / "tfds"), Downloads(folder)
    builder._make_download_manager = lambda **_: published
    builder.download_and_prepare()
    return folder / "tfds", published.has


@pytest.mark.parametrize("in_memory", [True, False])
def test_celeb_a_is_a_data_set_of_forty_labels(celeb_a, monkeypatch, in_memory):
    folder, has = celeb_a
    monkeypatch.setattr(dataset, "MEMORY_LIMIT", 2**30 if in_memory else 0)
    data = training.load_data("celeb_a", image_size=32, batch_size=12, data_dir=folder)
    assert data.class_names == ATTR_HEADINGS and data.task.head == {"classes": 40, "classifier_activation": "sigmoid"}
    for split, first, count in zip(("train", "validation", "test"), (0, 60, 72), COUNTS, strict=True):
        pixels, labels = data.images(split)
        numbers = np.rint(pixels[:, 9, 9, 0] / 3).astype(int)
        assert sorted(numbers) == list(range(first, first + count))
        np.testing.assert_array_equal(labels, has[numbers])
        np.testing.assert_array_equal(data.labels(split), labels)
    weights = data.class_weights(training.Recipe(class_weights="balanced"))
    np.testing.assert_allclose(weights[:, RARE], [60 / (2 * 57), 60 / (2 * 3)], rtol=1e-6)
