"""The embedded data set `words` as a TensorFlow Datasets builder: ten words, silence and other words of a second.

They are synthesized on this machine (synthesizer.py), so that keyword spotting needs no download.
"""

import dataclasses
import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from keras_mobilenets.progress import track
from keras_mobilenets.training.datasets.embedded_builder import Embedded
from keras_mobilenets.training.datasets.speech import synthesizer
from keras_mobilenets.training.datasets.speech.wave_file import in_16_bits


@dataclasses.dataclass(kw_only=True)
class WordsConfig(tfds.core.BuilderConfig):
    """How many recordings of each split to make, and from which seed; give a changed one a name of its own."""

    train: int = 3_600
    validation: int = 600
    test: int = 1_200
    seed: int = 2017


class Samples(tfds.features.Audio):
    """Audio that is given as an array, whose encoding TFDS' own leaves out."""

    @property
    def dtype(self) -> Any:
        """What TFDS itself asks for, and warns of."""
        return self.tf_dtype

    def encode_example(self, audio: np.ndarray) -> Any:
        """The samples, compressed."""
        return tfds.features.Tensor.encode_example(self, audio)


class Words(Embedded):
    """Ten words spoken by a formant synthesizer in voices, speeds and rooms of their own, `_silence_` and `_unknown_`.

    The classes are those of the Speech Commands task. Features: `audio`, int16 of 16,000 samples at 16 kHz, and
    `label`. The splits hold every class equally often.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012

    def _info(self) -> tfds.core.DatasetInfo:
        audio = Samples(
            shape=(synthesizer.LENGTH,),
            dtype=np.int16,
            sample_rate=synthesizer.RATE,
            encoding=tfds.features.Encoding.ZLIB,
        )
        label = tfds.features.ClassLabel(names=list(synthesizer.LABELS))
        return tfds.core.DatasetInfo(
            builder=self,
            description=inspect.cleandoc(type(self).__doc__ or ""),
            features=tfds.features.FeaturesDict({"audio": audio, "label": label}),
            supervised_keys=("audio", "label"),
        )

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        config = self.builder_config or WordsConfig(name="default")
        number, count = self.SPLITS.index(split), getattr(config, split)
        for index in track(range(count), f"speaking words, {split}", total=count):
            label = index % len(synthesizer.LABELS)
            samples = synthesizer.spoken(label, np.random.default_rng([config.seed, number, index]))
            yield index, {"audio": in_16_bits(samples), "label": label}
