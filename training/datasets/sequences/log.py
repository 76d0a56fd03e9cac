"""A log of who had which item when, and its leave-one-out splits: the usual test of next-item recommenders."""

import warnings
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_mobilenets.errors import UserError
from keras_mobilenets.plurals import count
from keras_mobilenets.training.datasets.split import Selection, Split, permutation, select_all
from keras_mobilenets.training.tasks.next_item import NextItem

FEWEST = 3  # items of a user whose last two test and validate
SEED = 0  # of the examples that a limit keeps
AT_ONCE = 1024  # examples that are read together: one by one takes fifty times as long


class Log(NamedTuple):
    """Interactions of users with items, in any order; those of one user at one time are in the order of the log.

    Attributes:
        name: What the log is called.
        users: int64 N: a number for each user.
        items: int64 N: an index into `item_names`.
        times: N: when, in any unit.
        item_names: Of the items.
    """

    name: str
    users: np.ndarray
    items: np.ndarray
    times: np.ndarray
    item_names: Sequence[str]


def leave_one_out(log: Log, length: int, limits: Mapping[str, int] | None = None) -> tuple[NextItem, dict[str, Split]]:
    """The splits: of each user, the last item tests, the one before validates, and every earlier one trains.

    An example is an item with the history before it, none of which is of a later time. Users of fewer than three items
    train only. A warning says how many items test that no example trains.

    Args:
        log: The log.
        length: Of the histories, in items: the newest ones.
        limits: Maximum number of examples, by split; the same ones every time.

    Returns:
        The task, whose classes are the items, and the splits "train", "validation" and "test".

    Raises:
        UserError: No user has three items, or there are fewer than two items.
    """
    order = np.lexsort((log.times, log.users))  # which is stable
    users, items = log.users[order], log.items[order]
    starts = np.flatnonzero(np.diff(users, prepend=users[:1] - 1))
    counts = np.diff(starts, append=len(users))
    first = np.repeat(starts, counts)
    place, left = np.arange(len(users)) - first, np.repeat(counts, counts)
    left = left - 1 - place  # of the user's items after this one
    is_judged = (place + left + 1 >= FEWEST) & (left < 2)
    members = {
        "train": np.flatnonzero((place > 0) & ~is_judged),
        "validation": np.flatnonzero(is_judged & (left == 1)),
        "test": np.flatnonzero(is_judged & (left == 0)),
    }
    if not len(members["train"]) or not len(members["test"]) or len(log.item_names) < 2:
        raise UserError(
            f"{log.name} has too few interactions: it takes two items, and users of four items or more, the last two "
            "of which validate and test"
        )
    learned = np.isin(np.arange(len(log.item_names)), items[~is_judged])
    if cold := int((~learned[items[members["test"]]]).sum()):
        said = f"{cold} of the {count(len(members['test']), 'item')} that test"
        warnings.warn(f"{log.name}: cold items, which no training example holds, are {said}", stacklevel=3)
    limits, task = limits or {}, NextItem(log.item_names)
    splits = {}
    for split, places in members.items():
        if limits.get(split, len(places)) < len(places):
            drawn = np.random.default_rng(SEED).permutation(len(places))[: limits[split]]
            places = places[np.sort(drawn)]
        splits[split] = _split(items, first, places, length)
    return task, splits


def _split(items: np.ndarray, first: np.ndarray, places: np.ndarray, length: int) -> Split:
    """The examples at some places of the log.

    Args:
        items: The log's items, user by user.
        first: The place of each user's first item, likewise.
        places: Those of the labels.
        length: Of the histories.
    """
    labels = items[places]
    with tf.device("CPU"):
        numbers, starts, ends = (tf.constant(each) for each in (1 + items.astype(np.int32), first[places], places))

    def read(some: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        end = tf.gather(ends, some)[:, None]
        before = end + tf.range(-length, 0, dtype=tf.int64)
        there = before >= tf.gather(starts, some)[:, None]
        histories = tf.where(there, tf.gather(numbers, tf.maximum(before, 0)), 0)
        return histories, tf.cast(tf.gather(numbers, end[:, 0]) - 1, tf.int64), tf.cast(some, tf.int64)

    def examples(seed: tf.Tensor | None, skipped: tf.Tensor | int, select: Selection = select_all) -> tf.data.Dataset:
        order = tf.range(len(labels)) if seed is None else permutation(len(labels), seed)
        return select(tf.data.Dataset.from_tensor_slices(order[skipped:])).batch(AT_ONCE).map(read).unbatch()

    return Split(len(labels), examples, lambda: labels)
