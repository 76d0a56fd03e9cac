"""WAV files as recorders leave them: any rate, channels and depth, as one channel of 16 bits at the rate of a model."""

import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
from scipy import signal
from scipy.io import wavfile

from keras_mobilenets.errors import first_line

RATES = 1_000, 768_000  # in Hz, that a recorder may have
_FULL = {"u1": (128.0, 128.0), "i2": (0.0, 2.0**15), "i4": (0.0, 2.0**31), "i8": (0.0, 2.0**63)}  # zero and full scale


def read_wave(file: str | Path, rate: int) -> np.ndarray:
    """Reads one WAV file: its channels averaged, resampled.

    Args:
        file: Its path: PCM of 8 to 64 bits or floats in [−1, 1], of any rate and number of channels; a file that ends
            too early gives what is there.
        rate: In Hz.

    Returns:
        float32 samples in [−1, 1].

    Raises:
        ValueError: It is damaged, empty, compressed, or no WAV file.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", wavfile.WavFileWarning)  # of chunks that are not sound, and of an early end
        own, stored = wavfile.read(file)
    if not RATES[0] <= own <= RATES[1]:
        raise ValueError(f"its sample rate is {own} Hz")
    zero, full = _FULL.get(stored.dtype.str[1:], (0.0, 1.0))
    samples = (stored.astype(np.float64) - zero) / full
    samples = samples.mean(axis=1) if samples.ndim > 1 else samples
    if not samples.size:
        raise ValueError("it holds no samples")
    if not np.isfinite(samples).all():
        raise ValueError("it holds NaN or infinite samples")
    return resampled(samples / max(1.0, np.abs(samples).max()), own, rate)  # some floats are not of [−1, 1]


def resampled(samples: np.ndarray, own: int, rate: int) -> np.ndarray:
    """Samples of one rate at another, in Hz: float32, clipped to [−1, 1]."""
    ratio = Fraction(rate, own).limit_denominator(1000)  # 0.05% is no more than a clock is off
    if ratio != 1:
        samples = signal.resample_poly(samples, ratio.numerator, ratio.denominator)
    return np.clip(samples, -1, 1).astype(np.float32)


def of_length(samples: np.ndarray, length: int) -> np.ndarray:
    """The piece of most energy of a long recording; a short one between as much silence on both sides.

    Args:
        samples: float32.
        length: In samples.
    """
    if len(samples) > length:
        energy = np.concatenate([[0.0], np.cumsum(samples.astype(np.float64) ** 2)])
        first = int((energy[length:] - energy[:-length]).argmax())
        return samples[first : first + length]
    before = (length - len(samples)) // 2
    return np.pad(samples, (before, length - len(samples) - before))


def in_16_bits(samples: np.ndarray) -> np.ndarray:
    """Samples in [−1, 1] as int16."""
    return np.clip(np.rint(samples * 2**15), -(2**15), 2**15 - 1).astype(np.int16)


def why_unreadable(error: Exception) -> str:
    """The message for an error of `read_wave`."""
    known = isinstance(error, OSError | ValueError) and not isinstance(error, UnicodeError)
    return first_line(error).rstrip(".") if known and str(error) else "it is damaged or no WAV file"
