"""The embedded data set `shapes_detection` as a TensorFlow Datasets builder: boxes around the shapes of `shapes`.

It is drawn on this machine (scene_renderer.py) in half a minute.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from keras_mobilenets.training.datasets import shapes_renderer
from keras_mobilenets.training.datasets.boxes.scene_renderer import MOST, SIZE, scene
from keras_mobilenets.training.datasets.embedded_builder import Embedded, Sizes


class ShapesDetection(Embedded):
    """One to six shapes in an image of 160 pixels, among clutter, under texture, rotation, blur and noise.

    Features as those of COCO: `image` and `objects`, each with `bbox` and `label`.
    """

    MOST_BOXES = MOST
    SIZES = Sizes(name="default", train=1_600, validation=200, test=300, seed=2018)  # the year of SSDLite

    def _features(self) -> dict[str, Any]:
        box = {
            "bbox": tfds.features.BBoxFeature(),
            "label": tfds.features.ClassLabel(names=list(shapes_renderer.LABELS)),
        }
        return {
            "image": tfds.features.Image(shape=(SIZE, SIZE, 3), encoding_format="png"),
            "objects": tfds.features.Sequence(box),
        }

    def _examples(self, seed: int, split: int, count: int) -> Iterator[dict[str, Any]]:
        for index in range(count):
            pixels, boxes = scene(seed, split, index)
            found = [{"bbox": tfds.features.BBox(*box[:4]), "label": int(box[4])} for box in boxes]
            yield {"image": np.ascontiguousarray(pixels), "objects": found}
