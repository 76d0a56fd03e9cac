"""The embedded data set `shapes_attributes` as a TensorFlow Datasets builder: five attributes of drawn shapes.

It is drawn on this machine (attributes_renderer.py) in half a minute, so the demo and the tests need no download.
"""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from keras_mobilenets.training.datasets import shapes_renderer
from keras_mobilenets.training.datasets.attributes import attributes_renderer
from keras_mobilenets.training.datasets.embedded_builder import Embedded, Sizes


class ShapesAttributes(Embedded):
    """Procedurally drawn shapes, each large or small, round or angular, striped or not, warm or cold, occluded or not.

    The attributes are independent of each other; 40% of the shapes are large, 20% occluded, 50% round, 30% striped and
    15% warm. Features as those of `celeb_a`: `image`, uint8 of shape (96, 96, 3), and `attributes`, a dictionary of
    booleans.
    """

    SIZES = Sizes(name="default", train=8_000, validation=1_000, test=2_000)

    def _features(self) -> dict[str, Any]:
        image = tfds.features.Image(shape=(shapes_renderer.SIZE, shapes_renderer.SIZE, 3), encoding_format="png")
        return {"image": image, "attributes": dict.fromkeys(attributes_renderer.ATTRIBUTES, np.bool_)}

    def _examples(self, seed: int, split: int, count: int) -> Iterator[dict[str, Any]]:
        images = shapes_renderer.stream(seed, split, count, program=attributes_renderer.__file__)
        for index, png in enumerate(images):
            has = attributes_renderer.attributes_of(seed, split, index)
            attributes = dict(zip(attributes_renderer.ATTRIBUTES, has, strict=True))
            yield {"image": io.BytesIO(png), "attributes": attributes}
