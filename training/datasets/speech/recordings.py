"""Recordings as the examples of a data set: seconds of sound at 16 kHz, as waveforms or as features of speech."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import tensorflow as tf

from keras_mobilenets.blocks.speech_front_end import computed
from keras_mobilenets.graphs.input_names import input_name
from keras_mobilenets.pixels.folder_layout import RECORDING
from keras_mobilenets.training.datasets.augmentation import fold
from keras_mobilenets.training.datasets.kind import Change, Kind, Reader
from keras_mobilenets.training.datasets.speech.wave_file import (
    in_16_bits,
    of_length,
    read_wave,
    resampled,
    why_unreadable,
)
from keras_mobilenets.training.recipe import AUGMENTATIONS
from keras_mobilenets.waveforms.features import FEATURES, RATE, WAVEFORM, SpeechFeatures

FULL = 2.0**15  # of int16
_SPEAKER = re.compile(r"_nohash_\d+(?=\.\w+$)")  # in the file names of Speech Commands (arXiv:1804.03209)


class Recordings(Kind):
    """Recordings of one length, held as int16; a scaling is a `SpeechFeatures`, or None for the waveform itself."""

    noun = "recording"
    files = RECORDING
    record = "Audio"
    dtype = np.dtype(np.int16)
    scaling = WAVEFORM
    mixing = ("mixup",)

    def __init__(self, samples: int = RATE, background: np.ndarray | None = None):
        """Takes the length in samples, at 16 kHz, and what `background_noise` gives."""
        self.shape = (samples,)
        self._background = None
        if background is not None and len(background):
            with tf.device("CPU"):
                self._background = tf.constant(np.resize(background, max(len(background), samples)))

    def reader(self, name: str, files: Sequence[str]) -> Reader:
        """Reads a WAV file of any rate, channels, depth and length."""
        return lambda file: in_16_bits(of_length(read_wave(file, RATE), self.shape[0]))

    def why_unreadable(self, error: Exception) -> str:
        """What the file has that no recording has."""
        return why_unreadable(error)

    def fitted(self, feature: Any) -> Callable[[np.ndarray], np.ndarray]:
        """From the feature's sample rate; it stores 16 bits, whatever its own type is."""
        own = feature.sample_rate or RATE

        def fit(stored: np.ndarray) -> np.ndarray:
            samples = stored.astype(np.float64) / (1.0 if stored.dtype.kind == "f" else FULL)
            samples = samples.mean(axis=1) if samples.ndim > 1 else samples
            return in_16_bits(of_length(resampled(samples, own, RATE), self.shape[0]))

        return fit

    def source(self, name: Path) -> Path:
        """The speaker, where Speech Commands' names tell it: nobody is in two splits."""
        return Path(_SPEAKER.sub("", name.name)) if _SPEAKER.search(name.name) else name

    @property
    def parts(self) -> Mapping[str, Change]:
        """Changes of float32 samples of 16 bits."""
        return {"time_shift": time_shift, "noise": partial(noise, background=self._background)}

    def scale(self, examples: tf.Tensor) -> tf.Tensor:
        """Samples in [−1, 1]."""
        return tf.cast(examples, tf.float32) / FULL

    def light(self, examples: tf.Tensor, seed: tf.Tensor, shard: tuple[int, int] = (0, 1)) -> tf.Tensor:
        """Shift and noise of the usual strength."""
        examples = tf.cast(examples, tf.float32)
        for number, (name, part) in enumerate(self.parts.items()):
            examples = part(AUGMENTATIONS[name].strength, examples, fold(seed, number), shard=shard)
        return self.scale(examples)

    def scaling_for(self, model: Any) -> Any:
        """By the name of its input; a front end in the model takes the waveform."""
        return FEATURES.get(input_name(model), WAVEFORM)

    def described(self, scaling: SpeechFeatures | None) -> dict[str, Any]:
        """Sample rate and features."""
        return {"sample_rate": RATE, "features": None if scaling is None else asdict(scaling)}

    def scaling_of(self, described: Mapping[str, Any]) -> Any:
        """The features."""
        features = described.get("features")
        return SpeechFeatures(**features) if features else WAVEFORM

    def values(self, examples: tf.Tensor, scaling: SpeechFeatures | None) -> tf.Tensor:
        """Features of waveforms, or the waveforms."""
        return examples if scaling is None else computed(examples, scaling, _TENSORFLOW)

    def inputs(self, examples: np.ndarray, scaling: SpeechFeatures | None) -> np.ndarray:
        """What the model is given."""
        waveforms = examples.astype(np.float32) / np.float32(FULL)
        return waveforms if scaling is None else scaling.values(waveforms)

    def pictures(self, inputs: np.ndarray, scaling: SpeechFeatures | None) -> np.ndarray:
        """The spectrogram, time from left to right and high tones above, or the features."""
        shown = (SpeechFeatures("log_mel").values(inputs) if scaling is None else inputs)[..., 0]
        shown = shown.transpose(0, 2, 1)[:, ::-1]
        low, high = (edge(shown, axis=(1, 2), keepdims=True, initial=0.0) for edge in (np.min, np.max))
        grey = np.rint(255 * (shown - low) / np.maximum(high - low, 1e-6)).astype(np.uint8)
        grey = grey.repeat(max(1, 64 // max(1, grey.shape[1])), axis=1)
        return np.repeat(grey[..., None], 3, axis=-1)

    def input_shape(self, scaling: SpeechFeatures | None) -> tuple[int, ...]:
        """(samples,) or (frames, coefficients, 1)."""
        return self.shape if scaling is None else scaling.shape(self.shape[0])


def time_shift(most: float | None, samples: tf.Tensor, seed: tf.Tensor, shard: tuple[int, int] = (0, 1)) -> tf.Tensor:
    """Moves each recording by up to so many milliseconds, silence behind it; a shard as within the whole batch."""
    count, length = tf.shape(samples)[0], samples.shape[1]
    reach = min(length - 1, round((most or 0) * RATE / 1000))
    drawn = tf.random.stateless_uniform([count * shard[1], 1], seed, maxval=2 * reach + 1, dtype=tf.int32)
    starts = drawn[shard[0] * count : (shard[0] + 1) * count]
    padded = tf.pad(samples, [[0, 0], [reach, reach]])
    return tf.gather(padded, starts + tf.range(length), axis=1, batch_dims=1)


def noise(
    most: float | None,
    samples: tf.Tensor,
    seed: tf.Tensor,
    shard: tuple[int, int] = (0, 1),
    background: tf.Tensor | None = None,
) -> tf.Tensor:
    """Adds noise to each recording, of up to that share of its largest sample; shards as of `time_shift`.

    It is from white to brown, or for one half of the recordings a piece of `background`, where that is given.
    """
    count, length = tf.shape(samples)[0], samples.shape[1]
    own = slice(shard[0] * count, (shard[0] + 1) * count)
    white = tf.random.stateless_normal([count * shard[1], length], fold(seed, 0))[own]
    share, colour = tf.unstack(tf.random.stateless_uniform([2, count * shard[1], 1], fold(seed, 1))[:, own])
    brown = tf.cumsum(white, axis=1)
    width = RATE // 100  # what is slower than this is no sound
    brown = brown - tf.gather(brown, tf.maximum(0, tf.range(length) - width), axis=1)
    mixed = (1 - colour) * white + colour * brown / width**0.5
    if background is not None:
        drawn, places = [count * shard[1], 1], tf.size(background) - length + 1
        is_of_it = tf.random.stateless_uniform(drawn, fold(seed, 2))[own] < 0.5
        starts = tf.random.stateless_uniform(drawn, fold(seed, 3), maxval=places, dtype=tf.int32)[own]
        mixed = tf.where(is_of_it, tf.gather(background, starts + tf.range(length)), mixed)
    loudest = tf.reduce_max(tf.abs(samples), axis=1, keepdims=True)
    return samples + (most or 0.0) * share * loudest * mixed / 3


_TENSORFLOW = SimpleNamespace(
    reshape=tf.reshape,
    sqrt=tf.sqrt,
    log=tf.math.log,
    conv=lambda x, kernel, strides, padding: tf.nn.conv2d(x, kernel, strides, padding.upper()),
)
