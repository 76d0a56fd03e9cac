"""Log-mel and MFCC features of speech: their settings, the matrices that compute them, and their values in NumPy.

Filters and cosine transform are those of HTK (Young et al. 2006, section 5.4) and of tf.signal.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_mobilenets.errors import UserError

RATE = 16_000  # Hz, of what the networks hear
FLOOR = 1e-6  # below the least magnitude of 16 bits; its logarithm stands for silence

_AT_ONCE = 64  # waveforms, so that their frames take no more than some megabytes


@dataclass(frozen=True)
class SpeechFeatures:
    """How a waveform becomes an image of frames × coefficients.

    The defaults are those of Zhang et al. 2017 (arXiv:1711.07128, section 4.1): 49 × 10 MFCCs of a second.

    Attributes:
        kind: "mfcc", or "log_mel" for the logarithms of the mel filters' magnitudes.
        sample_rate: In Hz.
        window: Length of a frame in milliseconds, under a Hann window.
        stride: From frame to frame in milliseconds.
        mels: Number of mel filters.
        coefficients: Number of MFCCs, the first ones; of "log_mel" there are as many as filters.
        low: Where the first filter begins, in Hz.
        high: Where the last filter ends, in Hz.
        fft_length: Length of the Fourier transform in samples, a window or more; None for the window's.

    Raises:
        UserError: A value cannot be.
    """

    kind: str = "mfcc"
    sample_rate: int = RATE
    window: float = 40.0
    stride: float = 20.0
    mels: int = 40
    coefficients: int = 10
    low: float = 20.0
    high: float = 4_000.0
    fft_length: int | None = None

    def __post_init__(self) -> None:
        """Checks every value."""
        for name, good, wanted in (
            ("kind", self.kind in ("mfcc", "log_mel"), '"mfcc" or "log_mel"'),
            ("sample_rate", self.sample_rate > 0, "above 0 Hz"),
            ("window", self.window_samples >= 2, "two samples or more, in milliseconds"),
            ("stride", self.stride_samples >= 1, "a sample or more, in milliseconds"),
            ("mels", self.mels >= 1, "1 or more"),
            ("coefficients", 1 <= self.coefficients <= self.mels, f"1 to {self.mels}, the number of mel filters"),
            ("low", 0 <= self.low < self.high, f"from 0 to below {self.high:g} Hz"),
            ("high", self.high <= self.sample_rate / 2, f"{self.sample_rate / 2:g} Hz or less"),
            ("fft_length", (self.fft_length or math.inf) >= self.window_samples, "None, or the window or more"),
        ):
            if not good:
                raise UserError(f"speech features: {name} must be {wanted}, not {getattr(self, name)!r}")

    @property
    def window_samples(self) -> int:
        """Length of a frame in samples."""
        return round(self.window * self.sample_rate / 1000)

    @property
    def stride_samples(self) -> int:
        """Samples from frame to frame."""
        return round(self.stride * self.sample_rate / 1000)

    def shape(self, samples: int) -> tuple[int, int, int]:
        """Frames, coefficients and the one channel of a waveform.

        Raises:
            UserError: It is shorter than a frame.
        """
        if samples < self.window_samples:
            raise UserError(f"a waveform of {samples} samples is shorter than a frame of {self.window_samples}")
        frames = 1 + (samples - self.window_samples) // self.stride_samples
        return frames, self.mels if self.kind == "log_mel" else self.coefficients, 1

    def kernels(self) -> tuple[np.ndarray, np.ndarray]:
        """Real and imaginary part of the windowed Fourier transform: float64, samples × bins that a filter reads."""
        length = self.fft_length or self.window_samples
        time, bins = np.arange(self.window_samples), self._bins()
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * time / self.window_samples)
        angles = 2 * np.pi * (np.outer(time, bins) % length) / length
        return hann[:, None] * np.cos(angles), -hann[:, None] * np.sin(angles)

    def filters(self) -> np.ndarray:
        """The mel filters, triangles of height 1: float64, bins that a filter reads × filters."""
        return self._filters()[self._bins()]

    def transform(self) -> np.ndarray:
        """From logarithms to coefficients, the cosine transform of type 2: float64, filters × coefficients."""
        if self.kind == "log_mel":
            return np.eye(self.mels)
        places = (np.arange(self.mels) + 0.5) / self.mels
        return np.cos(np.pi * np.outer(places, np.arange(self.coefficients))) * math.sqrt(2 / self.mels)

    def values(self, waveforms: np.ndarray) -> np.ndarray:
        """Features of waveforms.

        Args:
            waveforms: float N×samples in [−1, 1].

        Returns:
            float32 N×frames×coefficients×1.
        """
        found = np.empty((len(waveforms), *self.shape(waveforms.shape[1])), np.float32)
        starts = self.stride_samples * np.arange(found.shape[1])
        kernels, filters, transform = self.kernels(), self.filters(), self.transform()
        for first in range(0, len(waveforms), _AT_ONCE):
            some = slice(first, first + _AT_ONCE)
            pieces = waveforms[some, starts[:, None] + np.arange(self.window_samples)].astype(np.float64)
            real, imaginary = (pieces @ kernel for kernel in kernels)
            found[some, ..., 0] = np.log(np.hypot(real, imaginary) @ filters + FLOOR) @ transform
        return found

    def _bins(self) -> np.ndarray:
        return np.flatnonzero(self._filters().any(axis=1))

    def _filters(self) -> np.ndarray:
        length = self.fft_length or self.window_samples
        centres = _mel(np.arange(length // 2 + 1) * self.sample_rate / length)[:, None]
        edges = np.linspace(_mel(self.low), _mel(self.high), self.mels + 2)
        rising = (centres - edges[:-2]) / (edges[1:-1] - edges[:-2])
        falling = (edges[2:] - centres) / (edges[2:] - edges[1:-1])
        triangles = np.maximum(0, np.minimum(rising, falling))
        triangles[0] = 0  # the mean is no sound
        return triangles


WAVEFORM = None  # no features: the waveform itself
# By what the input of a network that has no front end is called.
FEATURES = {
    "mfcc": SpeechFeatures(),
    "log_mel": SpeechFeatures("log_mel"),
    "mfcc_30ms": SpeechFeatures(window=30.0, fft_length=512),  # MLPerf Tiny's
}
INPUTS = frozenset({"waveform", *FEATURES})  # what the inputs of networks that hear are called


def _mel(frequency: Any) -> Any:
    return 1127 * np.log1p(np.asarray(frequency) / 700)
