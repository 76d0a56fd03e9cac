"""Distillation: the loss of the paper, any teacher, what it says kept or not, and one line for what does not fit."""

import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from PIL import Image

import keras_mobilenets as km
from keras_mobilenets import UserError, training
from keras_mobilenets.training.datasets import dataset as module
from keras_mobilenets.training.objectives import distillation
from keras_mobilenets.training.objectives.teacher import FILE, TeacherTargets

SIZE = 32


def network(activation="softmax", size=SIZE, classes=3, seed=1):
    keras.utils.set_random_seed(seed)
    image = keras.Input((size, size, 3))
    x = layers.ReLU(6.0)(layers.BatchNormalization(momentum=0.8)(layers.Conv2D(8, 3, strides=2, use_bias=False)(image)))
    x = layers.Dense(classes, activation=activation)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(image, x, name="small")


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("temperature", [1.0, 4.0, 50.0])
@pytest.mark.parametrize("ending", [None, "softmax"])
def test_loss_and_gradient_are_those_of_the_paper(data, ending, temperature):
    alpha, random = 0.6, np.random.default_rng(0)
    v, z = random.normal(0, 3, (2, 8, 3))  # the paper's letters: logits of the teacher, of the student
    y = np.eye(3)[random.integers(0, 3, 8)]
    p, q = softmax(v / temperature), softmax(z / temperature)
    kl = (p * np.log(p / q)).sum(axis=1)
    expected = alpha * temperature**2 * kl - (1 - alpha) * (y * np.log(softmax(z))).sum(axis=1)
    # Equation 2, times T² as section 2 asks for, so that it keeps its size beside the labels' part.
    slope = alpha * temperature * (q - p) + (1 - alpha) * (softmax(z) - y)

    targets = TeacherTargets(data, network(), "none")
    objective = distillation._objective(network(ending), data, training.Recipe(), targets, temperature, alpha)
    rows, logits = tf.constant(np.hstack([y, v]), tf.float32), tf.constant(z, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        outputs = tf.nn.softmax(logits) if ending else logits
        loss = objective.loss(rows, outputs)
    np.testing.assert_allclose(loss, expected, rtol=2e-3)
    np.testing.assert_allclose(tape.gradient(loss, logits), slope, atol=2e-3)
    if temperature == 50:  # equation 4: its limit is the difference of the logits, of mean 0
        v, z = (x - x.mean(axis=1, keepdims=True) for x in (v, z))
        np.testing.assert_allclose(alpha * temperature * (q - p), alpha * (z - v) / 3, atol=0.1)
    np.testing.assert_array_equal(objective.accuracy(rows, outputs), z.argmax(axis=1) == y.argmax(axis=1))


def builder(name, **arguments):
    keras.utils.set_random_seed(0)
    return km.create_model(name, input_shape=(SIZE, SIZE, 3), classes=3, **arguments)


@pytest.mark.parametrize(
    "make",
    [
        lambda: network(),
        lambda: network(None),
        lambda: training.to_tf_keras(network()),
        lambda: keras.Sequential([network(None), layers.Lambda(lambda logits: keras.ops.softmax(logits))]),
        pytest.param(lambda: builder("ResNet50", alpha=0.125), marks=pytest.mark.slow),
        pytest.param(lambda: builder("EfficientNetB0", alpha=0.25, classifier_activation=None), marks=pytest.mark.slow),
    ],
    ids=["softmax", "logits", "tf_keras", "Sequential", "ResNet50", "EfficientNetB0"],
)
def test_rows_hold_what_any_teacher_says_of_the_images_shown(data, make):
    teacher = make()
    images, rows = next(TeacherTargets(data, teacher, "light").targets(data.epochs(0, 1, 0, "light")))
    said = np.asarray(teacher(images, training=False))
    are_probabilities = np.allclose(said.sum(axis=1), 1, atol=1e-4) and (said >= 0).all()
    expected = said if are_probabilities else softmax(said)
    np.testing.assert_allclose(softmax(rows[:, 3:].numpy()), expected, atol=1e-5)
    labels = next(iter(data.epochs(0, 1, 0, "light")))[1]
    np.testing.assert_array_equal(rows[:, :3], np.eye(3)[labels])


def test_mixed_images_are_shown_to_the_teacher_and_keep_their_shares(data):
    images, rows = next(TeacherTargets(data, network(None), "mixup").targets(data.epochs(0, 1, 0, "mixup:1")))
    np.testing.assert_allclose(rows[:, :3], next(iter(data.epochs(0, 1, 0, "mixup:1")))[1])
    np.testing.assert_allclose(rows[:, 3:], network(None)(images), atol=1e-5)


def test_validation_has_rows_too(data):
    teacher = network(None)
    batches = TeacherTargets(data, teacher, "light").validation(data.validation)
    for (images, rows), (same, labels) in zip(batches, data.validation, strict=True):
        np.testing.assert_array_equal(images, same)
        np.testing.assert_array_equal(rows[:, :3], np.eye(3)[labels])
        np.testing.assert_allclose(rows[:, 3:], teacher(images), atol=1e-5)


def test_a_student_that_hears_the_teacher_only_comes_to_agree_with_it(data, tmp_path):
    teacher, recipe = network(), training.Recipe(epochs=4, learning_rate=0.03, warmup_epochs=0, augmentation="none")
    training.fit(teacher, data, recipe, tmp_path / "teacher", verbose=0)
    student = training.quantize_aware(network(seed=5))  # of tf_keras, as a float student of Keras 3 in the command line
    history = training.distill(student, tmp_path / "teacher", data, recipe, tmp_path / "run", alpha=1.0, verbose=0)
    assert history.history["loss"][-1] < 0.5 * history.history["loss"][0]
    said, heard = (model.predict(data.test, verbose=0).argmax(axis=1) for model in (teacher, student))
    assert np.mean(said == heard) > 0.8
    with pytest.raises(UserError, match=r"distillation alpha 1\.0, not 0\.5"):
        training.distill(student, teacher, data, recipe, tmp_path / "run", alpha=0.5, verbose=0)
    with pytest.raises(UserError, match="distillation teacher_sha256"):
        training.distill(student, network(seed=9), data, recipe, tmp_path / "run", alpha=1.0, verbose=0)


@pytest.mark.parametrize("augmentation", ["none", "light", "crop+flip"])
def test_cached_logits_are_of_the_very_images_that_the_student_sees(data, augmentation):
    teacher = network(None)
    targets = TeacherTargets(data, teacher, augmentation, 2)
    steps, views, seen = data.steps_per_epoch(), targets.views, []
    for images, rows in targets.targets(data.epochs(0, 3, 7, augmentation, views=views)):
        np.testing.assert_allclose(rows[:, 3:], teacher(images), atol=1e-5)
        seen.append((images.numpy(), rows.numpy()))
    assert len(seen) == 3 * steps
    images, rows = next(
        iter(targets.targets(data.epochs(1, 3, 7, augmentation, first_step=4, views=views)))
    )  # as after a kill
    np.testing.assert_array_equal(images, seen[steps + 4][0])
    np.testing.assert_array_equal(rows, seen[steps + 4][1])


def test_views_take_turns_and_stay_the_same_whatever_the_seed(data):
    def by_place(epoch, seed):
        batches = data.epochs(epoch, epoch + 1, seed, "light", views=2)
        return {int(place): image for images, _, places in batches for image, place in zip(images, places, strict=True)}

    first, second, third = by_place(0, 1), by_place(1, 1), by_place(2, 8)
    both = first.keys() & third.keys()
    assert len(both) > 100 and first.keys().isdisjoint(second)  # an epoch leaves out what does not fill a batch
    for place in both:
        np.testing.assert_array_equal(first[place], third[place])
    count = data.count("train")
    apart = [place for place in first if place + count in second]
    assert np.mean([np.array_equal(first[place], second[place + count]) for place in apart]) < 0.1


@pytest.mark.slow
def test_cached_training_is_the_same_where_nothing_is_augmented_and_labels_are_not_smoothed(data, tmp_path):
    recipes = (
        training.Recipe(epochs=2, warmup_epochs=0, augmentation="none", label_smoothing=smoothing)
        for smoothing in (0.0, 0.4)
    )
    looked, cached = (
        training.distill(
            network(seed=5), network(), data, recipe, tmp_path / f"{views}", alpha=0.4, cached_views=views, verbose=0
        )
        for recipe, views in zip(recipes, (0, 5), strict=True)
    )
    for name in ("loss", "val_loss"):
        np.testing.assert_allclose(cached.history[name], looked.history[name], rtol=1e-4)
    with np.load(tmp_path / "5" / FILE) as archive:
        assert archive["logits"].shape == (1, data.count("train"), 3)  # five views would all be the same
    assert not (tmp_path / "0" / FILE).exists()
    asked = json.loads((tmp_path / "5" / "run.json").read_text())["distillation"]
    assert len(asked.pop("teacher_sha256")) == 64
    assert asked == {"teacher": "small", "temperature": 4.0, "alpha": 0.4, "cached_views": 1}


def looked_up(data, file, teacher=None, augmentation="light", views=1):
    """The rows of the first batch."""
    targets = TeacherTargets(data, teacher or network(), augmentation, views, file)
    return next(iter(targets.targets(data.epochs(0, 1, 0, augmentation, views=views))))[1].numpy()


def test_teacher_is_asked_once_for_all_students(data, tmp_path, monkeypatch):
    asked, ask = [], TeacherTargets._compute
    monkeypatch.setattr(TeacherTargets, "_compute", lambda targets: asked.append(1) or ask(targets))
    file = tmp_path / "new folder" / "said.npz"
    first, second = looked_up(data, file), looked_up(data, file)
    assert len(asked) == 1
    np.testing.assert_array_equal(first, second)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.warns(UserWarning, match=r"said.npz is damaged .*computing the teacher logits again"):
        np.testing.assert_array_equal(looked_up(data, file), first)
    looked_up(data, file)
    assert len(asked) == 2


def test_logits_of_something_else_are_refused(data, tmp_path):
    looked_up(data, tmp_path / "said.npz")
    for other, says in (
        ({"teacher": network(seed=3)}, "teacher_sha256"),
        ({"views": 2}, "views 1, not 2"),
        ({"augmentation": "flip"}, "augmentation light, not flip"),
    ):
        with pytest.raises(UserError, match=f"said.npz holds teacher logits of another training: {says}"):
            looked_up(data, tmp_path / "said.npz", **other)


def test_logits_of_changed_images_are_refused(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "photos")
    looked_up(training.load_data(tmp_path / "photos", SIZE, 16), tmp_path / "said.npz")
    for path in (tmp_path / "photos" / "red").iterdir():
        Image.open(path).rotate(90).save(path)
    with pytest.raises(UserError, match="images_sha256"):
        looked_up(training.load_data(tmp_path / "photos", SIZE, 16), tmp_path / "said.npz")


def test_streamed_images_have_their_logits_too(folder, monkeypatch):
    monkeypatch.setattr(module, "MEMORY_LIMIT", 0)
    streamed, teacher = training.load_data(folder, SIZE, 16), network(None)
    batches = streamed.epochs(0, 2, 0, "light", views=1)
    for images, rows in TeacherTargets(streamed, teacher, "light", 1).targets(batches):
        np.testing.assert_allclose(rows[:, 3:], teacher(images), atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"temperature": 0}, "temperature=0"),
        ({"alpha": 1.5}, "alpha=1.5"),
        ({"cached_views": -1}, "cached_views=-1"),
        ({"cache_file": "said.npz"}, "goes with cached_views"),
        ({"cached_views": 1, "recipe": training.Recipe(augmentation="light+mixup")}, "leave mixup and cutmix out"),
        ({"teacher": network(classes=4)}, "the teacher has output 4, but .* has 3 classes"),
        ({"teacher": network(size=48)}, "the teacher takes images of 48×48×3"),
        ({"teacher": keras.Model(*[layers.Input((None, None, 3))] * 2)}, "the teacher has output 32×32×3"),
        ({"teacher": keras.Sequential([layers.Dense(3), layers.Reshape((5,))])}, "the teacher cannot take images"),
        ({"teacher": 3}, "a Keras model is needed"),
        ({"teacher": "none.keras"}, "none.keras does not exist"),
        ({"teacher": "ResNet50"}, "ResNet50 is a builder"),
        ({"teacher": "runs/x_int8.tflite"}, "is a converted model"),
        ({"teacher": __file__}, "is not a .keras file"),
        ({"teacher": "."}, "model.keras does not exist"),
    ],
)
def test_what_does_not_fit_is_one_line(data, arguments, says):
    with pytest.raises(UserError, match=says) as raised:
        training.distill(network(), **{"teacher": network(), "data": data, "verbose": 0} | arguments)
    assert "\n" not in str(raised.value)


def test_a_model_does_not_teach_itself(data):
    model = network()
    with pytest.raises(UserError, match="share weights"):
        training.distill(model, keras.Sequential([model]), data)
