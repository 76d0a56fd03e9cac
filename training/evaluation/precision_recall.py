"""Precision and recall of independent labels: curves, average precision and F1, one label at a time.

As scikit-learn has them: average precision is the area under the steps of the curve, without interpolation.
"""

from typing import NamedTuple

import numpy as np

THRESHOLD = 0.5  # score from which on an image is said to have a label


class Curve(NamedTuple):
    """Precision and recall of one label at every threshold that makes a difference.

    Attributes:
        thresholds: float T, descending: an image has the label where its score is at least that.
        precision: float T, 0..1: share of those images that have it.
        recall: float T, 0..1, ascending: share of the images with the label that are among them.
    """

    thresholds: np.ndarray
    precision: np.ndarray
    recall: np.ndarray


def curve(scores: np.ndarray, truth: np.ndarray) -> Curve:
    """The precision–recall curve of one label.

    Args:
        scores: N, the higher the surer.
        truth: N, 1 where an image has the label and 0 where not; one has it.
    """
    order = np.argsort(-scores, kind="stable")
    scores, truth = scores[order], np.asarray(truth, bool)[order]
    last = np.append(scores[1:] != scores[:-1], True)  # of the images with the same score
    hits, found = np.cumsum(truth)[last], np.flatnonzero(last) + 1
    return Curve(scores[last], hits / found, hits / hits[-1])


def average_precision(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Average precision of each label.

    Args:
        scores: N×C, the higher the surer.
        truth: N×C, 0 and 1.

    Returns:
        float64 C, 0..1; NaN for a label that no image has.
    """
    return np.array([_area(scores[:, number], truth[:, number]) for number in range(truth.shape[1])])


def f1(scores: np.ndarray, truth: np.ndarray, threshold: float = THRESHOLD) -> np.ndarray:
    """F1 of each label: the harmonic mean of precision and recall at one threshold.

    Args:
        scores: N×C, 0..1.
        truth: N×C, 0 and 1.
        threshold: As `THRESHOLD`.

    Returns:
        float64 C, 0..1; NaN for a label that no image has.
    """
    truth, said = np.asarray(truth, bool), scores >= threshold
    there, hits = truth.sum(axis=0), (truth & said).sum(axis=0)
    whole = np.where(there, there + said.sum(axis=0), 0)
    return np.divide(2 * hits, whole, out=np.full(len(whole), np.nan), where=whole > 0)


def mean(values: np.ndarray) -> float | None:
    """The mean over the labels that some image has; None where there is none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None


def _area(scores: np.ndarray, truth: np.ndarray) -> float:
    if not np.any(truth):
        return np.nan
    drawn = curve(scores, truth)
    return float(np.sum(np.diff(drawn.recall, prepend=0.0) * drawn.precision))
