"""Distillation: the loss of the paper, students of either Keras, and one line for what does not fit together."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_mobilenets import UserError, training
from keras_mobilenets.training import distillation

SIZE = 32


def network(activation="softmax", size=SIZE, classes=3, seed=1):
    keras.utils.set_random_seed(seed)
    image = keras.Input((size, size, 3))
    x = layers.ReLU(6.0)(layers.BatchNormalization(momentum=0.8)(layers.Conv2D(8, 3, strides=2, use_bias=False)(image)))
    x = layers.Dense(classes, activation=activation)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(image, x, name="small")


@pytest.mark.parametrize("teacher_activation", ["softmax", None])
@pytest.mark.parametrize("student_activation", ["softmax", None])
def test_loss_is_that_of_the_paper(student_activation, teacher_activation):
    temperature, alpha = 3.0, 0.6
    student, teacher = network(student_activation), network(teacher_activation, seed=2)
    objective = distillation._objective(student, teacher, 3, temperature, alpha)
    images = np.random.default_rng(0).uniform(-1, 1, (4, SIZE, SIZE, 3)).astype(np.float32)
    labels = np.array([0, 2, 1, 1])
    batches = tf.data.Dataset.from_tensors((images, labels))
    shown, target = next(iter(objective.targets(batches)))
    np.testing.assert_array_equal(shown, images)

    def soft(model, activation):
        outputs = model.predict(images, verbose=0).astype(np.float64)
        logits = (np.log(outputs) if activation else outputs) / temperature
        return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)

    p, q = soft(teacher, teacher_activation), soft(student, student_activation)
    outputs = student(images)
    hard = keras.losses.sparse_categorical_crossentropy(labels, outputs, from_logits=student_activation is None)
    expected = alpha * temperature**2 * (p * np.log(p / q)).sum(axis=1) + (1 - alpha) * np.asarray(hard)
    np.testing.assert_allclose(objective.loss(target, outputs), expected, rtol=1e-4)
    right = np.asarray(outputs).argmax(axis=1) == labels
    np.testing.assert_array_equal(objective.accuracy(target, outputs), right)


def test_a_student_that_hears_the_teacher_only_comes_to_agree_with_it(data, tmp_path):
    teacher, recipe = network(), training.Recipe(epochs=4, learning_rate=0.03, warmup_epochs=0, augmentation="none")
    training.fit(teacher, data, recipe, verbose=0)
    teacher.save(tmp_path / "teacher.keras")
    student = training.quantize_aware(network(seed=5))  # of tf_keras, as a float student of Keras 3 in the command line
    history = training.distill(
        student, tmp_path / "teacher.keras", data, recipe, tmp_path / "run", alpha=1.0, verbose=0
    )
    assert history.history["loss"][-1] < 0.5 * history.history["loss"][0]
    said, heard = (model.predict(data.test, verbose=0).argmax(axis=1) for model in (teacher, student))
    assert np.mean(said == heard) > 0.8
    with pytest.raises(UserError, match=r"distillation alpha 1\.0, not 0\.5"):
        training.distill(student, teacher, data, recipe, tmp_path / "run", alpha=0.5, verbose=0)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"temperature": 0}, "temperature=0"),
        ({"alpha": 1.5}, "alpha=1.5"),
        ({"teacher": network(classes=4)}, "the teacher has output"),
        ({"teacher": network(size=48)}, "the teacher takes images"),
        ({"teacher": "none.keras"}, "none.keras does not exist"),
    ],
)
def test_what_does_not_fit_is_one_line(data, arguments, says):
    with pytest.raises(UserError, match=says) as raised:
        training.distill(network(), **{"teacher": network(), "data": data, "verbose": 0} | arguments)
    assert "\n" not in str(raised.value)
