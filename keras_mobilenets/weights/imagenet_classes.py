"""Scores to names, by ImageNet's class index (Russakovsky et al. 2015), the file that keras.applications uses."""

from typing import Any

import numpy as np

from keras_mobilenets.errors import UserError, first_line


def decode_predictions(predictions: Any, top: int = 5) -> list[list[tuple[str, str, float]]]:
    """Names the best classes of each image; downloads the class index once, by `keras.utils.get_file`.

    Args:
        predictions: Scores (batch, 1000) of a model with ImageNet's classes; higher is better.
        top: How many classes of each image, 1 to 1000.

    Returns:
        For each image its best classes, best first: (WordNet id, name, score).

    Raises:
        UserError: The scores have another shape, or the class index cannot be downloaded.
    """
    import keras

    scores = np.asarray(keras.ops.convert_to_numpy(predictions))
    if scores.ndim != 2 or scores.shape[1] != 1000:
        raise UserError(f"predictions of shape {scores.shape}: only ImageNet's classes have names here, (batch, 1000)")
    if isinstance(top, bool) or not isinstance(top, int) or not 1 <= top <= 1000:
        raise UserError(f"top={top!r}: give a whole number from 1 to 1000")
    try:
        named = keras.applications.imagenet_utils.decode_predictions(scores, top=top)
    except Exception as error:  # urllib, http and ssl have their own kinds
        reason = first_line(error)
        place = "~/.keras/models/imagenet_class_index.json"
        raise UserError(f"cannot download ImageNet's class index: {reason}; put it into {place}") from error
    return [[(wordnet_id, name, float(score)) for wordnet_id, name, score in image] for image in named]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Logits N×C as probabilities, in their own dtype."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
