"""Several labels an image: the loss is Keras's, weights are scikit-learn's, a softmax is refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mobilenets import UserError, training
from keras_mobilenets.training.tasks.attributes import Attributes, binary_crossentropy
from keras_mobilenets.training.tasks.classification import Classification

RNG = np.random.default_rng(0)
ROWS = (RNG.random((64, 3)) < (0.1, 0.5, 0.9)).astype("int8")
SCORES = RNG.random((64, 3)).astype("float32")
TASK = Attributes(["a", "b", "c"])


def model(activation, outputs=3):
    image = keras.Input((4, 4, 3))
    return keras.Model(image, keras.layers.Dense(outputs, activation=activation)(keras.layers.Flatten()(image)))


@pytest.mark.parametrize("activation", ["sigmoid", None])
def test_loss_and_accuracy_are_those_of_keras(activation):
    objective = TASK.objective(model(activation), training.Recipe(label_smoothing=0.2))
    outputs = SCORES if activation else np.log(SCORES / (1 - SCORES))
    expected = keras.losses.BinaryCrossentropy(activation is None, label_smoothing=0.2, reduction=None)(ROWS, outputs)
    np.testing.assert_allclose(objective.loss(ROWS, outputs), expected, rtol=1e-5)
    right = np.mean(keras.metrics.binary_accuracy(ROWS, SCORES), axis=1)
    np.testing.assert_allclose(objective.accuracy(ROWS, outputs), right)


def test_weights_make_labels_that_are_there_count_as_much_as_those_that_are_not():
    weights = TASK.balanced_weights(ROWS)
    there = ROWS.sum(axis=0)
    np.testing.assert_allclose(weights, [64 / (2 * (64 - there)), 64 / (2 * there)], rtol=1e-6)
    loss = binary_crossentropy(tf.constant(ROWS, tf.float32), np.full((64, 3), 0.5, np.float32), False, weights=weights)
    np.testing.assert_allclose(np.mean(loss), np.log(2), rtol=1e-5)  # on the whole they change nothing
    shares = [np.sum(weights[1, c] * ROWS[:, c]) for c in range(3)]
    np.testing.assert_allclose(shares, [32, 32, 32], rtol=1e-5)


@pytest.mark.parametrize("augmentation", ["none", "mixup:0.2"])
def test_class_weights_of_one_label_are_those_of_keras(augmentation):
    """`model.fit(class_weight=...)` multiplies each example's loss by the weight of its class."""
    labels = np.repeat([0, 1, 2], [40, 20, 4])
    task = Classification(["a", "b", "c"])
    weights = task.balanced_weights(labels)
    np.testing.assert_allclose(weights, [64 / (3 * 40), 64 / (3 * 20), 64 / (3 * 4)], rtol=1e-6)
    outputs = SCORES / SCORES.sum(axis=1, keepdims=True)
    objective = task.objective(model("softmax"), training.Recipe(augmentation=augmentation), weights)
    _, rows = next(iter(objective.targets(tf.data.Dataset.from_tensors((outputs, labels)))))
    reference = keras.losses.CategoricalCrossentropy(label_smoothing=0.1)
    expected = reference(keras.ops.one_hot(labels, 3), outputs, sample_weight=weights[labels])
    assert float(np.mean(objective.loss(rows, outputs))) == pytest.approx(float(expected), rel=1e-5)


def test_divergence_is_that_of_bernoulli_distributions():
    teacher, student = RNG.normal(size=(2, 5, 3)).astype("float32")
    p, q = 1 / (1 + np.exp(-teacher)), 1 / (1 + np.exp(-student))
    expected = (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).mean(axis=1)
    np.testing.assert_allclose(TASK.divergence(teacher, student), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(TASK.logits(tf.constant(q), tf.math), student, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("given", "message"),
    [(("softmax", 3), 'ends in a softmax.*classifier_activation="sigmoid"'), (("sigmoid", 2), "output 2 but d has 3")],
)
def test_a_model_of_one_label_or_of_another_number_is_refused(given, message):
    TASK.check(model("sigmoid"), "d")
    with pytest.raises(UserError, match=message):
        TASK.check(model(*given), "d")


def test_labels_in_words():
    assert [TASK.caption(np.array(row)) for row in ([1, 0, 1], [0, 0, 0])] == ["a + c", "none"]
    assert TASK.caption(np.array([0.25, 1.0, 0.0])) == "b + 25% a"
