"""HR@10 and NDCG@10 against scikit-learn's, and of models that say nothing."""

import keras
import numpy as np
import pytest

from keras_mobilenets.tflite.measurement.evaluation import score
from keras_mobilenets.training.evaluation.ranking import gains, hit_rate, ranks
from keras_mobilenets.training.tasks.next_item import ndcg10


@pytest.fixture(scope="module")
def answers():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(200, 40)).astype(np.float32)
    labels = rng.integers(0, 40, 200)
    scores[np.arange(200), labels] += 1
    return scores, labels


def test_they_are_those_of_scikit_learn(answers):
    metrics = pytest.importorskip("sklearn.metrics", reason="make world")
    scores, labels = answers
    found = score(scores, labels, ranked=True)
    rows = np.eye(40)[labels]
    assert found.figures["ndcg10"] == pytest.approx(metrics.ndcg_score(rows, scores, k=10), abs=1e-6)
    assert found.figures["hr10"] == pytest.approx(
        metrics.top_k_accuracy_score(labels, scores, k=10, labels=np.arange(40))
    )


def test_the_metric_of_training_is_the_same(answers):
    scores, labels = answers
    expected = gains(ranks(scores, labels))
    for said in (labels, labels[:, None], np.eye(40, dtype=np.float32)[labels]):
        found = keras.ops.convert_to_numpy(
            ndcg10(keras.ops.convert_to_tensor(said), keras.ops.convert_to_tensor(scores))
        )
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_equal_scores_share_their_ranks():
    assert ranks(np.array([[1.0, 3, 3, 0], [5, 5, 5, 5]]), np.array([2, 0])).tolist() == [1.5, 2.5]
    silent = np.zeros((7, 101))
    assert hit_rate(ranks(silent, np.arange(7))) == 0  # each has rank 51
