"""A folder of images with a CSV of their labels: splits, damaged images, and what is wrong in one line."""

import warnings
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
        ([f"photos/{n}.png," for n in range(120)], "no training image of .* has labels"),
        (["photos/3.png,a", "photos/3.png,b"], "line 3: photos/3.png is there twice"),
        (["photos/3.png,a", "photos/4.png,a,b"], "line 3: has 3 cells for 2 columns; give an image and its labels"),
        (["gone.png,a"], "names 1 image, none of which is there"),
        (["photos/3.png,a"], "none falls into the validation split"),
        (['photos/3.png,"a'], "cannot be read as a table"),
    ],
)
def test_what_is_wrong_with_a_table_is_said_in_one_line(folder, lines, message):
    (folder / "labels.csv").write_text("\n".join(["image,labels", *lines]))
    with pytest.raises(UserError, match=message) as caught:
        training.load_data(folder, image_size=32)
    assert "\n" not in str(caught.value)


def has(number):
    return number % 2 == 0, number % 3 == 0


def listed(number, bar):
    return bar.join(name for name, there in zip(("red", "bright"), has(number), strict=True) if there)


def flagged(yes, no, *more):
    return lambda n: ",".join([f"photos/{n}.png", *(yes if there else no for there in has(n)), *(str(m) for m in more)])


@pytest.mark.parametrize(
    ("header", "line", "says"),
    [
        ("Filename;Tags", lambda n: f'"photos/{n}.png";"{listed(n, ",")}"', None),
        ("\ufefffile_name\tlabels", lambda n: f"photos\\{n}.png\t{listed(n, '; ')}\r", None),
        ("image_name,tags", lambda n: f"{n},{listed(n, ' ')}", "takes 'red bright' for several labels"),
        ("image,labels", lambda n: f"/home/x/photos/{n}.png,\"['{listed(n, chr(39) + ', ' + chr(39))}']\"", None),
        ("image_id,red,bright,width", flagged("1", "-1", 17), "left out the columns width"),
        ("id,red,bright,never", flagged("True", "", "0"), None),
        ("path,red,bright", flagged("1.0", "0.0"), None),
    ],
)
def test_tables_are_read_as_others_write_them(folder, header, line, says):
    images = range(0, 120, 3) if "Filename" in header else range(120)
    (folder / "labels.csv").write_text("\n".join([header, *map(line, images)]), encoding="utf-8")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        data = training.load_data(folder, image_size=32, batch_size=8)
    assert data.class_names == ["bright", "red"]
    assert sum(data.count(split) for split in ("train", "validation", "test")) == len(images)
    pixels, labels = data.images("train")
    np.testing.assert_array_equal(labels[:, 1], pixels[:, 9, 9, 0] > 0)
    np.testing.assert_array_equal(labels[:, 0], pixels[:, 9, 9].max(axis=1) == 200)
    assert [says in str(each.message) for each in said] == [True] if says else not said


@pytest.mark.parametrize("form", ["split", "is_valid", "celeb_a"])
def test_a_column_says_the_split_of_each_image(folder, form):
    part = {"split": ("Train", "val", "TEST"), "is_valid": ("False", "True", "True"), "celeb_a": (0, 1, 2)}[form]
    of = [part[0] if n < 90 else part[1] if n < 100 else part[2] for n in range(120)]
    lines = [flagged("1", "-1")(n) for n in range(120)]
    if form == "celeb_a":  # as its files lie at Kaggle
        rows = [f"photos/{n}.png,{of[n]}" for n in range(120)]
        (folder / "list_eval_partition.csv").write_text("\n".join(["image_id,partition", *rows]))
        (folder / "list_bbox.csv").write_text(
            "\n".join(["image_id,x_1,y_1", *(f"photos/{n}.png,9,{n}" for n in range(99))])
        )
        header = "image_id,red,bright"
    else:
        header, lines = f"image_id,red,bright,{form}", [f"{line},{each}" for line, each in zip(lines, of, strict=True)]
    (folder / "labels.csv").write_text("\n".join([header, *lines]))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        data = training.load_data(folder, image_size=32, batch_size=8)
    counts = [data.count(split) for split in ("train", "validation", "test")]
    assert counts == ([90, 30, 30] if form == "is_valid" else [90, 10, 20])
    says = {
        "split": None,
        "is_valid": "there is no test split",
        "celeb_a": "list_bbox.csv: left out, since it says no labels",
    }
    assert [str(says[form]) in str(each.message) for each in said] == [True] * (form != "split")


def test_what_a_table_leaves_unclear_is_said_or_refused(folder):
    table = folder / "labels.csv"
    table.write_text("\n".join(["image,labels", *(f"photos/{n}.png,{'a' if n % 2 else 'very b'}" for n in range(120))]))
    with (
        pytest.warns(UserWarning, match="takes 'very b' for one label"),
        pytest.warns(UserWarning, match="one folder per"),
    ):
        assert training.load_data(folder, 32).class_names == ["a", "very b"]
    rows = [f"photos/{n}.png,{'rare' if n == TESTED else 'a|b'}" for n in range(120)]
    table.write_text("\n".join(["image,labels", *rows]))
    with pytest.warns(UserWarning, match="left out labels that no training image has: rare"):
        assert training.load_data(folder, 32).class_names == ["a", "b"]
    table.write_text("\n".join(["image,a,b", "photos/1.png,1,0", "photos/2.png,-1,1"]))
    with pytest.raises(UserError, match="has 0 and −1, such as in column 'a'"):
        training.load_data(folder, 32)
    table.write_bytes("image,labels\nphotos/1.png,größe".encode("latin-1"))
    with pytest.raises(UserError, match="save it as CSV in UTF-8"):
        training.load_data(folder, 32)
    table.write_text("\n".join(["image,a,split", "photos/1.png,1,fold3"]))
    with pytest.raises(UserError, match="line 2: 'fold3' is no split; write train, validation or test"):
        training.load_data(folder, 32)
    for name in ("train", "val"):
        (folder / f"{name}.csv").write_text("\n".join(["image,labels", *rows[: 100 if name == "train" else 10]]))
    table.unlink()
    with pytest.warns(UserWarning, match="the validation split shares 10 images with the training split"):
        training.load_data(folder, 32)


def test_a_missing_file_is_not_replaced_by_one_of_its_name_elsewhere(folder):
    (folder / "photos" / "7.png").rename(folder / "7.png")
    (folder / "more").mkdir()
    (folder / "photos" / "8.png").rename(folder / "more" / "8.png")
    with pytest.warns(UserWarning, match=r"left out 2 images without a file, such as photos/7\.png"):
        training.load_data(folder, 32)


def test_a_table_that_repeats_class_folders_leaves_them_classes(folder):
    for name in ("cat", "dog"):
        (folder / "pets" / name).mkdir(parents=True)
        for number in range(40):
            (folder / "photos" / f"{number + 40 * (name == 'dog')}.png").rename(
                folder / "pets" / name / f"{number}.png"
            )
    rows = [f"{name}/{number}.png,{name}" for name in ("cat", "dog") for number in range(40)]
    (folder / "pets" / "pets.csv").write_text("\n".join(["filepaths,labels", *rows]))
    data = training.load_data(folder / "pets", 32)
    assert data.task.name == "classification" and data.class_names == ["cat", "dog"]
