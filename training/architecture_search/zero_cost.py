"""The estimate of a network by zero-cost proxies: a second a network, no training."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

import keras_mobilenets as km
from keras_mobilenets.errors import UserError
from keras_mobilenets.training.architecture_search.proxies import proxies
from keras_mobilenets.training.architecture_search.space import Genes, Space
from keras_mobilenets.training.datasets.dataset import Data

BATCHES, IMAGES = 2, 16


class ZeroCost:
    """Builds each network with random weights and asks the proxies."""

    def __init__(self, data: Data, space: Space, seed: int) -> None:
        """Draws the images."""
        self._space = space
        images, labels = data.images("train", BATCHES * IMAGES, seed)
        self._images, self._labels = images.astype(np.float32) / 127.5 - 1, labels
        self._classes, self._seed = len(data.class_names), seed

    def __call__(self, genes: Genes) -> dict[str, float]:
        """The proxies of a network."""
        spec = self._space.spec(genes)
        keras.utils.set_random_seed(self._seed)
        model = km.create_model(
            "Searched", spec=spec, classes=self._classes, classifier_activation=None, dropout_rate=0
        )
        found = proxies(model, list(self._batches(spec.input_size)))
        keras.backend.clear_session()
        return found

    def _batches(self, size: int) -> Any:
        images = self._images
        if images.shape[1] != size:
            images = tf.image.resize(images, (size, size), "area").numpy()
        parts = max(1, min(BATCHES, len(images) // 2))
        yield from zip(np.array_split(images, parts), np.array_split(self._labels, parts), strict=True)


def require_tensorflow() -> None:
    """Refuses another backend of Keras, since the gradients here are TensorFlow's.

    Raises:
        UserError: Keras runs on another.
    """
    if keras.backend.backend() != "tensorflow":
        raise UserError(f"a search runs on TensorFlow, not on {keras.backend.backend()}: unset KERAS_BACKEND")
