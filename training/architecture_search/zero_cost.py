"""The estimate of a network by zero-cost proxies: a second a network, no training."""

import keras
import numpy as np
import tensorflow as tf

import keras_mobilenets as km
from keras_mobilenets.costs.operators import spec_cost
from keras_mobilenets.errors import UserError
from keras_mobilenets.training.architecture_search.proxies import proxies
from keras_mobilenets.training.architecture_search.space import Genes, Space
from keras_mobilenets.training.datasets.dataset import Data

IMAGES = 64


class ZeroCost:
    """Builds each network with random weights and asks the proxies."""

    def __init__(self, data: Data, space: Space, seed: int) -> None:
        """Draws the images."""
        self._space, self._seed = space, seed
        self._images = data.images("train", IMAGES, seed)[0].astype(np.float32) / 127.5 - 1
        self._classes = len(data.class_names)

    def __call__(self, genes: Genes) -> dict[str, float]:
        """The proxies of a network, and its multiply-adds, the complexity of AZ-NAS."""
        spec = self._space.spec(genes)
        keras.utils.set_random_seed(self._seed)
        model = km.create_model(
            "Searched", spec=spec, classes=self._classes, classifier_activation=None, dropout_rate=0
        )
        images, size = self._images, spec.input_size
        if images.shape[1] != size:
            images = tf.image.resize(images, (size, size), "area").numpy()
        found = proxies(model, images) | {"complexity": float(spec_cost(spec, self._classes).macs)}
        keras.backend.clear_session()
        return found


def require_tensorflow() -> None:
    """Refuses another backend of Keras, since the gradients here are TensorFlow's.

    Raises:
        UserError: Keras runs on another.
    """
    if keras.backend.backend() != "tensorflow":
        raise UserError(f"a search runs on TensorFlow, not on {keras.backend.backend()}: unset KERAS_BACKEND")
