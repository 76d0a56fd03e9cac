"""The embedded log `visits`: visitors of a shop's pages, drawn with a seed.

What a visitor opens next depends on the page at hand (a Markov chain), and on what was opened long before: who looked
at one of the shop's `OFFERS` opens the page that goes with it 4 to 12 visits later, whatever was opened in between.
Some visits are to popular pages, for no reason.
"""

import numpy as np

from keras_mobilenets.training.datasets.sequences.log import Log

SEED = 1808
VISITORS = 2_000
PAGES = 300
OFFERS = 150  # the first pages
LENGTHS = 16, 48  # visits of a visitor, from and to
WAIT = 4, 12  # visits from an offer to the page that goes with it, likewise
FOLLOWING = (0.5, 0.3, 0.2)  # how often the pages are opened that a page leads to
POPULAR = 0.15  # of the visits that nothing else decides


def visits(seed: int = SEED, visitors: int = VISITORS) -> Log:
    """Draws the log; a smaller one is the beginning of a larger one.

    Args:
        seed: Of the shop and its visitors.
        visitors: Their number.
    """
    rng = np.random.default_rng(seed)
    leads_to = rng.permuted(np.tile(np.arange(PAGES), (PAGES, 1)), axis=1)[:, : len(FOLLOWING)]
    goes_with = rng.permutation(PAGES)[:OFFERS]
    popularity = rng.permutation(1 / (10.0 + np.arange(PAGES)))
    popularity /= popularity.sum()
    sequences = [
        _visitor(np.random.default_rng([seed, number]), leads_to, goes_with, popularity) for number in range(visitors)
    ]
    lengths = list(map(len, sequences))
    times = np.concatenate([np.arange(length) for length in lengths])
    names = [f"offer_{page}" if page < OFFERS else f"page_{page}" for page in range(PAGES)]
    return Log("visits", np.repeat(np.arange(visitors), lengths), np.concatenate(sequences), times, names)


def _visitor(
    rng: np.random.Generator, leads_to: np.ndarray, goes_with: np.ndarray, popularity: np.ndarray
) -> np.ndarray:
    """The pages that one visitor opens."""
    length = int(rng.integers(LENGTHS[0], LENGTHS[1] + 1))
    waits = rng.integers(WAIT[0], WAIT[1] + 1, length)
    popular = rng.choice(PAGES, length, p=popularity)
    is_popular = rng.random(length) < POPULAR
    followed = rng.choice(len(FOLLOWING), length, p=FOLLOWING)
    due: dict[int, int] = {}
    opened = np.empty(length, np.int64)
    for step in range(length):
        if step in due:
            page = due.pop(step)
        elif step == 0 or is_popular[step]:
            page = int(popular[step])
        else:
            page = int(leads_to[opened[step - 1], followed[step]])
        opened[step] = page
        if page < OFFERS:
            due.setdefault(step + int(waits[step]), int(goes_with[page]))
    return opened
