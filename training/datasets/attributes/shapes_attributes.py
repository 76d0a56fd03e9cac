"""The embedded data set `shapes_attributes` as a TensorFlow Datasets builder: five attributes of drawn shapes.

It is drawn on this machine (attributes_renderer.py) in half a minute, so the demo and the tests need no download.
"""

import dataclasses
import inspect
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from keras_mobilenets.progress import track
from keras_mobilenets.training.datasets import shapes_renderer
from keras_mobilenets.training.datasets.attributes import attributes_renderer
from keras_mobilenets.training.datasets.embedded_builder import Embedded


@dataclasses.dataclass(kw_only=True)
class AttributesConfig(tfds.core.BuilderConfig):
    """How many images of each split to draw, and from which seed; give a changed one a name of its own."""

    train: int = 8_000
    validation: int = 1_000
    test: int = 2_000
    seed: int = 2017  # the year of the MobileNets


class ShapesAttributes(Embedded):
    """Procedurally drawn shapes, each large or small, round or angular, striped or not, warm or cold, occluded or not.

    The attributes are independent of each other; 40% of the shapes are large, 20% occluded, 50% round, 30% striped and
    15% warm. Features as those of `celeb_a`: `image`, uint8 of shape (96, 96, 3), and `attributes`, a dictionary of
    booleans.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012

    def _info(self) -> tfds.core.DatasetInfo:
        image = tfds.features.Image(shape=(shapes_renderer.SIZE, shapes_renderer.SIZE, 3), encoding_format="png")
        attributes = dict.fromkeys(attributes_renderer.ATTRIBUTES, np.bool_)
        return tfds.core.DatasetInfo(
            builder=self,
            description=inspect.cleandoc(type(self).__doc__ or ""),
            features=tfds.features.FeaturesDict({"image": image, "attributes": attributes}),
        )

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        config = self.builder_config or AttributesConfig(name="default")
        number, count = self.SPLITS.index(split), getattr(config, split)
        images = shapes_renderer.stream(config.seed, number, count, program=attributes_renderer.__file__)
        for index, png in enumerate(track(images, f"drawing shapes with attributes, {split}", total=count)):
            has = attributes_renderer.attributes_of(config.seed, number, index)
            yield (
                index,
                {"image": io.BytesIO(png), "attributes": dict(zip(attributes_renderer.ATTRIBUTES, has, strict=True))},
            )
