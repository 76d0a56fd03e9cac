"""How far in front a recommender ranks what came next: hit rate and normalized discounted cumulative gain.

The item is ranked among all items, not among a sample of them, which misjudges recommenders (Krichene and Rendle 2020,
"On Sampled Metrics for Item Recommendation").
"""

from typing import Any

import numpy as np

CUTOFF = 10  # items that are recommended


def ranks(scores: Any, labels: Any, library: Any = np) -> Any:
    """The rank of the label's score among all of a row, from 1; equal scores share the mean of theirs.

    Args:
        scores: N×C.
        labels: N integers.
        library: numpy or keras.ops.

    Returns:
        float N.
    """
    own = library.take_along_axis(scores, library.expand_dims(labels, 1), 1)
    before = library.sum(library.where(scores > own, 1.0, 0.0), 1)
    beside = library.sum(library.where(library.equal(scores, own), 1.0, 0.0), 1)
    return before + (beside + 1) / 2


def hit_rate(ranks: np.ndarray) -> float:
    """HR@10, 0..1: the share of ranks up to 10."""
    return float((ranks <= CUTOFF).mean())


def gains(ranks: Any, library: Any = np) -> Any:
    """What each rank counts in NDCG@10, 0..1: 1 / log2(1 + rank), and 0 behind 10; one item is relevant."""
    return library.where(ranks <= CUTOFF, 1 / library.log2(1 + ranks), 0.0)
