"""load_data: folders as people have them, TFDS data sets by name, splits that stay put."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from keras_mobilenets import UserError, preprocess_input, training
from keras_mobilenets.pixels import image_decoder
from keras_mobilenets.training.datasets import dataset
from keras_mobilenets.training.datasets.images import light

COLOURS = {"blue": (20, 30, 200), "green": (30, 200, 20), "red": (200, 20, 30)}


def save(path, colour, size=(40, 32), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, **options)


@pytest.fixture
def folder(tmp_path):
    for name, colour in COLOURS.items():
        for i in range(40):
            save(tmp_path / "images" / name / f"{i}.png", (*colour[:2], (colour[2] + i) % 256))
    return tmp_path / "images"


def test_folder_gives_three_splits_of_scaled_images_and_labels(folder):
    loaded = training.load_data(folder, image_size=32, batch_size=16)
    assert loaded.class_names == ["blue", "green", "red"]
    counts = {split: loaded.count(split) for split in ("train", "validation", "test")}
    assert sum(counts.values()) == 120 and 80 <= counts["train"] <= 108 and min(counts.values()) >= 4
    images, labels = next(iter(loaded.train))
    assert images.shape == (16, 32, 32, 3) and images.dtype == tf.float32 and labels.dtype.is_integer
    pixels, raw_labels = loaded.images("train")
    assert pixels.dtype == np.uint8 and len(pixels) == counts["train"]
    for pixel, label in zip(pixels[:, 5, 5], raw_labels, strict=True):
        assert tuple(pixel[:2]) == list(COLOURS.values())[label][:2]
    validation = np.concatenate([batch for batch, _ in loaded.validation])
    np.testing.assert_array_equal(validation, preprocess_input(loaded.images("validation")[0]))


def test_adding_files_moves_none_between_splits(folder):
    def members(loaded, split):
        return {image.tobytes() for image in loaded.images(split)[0]}

    before = training.load_data(folder, image_size=32)
    for name in COLOURS:
        for i in range(40, 80):
            save(folder / name / f"new_{i}.png", (i, i, i))
    after = training.load_data(folder, image_size=32)
    for split in ("train", "validation", "test"):
        assert members(before, split) <= members(after, split)
        assert after.count(split) > before.count(split)


def test_split_folders_are_used_as_they_are(tmp_path):
    for part, count in (("train", 30), ("val", 5), ("test", 7)):
        for name, colour in COLOURS.items():
            for i in range(count):
                save(tmp_path / part / name / f"{i}.png", colour)
    loaded = training.load_data(tmp_path, image_size=32)
    assert [loaded.count(split) for split in ("train", "validation", "test")] == [90, 15, 21]


def test_missing_validation_folder_is_cut_from_train(tmp_path):
    for part, count in (("train", 60), ("test", 5)):
        for name, colour in COLOURS.items():
            for i in range(count):
                save(tmp_path / part / name / f"{i}.png", colour)
    loaded = training.load_data(tmp_path, image_size=32)
    assert loaded.count("train") + loaded.count("validation") == 180 and 5 <= loaded.count("validation") <= 36
    assert loaded.count("test") == 15


@pytest.mark.parametrize("in_memory", [True, False])
def test_truncated_jpeg_is_skipped_and_named(folder, monkeypatch, in_memory):
    monkeypatch.setattr(dataset, "MEMORY_LIMIT", 2**30 if in_memory else 0)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    for i in range(10):
        path = folder / "red" / f"torn_{i}.jpg"
        Image.fromarray(noise).save(path)
        path.write_bytes(path.read_bytes()[:1500])
    loaded = training.load_data(folder, image_size=32, batch_size=8)
    with pytest.warns(UserWarning, match=r"skipped .*torn_\d\.jpg: .*truncated"):
        batches = [images for split in (loaded.train, loaded.validation, loaded.test) for images, _ in split]
    unreadable = (np.concatenate(batches) == -1.0).all(axis=(1, 2, 3))
    assert not unreadable.any()


def test_empty_class_is_an_error(folder):
    (folder / "yellow").mkdir()
    with pytest.raises(UserError, match=r"yellow holds no images"):
        training.load_data(folder)


def test_folder_with_one_class_is_an_error(tmp_path):
    save(tmp_path / "cats" / "1.png", (1, 2, 3))
    with pytest.raises(UserError, match="1 class folder"):
        training.load_data(tmp_path)


def test_missing_folder_is_an_error(tmp_path):
    with pytest.raises(UserError, match="not a folder"):
        training.load_data(tmp_path / "nowhere")


@pytest.mark.parametrize("bad", [{"image_size": 0}, {"batch_size": 0}, {"limit": 0}, {"limit": {"test": 0}}])
def test_sizes_below_one_are_errors(folder, bad):
    with pytest.raises(UserError, match="at least 1"):
        training.load_data(folder, **bad)


def test_odd_formats_are_read_as_a_viewer_shows_them(tmp_path):
    left_red = np.zeros((32, 64, 3), np.uint8)
    left_red[:, :32] = (255, 0, 0)
    picture = Image.fromarray(left_red)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90° clockwise to show: the left half comes to the top
    grey16 = Image.fromarray(np.full((32, 32), 128 * 257, np.uint16))
    hole = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    write = {
        "rotated.jpg": lambda path: picture.save(path, exif=exif, quality=95),
        "cmyk.jpg": lambda path: Image.new("RGB", (32, 32), (255, 0, 0)).convert("CMYK").save(path, quality=95),
        "grey.png": lambda path: Image.new("L", (32, 32), 77).save(path),
        "grey16.png": lambda path: grey16.save(path),
        "palette.png": lambda path: Image.new("RGB", (32, 32), (0, 255, 0)).convert("P").save(path),
        "hole.png": lambda path: hole.save(path),
        "photo.webp": lambda path: Image.new("RGB", (32, 32), (0, 0, 255)).save(path, lossless=True),
    }
    pixel = {}
    for name, save_as in write.items():
        save_as(tmp_path / name)
        pixel[name] = image_decoder.read_image(tmp_path / name, 32)
        assert pixel[name].shape == (32, 32, 3) and pixel[name].dtype == np.uint8
    near = {"atol": 6}
    np.testing.assert_allclose(pixel["rotated.jpg"][3, 16], (255, 0, 0), **near)
    np.testing.assert_allclose(pixel["rotated.jpg"][28, 16], (0, 0, 0), **near)
    np.testing.assert_allclose(pixel["cmyk.jpg"][9, 9], (255, 0, 0), **near)
    np.testing.assert_array_equal(pixel["grey.png"][9, 9], (77, 77, 77))
    np.testing.assert_array_equal(pixel["grey16.png"][9, 9], (128, 128, 128))
    np.testing.assert_array_equal(pixel["palette.png"][9, 9], (0, 255, 0))
    np.testing.assert_array_equal(pixel["hole.png"][9, 9], (255, 255, 255))
    np.testing.assert_array_equal(pixel["photo.webp"][9, 9], (0, 0, 255))


def test_wide_images_are_cropped_not_squeezed():
    wide = np.zeros((32, 96, 3), np.uint8)
    wide[:, 32:64] = 255  # the centre square
    assert image_decoder.center_crop(wide, 32).min() == 255


def test_epochs_depend_on_seed_and_epoch_alone(folder):
    loaded = training.load_data(folder, image_size=32, batch_size=16)

    def read(*args):
        return np.stack([images for images, _ in loaded.epochs(*args)])

    steps = loaded.steps_per_epoch()
    whole = read(0, 3, 7, "light")
    assert len(whole) == 3 * steps
    np.testing.assert_array_equal(read(2, 3, 7, "light"), whole[2 * steps :])
    assert (read(2, 3, 8, "light") != whole[2 * steps :]).any()
    assert (whole[:steps] != whole[steps : 2 * steps]).any()


@pytest.mark.parametrize("source", ["folder", "dots"])
@pytest.mark.parametrize("in_memory", [True, False])
def test_epochs_begin_at_any_step(folder, dots_dir, monkeypatch, source, in_memory):
    monkeypatch.setattr(dataset, "MEMORY_LIMIT", 2**30 if in_memory else 0)
    if source == "folder":
        for i in range(5):
            (folder / "red" / f"{i}.png").write_bytes(b"no image")
        loaded = training.load_data(folder, image_size=32, batch_size=8)
    else:
        loaded = training.load_data("dots", image_size=32, batch_size=8, data_dir=dots_dir)
    steps = loaded.steps_per_epoch()
    with warnings.catch_warnings(action="ignore"):
        whole = list(tfds.as_numpy(loaded.epochs(1, 3, 7, "light")))
        for first_step in (1, steps - 2):
            rest = list(tfds.as_numpy(loaded.epochs(1, 3, 7, "light", first_step=first_step)))
            assert len(rest) == 2 * steps - first_step
            for ours, theirs in zip(rest, whole[first_step:], strict=True):
                np.testing.assert_array_equal(ours[0], theirs[0])
                np.testing.assert_array_equal(ours[1], theirs[1])


def test_an_epoch_holds_every_image_once(folder):
    loaded = training.load_data(folder, image_size=32, batch_size=1)
    seen = sorted(images.tobytes() for images in tfds.as_numpy(loaded.epochs(4, 5).map(lambda image, _: image)))
    assert seen == sorted(image.tobytes() for image in preprocess_input(loaded.images("train")[0]))


def test_streamed_data_equal_data_in_memory(folder, monkeypatch):
    in_memory = training.load_data(folder, image_size=32, batch_size=16)
    monkeypatch.setattr(dataset, "MEMORY_LIMIT", 0)
    streamed = training.load_data(folder, image_size=32, batch_size=16)
    for ours, theirs in zip(in_memory.epochs(1, 3, 5, "light"), streamed.epochs(1, 3, 5, "light"), strict=True):
        np.testing.assert_array_equal(ours[0], theirs[0])
        np.testing.assert_array_equal(ours[1], theirs[1])


def test_light_augmentation_keeps_range_and_changes_each_image_differently():
    image = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8)
    images = tf.constant(np.repeat(image, 16, axis=0))
    result = light(images, tf.constant([1, 2], tf.int64)).numpy()
    assert result.min() >= -1 and result.max() <= 1
    assert len({one.tobytes() for one in result}) == 16
    np.testing.assert_array_equal(result, light(images, tf.constant([1, 2], tf.int64)))


class Dots(tfds.core.GeneratorBasedBuilder):
    """Grey images of two classes, without a validation split, in TFDS' own format."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(None, None, 1)),
            "label": tfds.features.ClassLabel(names=["dark", "light"]),
            "id": tfds.features.Text(),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(100), "test": self._generate_examples(20)}

    def _generate_examples(self, count):
        for i in range(count):
            grey = np.full((28, 30, 1), 50 + 150 * (i % 2) + i % 50, np.uint8)
            yield i, {"image": grey, "label": i % 2, "id": str(i)}


@pytest.fixture(scope="module")
def dots_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("tfds")
    Dots(data_dir=path).download_and_prepare()
    return path


@pytest.mark.parametrize("in_memory", [True, False])
def test_tfds_data_set_by_name_and_data_dir(dots_dir, monkeypatch, in_memory):
    monkeypatch.setattr(dataset, "MEMORY_LIMIT", 2**30 if in_memory else 0)
    loaded = training.load_data("dots", image_size=32, batch_size=10, data_dir=dots_dir)
    assert loaded.class_names == ["dark", "light"]
    assert [loaded.count(split) for split in ("train", "validation", "test")] == [90, 10, 20]
    for split in ("train", "validation", "test"):
        pixels, labels = loaded.images(split)
        assert pixels.shape[1:] == (32, 32, 3)
        np.testing.assert_array_equal(pixels[:, 16, 16, 0] >= 150, labels == 1)
    assert sum(len(labels) for _, labels in loaded.train) == 90
    whole = [images.numpy() for images, _ in loaded.epochs(0, 2, 3)]
    np.testing.assert_array_equal(np.stack(whole[9:]), np.stack([images for images, _ in loaded.epochs(1, 2, 3)]))


def test_the_order_of_a_stream_does_not_depend_on_the_global_seed(dots_dir, monkeypatch):
    monkeypatch.setattr(dataset, "MEMORY_LIMIT", 0)
    loaded = training.load_data("dots", image_size=32, batch_size=10, data_dir=dots_dir)
    drawn = []
    for seed in (0, 5):
        keras.utils.set_random_seed(seed)
        drawn.append((np.stack([x for x, _ in loaded.epochs(0, 1, 3)]), loaded.images("train", 20, seed=1)[0]))
    for one, other in zip(*drawn, strict=True):
        np.testing.assert_array_equal(one, other)


def test_limit_takes_so_many_of_each_split(dots_dir, folder):
    loaded = training.load_data("dots", image_size=32, data_dir=dots_dir, limit=8)
    assert [loaded.count(split) for split in ("train", "validation", "test")] == [8, 8, 8]
    loaded = training.load_data(folder, image_size=32, limit=30)
    assert loaded.count("train") == 30 and len(set(loaded.images("train")[1])) == 3


def test_limit_of_one_split_leaves_the_others_whole(dots_dir, folder):
    for where in ({"name": "dots", "data_dir": dots_dir}, {"name": folder}):
        whole = training.load_data(image_size=32, **where)
        few = training.load_data(image_size=32, limit={"train": 9}, **where)
        assert few.count("train") == 9
        assert [few.count(split) for split in ("validation", "test")] == [
            whole.count(split) for split in ("validation", "test")
        ]
    with pytest.raises(UserError, match="the splits are train, validation, test"):
        training.load_data(folder, limit={"training": 9})


def test_unknown_name_says_what_is_close(tmp_path):
    with pytest.raises(UserError, match="cifar10") as caught:
        training.load_data("cifar1O", data_dir=tmp_path)
    assert "\n" not in str(caught.value)


def test_images_draws_the_same_ones_for_the_same_seed(folder):
    loaded = training.load_data(folder, image_size=32)
    first, again, other = (loaded.images("train", 10, seed=seed)[0] for seed in (0, 0, 1))
    assert first.shape == (10, 32, 32, 3)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
