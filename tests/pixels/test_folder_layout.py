"""Folders as Kaggle, Roboflow, benchmarks and zips give them: the right images in each split, or one line."""

import warnings

import pytest
from PIL import Image

from keras_mobilenets import UserError
from keras_mobilenets.pixels.folder_layout import find_layout, split_of_name

CLASSES = ("cat", "dog", "fox")


def fill(folder, names, count=2):
    """`count` image files (empty: the layout reads none) in each folder of that name."""
    for name in names:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            (folder / name / f"{number}.JPG").touch()


def found(folder):
    """Numbers of images by split, and what was said."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        layout = find_layout(folder)
    assert layout.class_names == sorted(CLASSES)
    lines = [str(warning.message) for warning in caught]
    assert not any("\n" in line for line in lines)
    return {split: sum(map(len, classes.values())) for split, classes in layout.images.items()}, lines


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("train", "val", "test"),
        ("train", "valid", "test"),  # Roboflow
        ("Training", "Validation", "Testing"),  # Kaggle's brain MRI
        ("TRAIN", "DEV", "TEST"),
        ("train_set", "eval_set", "test_set"),
        ("images_train", "images_val", "images_test"),
        ("TrainSet", "ValidationSet", "TestSet"),
        ("trainset", "valset", "testset"),
        ("training data", "validation data", "testing data"),
        ("train2017", "val2017", "test2017"),  # COCO
        ("Train", "Validate", "holdout"),
        ("train", "dev", "tests"),
        ("seg_train/seg_train", "seg_val/seg_val", "seg_test/seg_test"),  # Intel's scenes
    ],
)
def test_split_folders_have_many_names(tmp_path, train, validation, test):
    for number, split in enumerate((train, validation, test), 1):
        fill(tmp_path / split, CLASSES, number)
    assert found(tmp_path) == ({"train": 3, "validation": 6, "test": 9}, [])


@pytest.mark.parametrize("name", ["cat", "contest", "trainer", "bus", "evil", "2750", "train_val", "latest"])
def test_other_names_are_no_splits(name):
    assert split_of_name(name) is None


@pytest.mark.parametrize(
    "wrapper", ["archive", "ILSVRC/Data/CLS-LOC", "New Plant Diseases(Augmented)/New Plant Diseases(Augmented)"]
)
def test_wrappers_and_what_systems_leave_are_passed_over(tmp_path, wrapper):
    fill(tmp_path / wrapper / "train", CLASSES)
    fill(tmp_path / wrapper / "val", CLASSES)
    fill(tmp_path / "__MACOSX" / wrapper / "train", CLASSES)
    for junk in (".DS_Store", "Thumbs.db", "._0.jpg"):
        (tmp_path / wrapper / "train" / "cat" / junk).touch()
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations" / "0.xml").touch()
    counts, (line,) = found(tmp_path)
    assert counts == {"train": 6, "validation": 6} and line.endswith(f"takes the images from {tmp_path / wrapper}")


@pytest.mark.parametrize("inside", ["", "test", "images", "unknown"])
def test_a_test_folder_without_classes_is_named_and_left_out(tmp_path, inside):
    fill(tmp_path / "train", CLASSES)
    fill(tmp_path / "test", [inside], 30)
    counts, (line,) = found(tmp_path)
    assert counts == {"train": 6} and f"{tmp_path / 'test'}: left out, since its 30 image(s)" in line


def test_classes_may_miss_in_a_split_but_not_be_new_there(tmp_path):
    fill(tmp_path / "train", CLASSES)
    fill(tmp_path / "valid", ("cat", "dog"))
    counts, (line,) = found(tmp_path)
    assert counts == {"train": 6, "validation": 4} and line.endswith("valid: has no images of fox")
    fill(tmp_path / "valid", ("Fox", "gnu"))
    with pytest.raises(UserError, match="valid has classes that the training images do not have: Fox, gnu"):
        find_layout(tmp_path)


def test_of_two_folders_for_a_split_the_plain_name_is_taken(tmp_path):
    for name in ("Training", "Test", "test-multiple_fruits", "papers"):  # fruits-360
        fill(tmp_path / name, CLASSES)
    counts, (line,) = found(tmp_path)
    assert counts == {"train": 6, "test": 6}
    assert "uses Training, Test and leaves out papers, test-multiple_fruits" in line
    fill(tmp_path / "testing", CLASSES)
    with pytest.raises(UserError, match="Test, testing all name the test split"):
        find_layout(tmp_path)


def test_a_class_may_be_named_as_a_split(tmp_path):
    fill(tmp_path, ("bus", "test", "train"))  # CIFAR-100 has a class "train"
    with pytest.warns(UserWarning, match="takes test, train for classes, not for splits"):
        assert find_layout(tmp_path).class_names == ["bus", "test", "train"]


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (["train", "test"], "holds test, train, but no training folder with a folder per class"),  # cats and dogs
        (["val/cat", "val/dog", "test/cat", "test/dog"], "holds test, val, but no training folder"),
        (["train/cat", "train/dog", "unlabeled"], "unlabeled beside it is no split"),
        (["cat/train", "cat/test", "dog/train", "dog/test"], "cat is divided into test, train; divide"),
        (["train/cat", "test/cat"], "train holds 1 class folder"),
        ([""], r"holds 2 image\(s\) without classes; to train"),
        ([], "holds 0 class folder"),
    ],
)
def test_what_cannot_be_understood_is_one_line(tmp_path, folders, message):
    fill(tmp_path, folders)
    with pytest.raises(UserError, match=message) as caught:
        find_layout(tmp_path)
    assert "\n" not in str(caught.value)


def test_nested_folders_and_links_belong_to_their_class(tmp_path):
    store = tmp_path / "store"
    fill(store, ["a/b", "a/c"])
    fill(tmp_path / "data", CLASSES[1:])
    (tmp_path / "data" / "cat").symlink_to(store, target_is_directory=True)
    (store / "a" / "around").symlink_to(store, target_is_directory=True)
    (tmp_path / "data" / "dog" / "9.PNG").symlink_to(store / "a" / "b" / "0.JPG")
    assert found(tmp_path / "data") == ({"all": 4 + 3 + 2}, [])


def test_images_beside_the_class_folders_are_named(tmp_path):
    fill(tmp_path, CLASSES)
    Image.new("RGB", (8, 8)).save(tmp_path / "sample.png")
    counts, (line,) = found(tmp_path)
    assert counts == {"all": 6} and line.endswith("left out 1 image(s) that lie beside the class folders")
