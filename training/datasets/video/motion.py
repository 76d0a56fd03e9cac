"""The embedded data set `motion` as a TensorFlow Datasets builder: eight motions of a scene, in clips of eight
frames.

They are drawn on this machine (motion_renderer.py), so that video needs no download.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from keras_mobilenets.training.datasets.embedded_builder import Embedded, Sizes
from keras_mobilenets.training.datasets.video import motion_renderer


class Motion(Embedded):
    """Clips of a scene of shapes that goes to one of four sides, turns one way or the other, grows or shrinks.

    The class is the motion alone: single frames of all classes are drawn alike. Features: `video`, uint8 of shape
    (8, 32, 32, 3), and `label`. The splits hold every class equally often.
    """

    SIZES = Sizes(name="default", train=4_000, validation=400, test=800)

    def _features(self) -> dict[str, Any]:
        side = motion_renderer.SIZE
        video = tfds.features.Video(shape=(motion_renderer.FRAMES, side, side, 3), encoding_format="png")
        return {"video": video, "label": tfds.features.ClassLabel(names=list(motion_renderer.LABELS))}

    def _examples(self, seed: int, split: int, count: int) -> Iterator[dict[str, Any]]:
        for index in range(count):
            label = index % len(motion_renderer.LABELS)
            clip = motion_renderer.clip(label, np.random.default_rng([seed, split, index]))
            yield {"video": list(clip), "label": label}
