"""The embedded data set `shapes_detection` as a TensorFlow Datasets builder: boxes around the shapes of `shapes`.

It is drawn on this machine (scene_renderer.py) in half a minute.
"""

import dataclasses
import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from keras_mobilenets.progress import track
from keras_mobilenets.training.datasets import shapes_renderer
from keras_mobilenets.training.datasets.boxes.scene_renderer import MOST, SIZE, scene
from keras_mobilenets.training.datasets.embedded_builder import Embedded


@dataclasses.dataclass(kw_only=True)
class ShapesDetectionConfig(tfds.core.BuilderConfig):
    """How many images of each split to draw, and from which seed; give a changed one a name of its own."""

    train: int = 1_600
    validation: int = 200
    test: int = 300
    seed: int = 2018  # the year of SSDLite


class ShapesDetection(Embedded):
    """One to six shapes in an image of 160 pixels, among clutter, under texture, rotation, blur and noise.

    Features as those of COCO: `image` and `objects`, each with `bbox` and `label`.
    """

    MOST_BOXES = MOST
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012

    def _info(self) -> tfds.core.DatasetInfo:
        box = {
            "bbox": tfds.features.BBoxFeature(),
            "label": tfds.features.ClassLabel(names=list(shapes_renderer.LABELS)),
        }
        features = {
            "image": tfds.features.Image(shape=(SIZE, SIZE, 3), encoding_format="png"),
            "objects": tfds.features.Sequence(box),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description=inspect.cleandoc(type(self).__doc__ or ""),
            features=tfds.features.FeaturesDict(features),
        )

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        config = self.builder_config or ShapesDetectionConfig(name="default")
        number, count = self.SPLITS.index(split), getattr(config, split)
        for index in track(range(count), f"drawing shapes_detection, {split}", total=count):
            pixels, boxes = scene(config.seed, number, index)
            found = [{"bbox": tfds.features.BBox(*box[:4]), "label": int(box[4])} for box in boxes]
            yield index, {"image": np.ascontiguousarray(pixels), "objects": found}
