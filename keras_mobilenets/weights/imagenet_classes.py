"""Scores to names, by labels or by ImageNet's class index (Russakovsky et al. 2015), the file of keras.applications."""

from typing import Any

import numpy as np

from keras_mobilenets.errors import UserError, first_line
from keras_mobilenets.graphs.class_names import class_names


def decode_predictions(predictions: Any, top: int = 5, labels: Any = None) -> list[list[tuple[str, str, float]]]:
    """Names the best classes of each image; downloads ImageNet's class index once, by `keras.utils.get_file`.

    Args:
        predictions: Scores (batch, classes) of a model with ImageNet's 1000 classes, or those of `labels`; higher is
            better.
        top: How many classes of each image, from 1; with fewer classes, all of them.
        labels: Names of the classes in their order, or a model that knows them, such as one of `zero_shot`.

    Returns:
        For each image its best classes, best first: (WordNet id, name, score); the id is empty with `labels`.

    Raises:
        UserError: The scores have another shape, the model knows no labels, or the class index cannot be downloaded.
    """
    import keras

    scores = np.asarray(keras.ops.convert_to_numpy(predictions))
    if labels is not None:
        return _named(scores, top, labels)
    if scores.ndim != 2 or scores.shape[1] != 1000:
        raise UserError(f"predictions of shape {scores.shape}: only ImageNet's classes have names here, (batch, 1000)")
    _check_top(top)
    try:
        named = keras.applications.imagenet_utils.decode_predictions(scores, top=top)
    except Exception as error:  # urllib, http and ssl have their own kinds
        reason = first_line(error)
        place = "~/.keras/models/imagenet_class_index.json"
        raise UserError(f"cannot download ImageNet's class index: {reason}; put it into {place}") from error
    return [[(wordnet_id, name, float(score)) for wordnet_id, name, score in image] for image in named]


def _named(scores: np.ndarray, top: int, labels: Any) -> list[list[tuple[str, str, float]]]:
    names = class_names(labels) if hasattr(labels, "layers") else list(labels)
    if names is None:
        raise UserError(f"{labels.name} does not know the names of its classes; give labels= as a list")
    if scores.ndim != 2 or scores.shape[1] != len(names):
        raise UserError(f"predictions of shape {scores.shape} do not fit {len(names)} labels: give (batch, labels)")
    _check_top(top)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :top]
    return [[("", names[k], float(row[k])) for k in best] for row, best in zip(scores, order, strict=True)]


def _check_top(top: Any) -> None:
    if isinstance(top, bool) or not isinstance(top, int) or not 1 <= top <= 1000:
        raise UserError(f"top={top!r}: give a whole number from 1 to 1000")


def softmax(logits: np.ndarray) -> np.ndarray:
    """Logits N×C as probabilities, in their own dtype."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
