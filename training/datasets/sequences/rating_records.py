"""Ratings in TensorFlow Datasets as a log: MovieLens."""

from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from keras_mobilenets.progress import track
from keras_mobilenets.training.datasets.sequences.log import Log
from keras_mobilenets.training.datasets.sequences.log_file import numbered

USER, TIME, ITEM, TITLE = "user_id", "timestamp", "movie_id", "movie_title"
AT_ONCE = 4096  # ratings


def has_ratings(builder: Any) -> bool:
    """Whether a builder's examples are ratings of films by users at a time."""
    features = builder.info.features
    return isinstance(features, tfds.features.FeaturesDict) and {USER, TIME, ITEM, TITLE} <= features.keys()


def log_of(builder: Any) -> Log:
    """All ratings of a prepared builder, whatever they are; those of one user at one time in the order of the films.

    (TFDS shuffles, so that the order in which they were written is lost.)
    """
    wanted = tfds.decode.PartialDecoding(dict.fromkeys((USER, TIME, ITEM, TITLE), True))
    stored = builder.as_dataset(split="train", shuffle_files=False, decoders=wanted).batch(AT_ONCE)
    name, count = builder.info.full_name, builder.info.splits["train"].num_examples
    columns: dict[str, list[np.ndarray]] = {USER: [], TIME: [], ITEM: [], TITLE: []}
    for batch in track(stored.as_numpy_iterator(), f"reading {name}", total=-(-count // AT_ONCE)):
        for key, pieces in columns.items():
            pieces.append(batch[key])
    users, items, titles = ([text.decode() for text in np.concatenate(columns[key])] for key in (USER, ITEM, TITLE))
    log = numbered(name, users, items, np.concatenate(columns[TIME]), dict(zip(items, titles, strict=True)))
    order = np.argsort(log.items, kind="stable")
    return log._replace(users=log.users[order], items=log.items[order], times=log.times[order])
