"""What TensorBoard shows: read back from the event files, it is what history.csv and the data say."""

import csv
import io

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from keras_mobilenets import training
from keras_mobilenets.training.engine import tensorboard_logger
from keras_mobilenets.training.evaluation.examination import read_examination
from keras_mobilenets.training.tasks.classification import Classification

RECIPE = training.Recipe(epochs=3, learning_rate=0.02, augmentation="none")
TAGS = {
    "train": {"loss", "accuracy", "learning_rate", "images_per_second", "seconds"},
    "validation": {"loss", "accuracy"},
}


def network(size=32):
    keras.utils.set_random_seed(1)
    image = keras.Input((size, size, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, strides=4, activation="relu")(image))
    return keras.Model(image, layers.Dense(3, activation="softmax")(x), name="small")


def events(run_dir, part):
    """All that the event files hold, of all the times the training was started."""
    found = EventAccumulator(str(run_dir / "logs" / part), {"tensors": 0})
    found.Reload()
    return {
        tag: [(e.step, tf.make_ndarray(e.tensor_proto)) for e in found.Tensors(tag)] for tag in found.Tags()["tensors"]
    }


def pictures(run_dir, part, tag):
    """Each picture by the epoch it is of."""
    return {
        step: np.asarray(Image.open(io.BytesIO(bytes(value[2])))) for step, value in events(run_dir, part).get(tag, [])
    }


def assert_curves_are_the_history(run_dir):
    with open(run_dir / "history.csv") as file:
        rows = list(csv.DictReader(file))
    for part, prefix in (("train", ""), ("validation", "val_")):
        found = events(run_dir, part)
        assert {tag[6:] for tag in found if tag.startswith("epoch_")} == TAGS[part]
        for name in TAGS[part]:
            steps, values = zip(*found[f"epoch_{name}"], strict=True)
            assert list(steps) == [int(row["epoch"]) for row in rows]
            np.testing.assert_allclose(values, [float(row[prefix + name]) for row in rows], rtol=1e-6)


class StopError(Exception):
    """Ends a training as a kill does."""


def stop_at(step):
    steps = iter(range(1, 1000))

    def stop(batch, logs=None):
        if next(steps) == step:
            raise StopError

    return keras.callbacks.LambdaCallback(on_train_batch_end=stop)


@pytest.fixture(scope="module")
def run_dir(data, tmp_path_factory):
    """A training that was stopped in its second epoch and went on."""
    run_dir = tmp_path_factory.mktemp("runs") / "resumed"
    steps = data.steps_per_epoch() + 4
    with pytest.raises(StopError):
        training.fit(network(), data, RECIPE, run_dir, callbacks=[stop_at(steps)], checkpoint_seconds=0, verbose=0)
    training.fit(network(), data, RECIPE, run_dir, verbose=0)
    return run_dir


def test_curves_are_those_of_the_history_though_the_training_was_resumed(run_dir):
    assert_curves_are_the_history(run_dir)


def test_curves_of_a_tf_keras_model_are_those_of_the_history(data, tmp_path):
    recipe = training.Recipe(epochs=1)
    training.fit(training.to_tf_keras(network()), data, recipe, tmp_path, verbose=0)
    assert_curves_are_the_history(tmp_path)


def test_samples_are_the_images_of_the_first_step(run_dir, data):
    shown = pictures(run_dir, "train", "augmented_images")
    assert list(shown) == [1]
    images, labels = next(iter(data.epochs(0, 3, RECIPE.seed, "none")))
    pixels = np.rint((images.numpy() + 1) * 127.5).astype(np.uint8)
    names = [data.class_names[label] for label in labels.numpy()]
    np.testing.assert_array_equal(shown[1], tensorboard_logger.image_grid(pixels, names))
    np.testing.assert_array_equal(shown[1][4:132, 4:132], pixels[0].repeat(4, axis=0).repeat(4, axis=1))


def test_each_stage_shows_its_images(data, tmp_path):
    recipe = training.Recipe(epochs=2, stages=2, initial_size=0.5, augmentation="mixup:1")
    training.fit(network(), data, recipe, tmp_path, verbose=0)
    shown = pictures(tmp_path, "train", "augmented_images")
    assert list(shown) == [1, 2]
    assert is_magnified(shown[1], 7) and is_magnified(shown[2], 4)  # 16 and 32 pixels


def is_magnified(picture, factor):
    """Whether the first image of a sheet is made of squares of so many pixels."""
    image = picture[4 : 4 + 112, 4 : 4 + 112]
    return np.array_equal(image, image[::factor, ::factor].repeat(factor, axis=0).repeat(factor, axis=1))


def test_mixed_images_are_named_by_what_is_in_them():
    task = Classification(["red", "green", "blue"])
    assert task.caption(np.array([0.0, 0.25, 0.75])) == "75% blue + 25% green"
    assert task.caption(np.array([0.999, 0.001, 0.0])) == "red"
    assert task.caption(np.array(1)) == "green"


@pytest.mark.parametrize("classes", [2, 30, 31, 1000])
def test_confusion_picture_is_readable_with_any_number_of_classes(classes):
    confusion = np.diag(np.full(classes, 40))
    confusion[0, 1] = 10
    picture = tensorboard_logger.confusion_matrix_image(
        confusion, tuple(f"a name with ${i}$ and more than is shown" for i in range(classes))
    )
    assert picture.dtype == np.uint8 and picture.shape[2] == 3 and 300 <= min(picture.shape[:2]) <= 1600
    dark = (picture[..., 2] > picture[..., 0] + 60).sum() / picture[..., 0].size  # blue
    assert dark > 0.5 / classes


def test_confusion_matrix_is_shown_at_the_end(run_dir, data):
    found = read_examination(run_dir / "examination.npz")
    shown = pictures(run_dir, "validation", "confusion_matrix")
    assert list(shown) == [3] and found.count == data.count("validation")
    expected = tensorboard_logger.confusion_matrix_image(found.confusion, found.class_names)
    np.testing.assert_array_equal(shown[3], expected)
