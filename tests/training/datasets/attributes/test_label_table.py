"""A folder of images with a CSV of their labels: splits, damaged images, and what is wrong in one line."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_mobilenets import UserError, training
from keras_mobilenets.training.datasets import dataset
from keras_mobilenets.training.datasets.split import share_of

TESTED = next(number for number in range(120) if share_of(Path(f"photos/{number}.png")) >= 0.9)


@pytest.fixture
def folder(tmp_path):
    """120 images below photos/, red where they have that label, and bright where they have that one."""
    (tmp_path / "photos").mkdir()
    lines = ["image,labels"]
    for number in range(120):
        red, bright = number % 2 == 0, number % 3 == 0
        colour = (100 + 100 * bright, 0, 0) if red else (0, 0, 100 + 100 * bright)
        Image.new("RGB", (40, 32), colour).save(tmp_path / "photos" / f"{number}.png")
        names = "|".join(name for name, has in (("red", red), ("bright", bright)) if has)
        lines.append(f"photos/{number}.png,{names}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    return tmp_path


@pytest.mark.parametrize("in_memory", [True, False])
def test_each_image_has_its_labels(folder, monkeypatch, in_memory):
    monkeypatch.setattr(dataset, "MEMORY_LIMIT", 2**30 if in_memory else 0)
    data = training.load_data(folder, image_size=32, batch_size=8)
    assert data.task.name == "attributes" and data.class_names == ["bright", "red"]
    counts = [data.count(split) for split in ("train", "validation", "test")]
    assert sum(counts) == 120 and counts[0] >= 80 and min(counts) >= 4
    for split in ("train", "validation", "test"):
        pixels, labels = data.images(split)
        np.testing.assert_array_equal(labels[:, 1], pixels[:, 9, 9, 0] > 0)
        np.testing.assert_array_equal(labels[:, 0], pixels[:, 9, 9].max(axis=1) == 200)
        assert len(data.labels(split)) == len(labels)
    images, soft = next(iter(data.epochs(0, 1, augmentation="mixup:0.2")))
    assert soft.shape == (8, 2) and soft.dtype == "float32" and images.shape == (8, 32, 32, 3)


def test_tables_named_as_splits_are_used_as_they_are(folder):
    lines = (folder / "labels.csv").read_text().splitlines()
    (folder / "labels.csv").unlink()
    for name, part in (("train", lines[1:80]), ("val", lines[80:100]), ("test", lines[100:])):
        (folder / f"{name}.csv").write_text("\n".join(part))  # without a header
    data = training.load_data(folder, image_size=32)
    assert [data.count(split) for split in ("train", "validation", "test")] == [79, 20, 21]
    (folder / "more.csv").write_text(lines[3])
    with pytest.raises(UserError, match=r"holds more.csv, test.csv, train.csv, val.csv: keep one table of labels, or"):
        training.load_data(folder)


def test_a_damaged_image_and_one_that_is_missing_are_named(folder):
    for number in range(0, 120, 10):
        (folder / "photos" / f"{number}.png").write_bytes(b"no image")
    (folder / "photos" / "119.png").unlink()
    with pytest.warns(UserWarning, match="left out 1 image without a file, such as photos/119.png"):
        data = training.load_data(folder, image_size=32)
    with pytest.warns(UserWarning, match=r"skipped .*0\.png"):
        left = sum(data.count(split) for split in ("train", "validation", "test"))
    assert left == 120 - 12 - 1


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["photos/3.png,"], "has no labels"),
        (["photos/3.png,a", "photos/3.png,b"], "line 3: photos/3.png is there twice"),
        (["photos/3.png,a", "photos/4.png,a,b"], "line 3: give an image and its labels"),
        (["gone.png,a"], "names 1 image, none of which is there"),
        (["photos/3.png,a"], "none falls into the validation split"),
        ([f"photos/{n}.png,{'rare' if n == TESTED else 'a'}" for n in range(120)], "no training image .* label 'rare'"),
        (['photos/3.png,"a'], "cannot be read as a table"),
    ],
)
def test_what_is_wrong_with_a_table_is_said_in_one_line(folder, lines, message):
    (folder / "labels.csv").write_text("\n".join(["image,labels", *lines]))
    with pytest.raises(UserError, match=message) as caught:
        training.load_data(folder, image_size=32)
    assert "\n" not in str(caught.value)
