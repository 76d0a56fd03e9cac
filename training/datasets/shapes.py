"""The embedded data set `shapes` as a TensorFlow Datasets builder: ten outlines to tell apart on 96-pixel images.

It is drawn on this machine (shapes_renderer.py) in half a minute, so the demo and the tests need no download.
"""

import dataclasses
import inspect
import io
from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds

from keras_mobilenets.progress import track
from keras_mobilenets.training.datasets import shapes_renderer
from keras_mobilenets.training.datasets.embedded_builder import Embedded


@dataclasses.dataclass(kw_only=True)
class ShapesConfig(tfds.core.BuilderConfig):
    """How many images of each split to draw, and from which seed; give a changed one a name of its own."""

    train: int = 8_000
    validation: int = 1_000
    test: int = 2_000
    seed: int = 2017  # the year of the MobileNets


class Shapes(Embedded):
    """Procedurally drawn shapes under rotation, scale, slant, texture, clutter, occlusion, blur and noise.

    The class is the outline alone: colours, textures, places and sizes are drawn alike for all ten. Features: `image`,
    uint8 of shape (96, 96, 3), and `label`. The splits hold every class equally often.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012

    def _info(self) -> tfds.core.DatasetInfo:
        image = tfds.features.Image(shape=(shapes_renderer.SIZE, shapes_renderer.SIZE, 3), encoding_format="png")
        label = tfds.features.ClassLabel(names=list(shapes_renderer.LABELS))
        return tfds.core.DatasetInfo(
            builder=self,
            description=inspect.cleandoc(type(self).__doc__ or ""),
            features=tfds.features.FeaturesDict({"image": image, "label": label}),
            supervised_keys=("image", "label"),
        )

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        config = self.builder_config or ShapesConfig(name="default")
        number, count = self.SPLITS.index(split), getattr(config, split)
        images = shapes_renderer.stream(config.seed, number, count)
        for index, png in enumerate(track(images, f"drawing shapes, {split}", total=count)):
            yield index, {"image": io.BytesIO(png), "label": shapes_renderer.label_of(index)}
