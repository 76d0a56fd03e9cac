"""Average precision and F1 of independent labels, against scikit-learn, its documented example, and Keras."""

import keras
import numpy as np
import pytest

from keras_mobilenets.training.evaluation import precision_recall


@pytest.fixture(scope="module")
def answers():
    """Scores with ties, and labels from rare to frequent; no image has the last one."""
    rng = np.random.default_rng(0)
    truth = (rng.random((400, 5)) < (0.02, 0.1, 0.5, 0.9, 0.0)).astype(int)
    return np.round(np.clip(0.3 * truth + rng.random((400, 5)) * 0.8, 0, 1), 2), truth


def test_average_precision_is_that_of_the_published_example():
    """The example of sklearn.metrics.average_precision_score, 0.83; beside it one whose scores are all the same."""
    scores, truth = (
        np.array([[0.1, 0.5], [0.4, 0.5], [0.35, 0.5], [0.8, 0.5]]),
        np.array([[0, 0], [0, 1], [1, 0], [1, 0]]),
    )
    np.testing.assert_allclose(precision_recall.average_precision(scores, truth), [1 / 2 + 1 / 3, 1 / 4])


def test_average_precision_and_curve_equal_scikit_learn(answers):
    metrics = pytest.importorskip("sklearn.metrics")
    scores, truth = answers
    expected = [metrics.average_precision_score(truth[:, c], scores[:, c]) for c in range(4)]
    np.testing.assert_allclose(precision_recall.average_precision(scores, truth)[:4], expected)
    precision, recall, thresholds = metrics.precision_recall_curve(truth[:, 1], scores[:, 1])
    ours = precision_recall.curve(scores[:, 1], truth[:, 1])
    for mine, theirs in zip(ours, (thresholds, precision[:-1], recall[:-1]), strict=True):
        np.testing.assert_allclose(mine[::-1], theirs)


def test_f1_equals_that_of_keras(answers):
    scores, truth = answers
    metric = keras.metrics.F1Score(average=None, threshold=0.499)  # Keras asks for more than the threshold
    expected = np.asarray(metric(truth[:, :4].astype("float32"), scores[:, :4].astype("float32")))
    np.testing.assert_allclose(precision_recall.f1(scores, truth)[:4], expected, rtol=1e-6)


def test_a_label_that_no_image_has_counts_in_no_mean(answers):
    scores, truth = answers
    found = precision_recall.average_precision(scores, truth), precision_recall.f1(scores, truth)
    for values in found:
        assert np.isnan(values[4])
        assert precision_recall.mean(values) == pytest.approx(values[:4].mean())
    assert precision_recall.mean(np.array([np.nan])) is None
