"""The embedded data set: the same everywhere, balanced, and not solvable by colour or by raw pixels."""

import dataclasses
import hashlib
import io
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from keras_mobilenets.training.datasets import shapes_renderer

TRAIN, TEST = 0, 2  # split numbers


def images(split: int, count: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    drawn = [
        Image.fromarray(shapes_renderer.example(2017, split, index)).resize((size, size)) for index in range(count)
    ]
    return np.stack([np.asarray(image) for image in drawn]), np.array(
        [shapes_renderer.label_of(i) for i in range(count)]
    )


@pytest.fixture(scope="module")
def pixels():
    return images(TRAIN, 1500, 32), images(TEST, 500, 32)


def digest(indices) -> str:
    drawn = {index: shapes_renderer.example(1, 0, index).tobytes() for index in indices}
    return hashlib.sha256(b"".join(drawn[index] for index in sorted(drawn))).hexdigest()


def test_images_are_the_same_in_another_process_and_another_order():
    there = f"import runpy; print(runpy.run_path({__file__!r})['digest'](reversed(range(12))))"
    answer = subprocess.run([sys.executable, "-c", there], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == digest(range(12))


def test_seed_split_and_index_each_change_the_image():
    drawn = [shapes_renderer.example(*key) for key in ((1, 0, 0), (2, 0, 0), (1, 1, 0), (1, 0, 10))]
    assert all(not np.array_equal(drawn[0], other) for other in drawn[1:])


@pytest.mark.parametrize("size", [64, 96, 160])
def test_image_has_the_size_asked_for(size):
    image = shapes_renderer.render(3, np.random.default_rng(0), size)
    assert image.shape == (size, size, 3)
    assert image.dtype == np.uint8


def test_renderer_needs_no_tensorflow():
    program = (
        "import sys; from keras_mobilenets.training.datasets import shapes_renderer as render; render.example(0, 0, 0);"
        "print(sorted({'tensorflow', 'keras', 'tensorflow_datasets'} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_streamed_images_are_the_rendered_ones_in_order():
    for index, png in enumerate(shapes_renderer.stream(1, 2, 7, workers=3)):
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png))), shapes_renderer.example(1, 2, index))
    assert index == 6


def test_renderers_end_with_the_program_that_reads_them():
    program = (
        "import os, signal; from keras_mobilenets.training.datasets import shapes_renderer as render;"
        "images = render.stream(0, 0, 10**6); next(images);"
        "print(open(f'/proc/{os.getpid()}/task/{os.getpid()}/children').read(), flush=True);"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    pids = [int(pid) for pid in answer.stdout.split()]
    assert len(pids) == 2
    deadline = time.monotonic() + 20
    while any(running(pid) for pid in pids):
        assert time.monotonic() < deadline, "a renderer outlived its reader"
        time.sleep(0.1)


def running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rsplit(")", 1)[1].split()[0] != "Z"


@pytest.mark.slow
def test_mean_colour_tells_nothing_about_the_class(pixels):
    (train, train_labels), (test, test_labels) = pixels
    centroids = np.stack([train[train_labels == label].mean((0, 1, 2)) for label in range(10)])
    distances = np.linalg.norm(test.mean((1, 2))[:, None] - centroids, axis=2)
    assert np.mean(distances.argmin(1) == test_labels) < 0.16  # chance: 0.10


def test_logistic_regression_on_pixels_stays_under_45_percent(pixels):
    (train, train_labels), (test, test_labels) = pixels
    mean, spread = train.mean(0), train.std(0)
    x, target = ((train - mean) / spread).reshape(len(train), -1), np.eye(10)[train_labels]
    weights = np.zeros((x.shape[1], 10))
    for _ in range(60):
        logits = x @ weights
        odds = np.exp(logits - logits.max(1, keepdims=True))
        weights -= 0.01 * (x.T @ (odds / odds.sum(1, keepdims=True) - target) / len(x) + 0.01 * weights)
    guesses = (((test - mean) / spread).reshape(len(test), -1) @ weights).argmax(1)
    assert np.mean(guesses == test_labels) < 0.45


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    shapes = pytest.importorskip("keras_mobilenets.training.datasets.shapes")
    sizes = dataclasses.replace(shapes.Shapes.SIZES, name="tiny", train=40, validation=20, test=30)
    builder = shapes.Shapes(data_dir=tmp_path_factory.mktemp("shapes"), config=sizes)
    builder.download_and_prepare()
    return builder


def test_builder_holds_balanced_splits_of_the_sizes_asked_for(tiny):
    for split, count in (("train", 40), ("validation", 20), ("test", 30)):
        labels = [int(example["label"]) for example in tiny.as_dataset(split=split)]
        assert np.bincount(labels, minlength=10).tolist() == [count // 10] * 10


def test_builder_stores_the_rendered_pixels(tiny):
    assert tiny.info.features["label"].names == list(shapes_renderer.LABELS)
    stored = {example["image"].numpy().tobytes(): int(example["label"]) for example in tiny.as_dataset(split="test")}
    assert stored == {shapes_renderer.example(2017, TEST, i).tobytes(): shapes_renderer.label_of(i) for i in range(30)}


def test_default_data_set_has_the_published_sizes(tmp_path):
    from keras_mobilenets.training.datasets.shapes import Shapes

    assert Shapes(data_dir=tmp_path).data_path == tmp_path / "shapes" / "1.0.0"
    assert (Shapes.SIZES.train, Shapes.SIZES.validation, Shapes.SIZES.test) == (8000, 1000, 2000)


def test_load_data_draws_the_data_set_on_first_use(tmp_path, monkeypatch):
    from keras_mobilenets import training
    from keras_mobilenets.training.datasets.shapes import Shapes

    few = dataclasses.replace(Shapes.SIZES, train=40, validation=10, test=10)
    monkeypatch.setattr(Shapes, "SIZES", few)
    data = training.load_data("shapes", image_size=32, batch_size=10, data_dir=tmp_path)
    images, labels = data.images("train")
    assert images.shape == (40, 32, 32, 3)
    assert sorted(labels) == sorted(list(range(10)) * 4)


def test_interrupted_generation_leaves_nothing_that_looks_prepared(tmp_path):
    program = (
        "import sys; from keras_mobilenets.training.datasets.shapes import Shapes;"
        "from keras_mobilenets.training.datasets.embedded_builder import Sizes;"
        "print('ready', flush=True);"
        "sizes = Sizes(name='tiny', train=10**5, validation=1, test=1);"
        "Shapes(data_dir=sys.argv[1], config=sizes).download_and_prepare()"
    )
    arguments = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        process.stdout.readline()
        while not list(tmp_path.glob("shapes/tiny/incomplete.*")):
            assert process.poll() is None
            time.sleep(0.1)
        process.kill()
    assert not (tmp_path / "shapes" / "tiny" / "1.0.0").exists()
