"""The embedded data set `shapes` as a TensorFlow Datasets builder: ten outlines to tell apart on 96-pixel images.

It is drawn on this machine (shapes_renderer.py) in half a minute, so the demo and the tests need no download.
"""

import io
from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds

from keras_mobilenets.training.datasets import shapes_renderer
from keras_mobilenets.training.datasets.embedded_builder import Embedded, Sizes


class Shapes(Embedded):
    """Procedurally drawn shapes under rotation, scale, slant, texture, clutter, occlusion, blur and noise.

    The class is the outline alone: colours, textures, places and sizes are drawn alike for all ten. Features: `image`,
    uint8 of shape (96, 96, 3), and `label`. The splits hold every class equally often.
    """

    SIZES = Sizes(name="default", train=8_000, validation=1_000, test=2_000)

    def _features(self) -> dict[str, Any]:
        image = tfds.features.Image(shape=(shapes_renderer.SIZE, shapes_renderer.SIZE, 3), encoding_format="png")
        return {"image": image, "label": tfds.features.ClassLabel(names=list(shapes_renderer.LABELS))}

    def _examples(self, seed: int, split: int, count: int) -> Iterator[dict[str, Any]]:
        for index, png in enumerate(shapes_renderer.stream(seed, split, count)):
            yield {"image": io.BytesIO(png), "label": shapes_renderer.label_of(index)}
