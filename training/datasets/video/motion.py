"""The embedded data set `motion` as a TensorFlow Datasets builder: eight motions of a scene, in clips of eight
frames.

They are drawn on this machine (motion_renderer.py), so that video needs no download.
"""

import dataclasses
import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from keras_mobilenets.progress import track
from keras_mobilenets.training.datasets.embedded_builder import Embedded
from keras_mobilenets.training.datasets.video import motion_renderer


@dataclasses.dataclass(kw_only=True)
class MotionConfig(tfds.core.BuilderConfig):
    """How many clips of each split to draw, and from which seed; give a changed one a name of its own."""

    train: int = 4_000
    validation: int = 400
    test: int = 800
    seed: int = 2017


class Motion(Embedded):
    """Clips of a scene of shapes that goes to one of four sides, turns one way or the other, grows or shrinks.

    The class is the motion alone: single frames of all classes are drawn alike. Features: `video`, uint8 of shape
    (8, 32, 32, 3), and `label`. The splits hold every class equally often.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012

    def _info(self) -> tfds.core.DatasetInfo:
        side = motion_renderer.SIZE
        video = tfds.features.Video(shape=(motion_renderer.FRAMES, side, side, 3), encoding_format="png")
        label = tfds.features.ClassLabel(names=list(motion_renderer.LABELS))
        return tfds.core.DatasetInfo(
            builder=self,
            description=inspect.cleandoc(type(self).__doc__ or ""),
            features=tfds.features.FeaturesDict({"video": video, "label": label}),
            supervised_keys=("video", "label"),
        )

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        config = self.builder_config or MotionConfig(name="default")
        number, count = self.SPLITS.index(split), getattr(config, split)
        for index in track(range(count), f"drawing motions, {split}", total=count):
            label = index % len(motion_renderer.LABELS)
            clip = motion_renderer.clip(label, np.random.default_rng([config.seed, number, index]))
            yield index, {"video": list(clip), "label": label}
