"""The embedded data set `words` as a TensorFlow Datasets builder: ten words, silence and other words of a second.

They are synthesized on this machine (synthesizer.py), so that keyword spotting needs no download.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from keras_mobilenets.training.datasets.embedded_builder import Embedded, Sizes
from keras_mobilenets.training.datasets.speech import synthesizer
from keras_mobilenets.training.datasets.speech.wave_file import in_16_bits


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

    SIZES = Sizes(name="default", train=3_600, validation=600, test=1_200)

    def _features(self) -> dict[str, Any]:
        audio = Samples(
            shape=(synthesizer.LENGTH,),
            dtype=np.int16,
            sample_rate=synthesizer.RATE,
            encoding=tfds.features.Encoding.ZLIB,
        )
        return {"audio": audio, "label": tfds.features.ClassLabel(names=list(synthesizer.LABELS))}

    def _examples(self, seed: int, split: int, count: int) -> Iterator[dict[str, Any]]:
        for index in range(count):
            label = index % len(synthesizer.LABELS)
            samples = synthesizer.spoken(label, np.random.default_rng([seed, split, index]))
            yield {"audio": in_16_bits(samples), "label": label}
