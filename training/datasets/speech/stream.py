"""A long recording with words in it, to find them again: test recordings one after the other, pauses in between."""

from typing import Any, NamedTuple

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.waveforms.features import RATE

QUIET = ("_silence_", "_unknown_", "_background_noise_")  # classes that are no word to be found


class Stream(NamedTuple):
    """A long recording.

    Attributes:
        samples: float32 in [−1, 1] at 16 kHz.
        words: Of each word in it, the second of its middle and its class; in their order.
        class_names: The classes.
    """

    samples: np.ndarray
    words: list[tuple[float, int]]
    class_names: list[str]

    @property
    def hours(self) -> float:
        """Its length."""
        return len(self.samples) / RATE / 3600


def stream_of(data: Any, count: int = 200, seed: int = 0, gap: float = 1.0) -> Stream:
    """Test recordings with pauses between them, in a noise that does not stop.

    Args:
        data: What `load_data` returns for recordings.
        count: Recordings, of all classes; fewer where there are fewer.
        seed: Of their order, of the pauses and of the noise.
        gap: The mean of the pauses, in seconds.

    Raises:
        UserError: The data are no recordings.
    """
    if data.kind.record != "Audio":
        raise UserError(f"{data.name} holds {data.kind.noun}s: a stream is made of recordings, such as those of words")
    examples, labels = data.images("test", count, seed=seed)
    rng = np.random.default_rng(seed)
    pieces: list[np.ndarray] = []
    words: list[tuple[float, int]] = []
    place = 0
    for example, label in zip(examples, labels, strict=True):
        pause = int(RATE * gap * rng.uniform(0.5, 1.5))
        pieces += [np.zeros(pause, np.float32), example.astype(np.float32) / 2**15]
        place += pause
        if data.class_names[label] not in QUIET:
            words.append(((place + len(example) / 2) / RATE, int(label)))
        place += len(example)
    samples = np.concatenate(pieces)
    noise = rng.standard_normal(len(samples), np.float32) * 1e-3
    return Stream(np.clip(samples + noise, -1, 1), words, list(data.class_names))
