"""WAV files as recorders leave them: any rate, channels and depth, as one channel of 16 bits at the rate of a model."""

import io
import struct
import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
from scipy import signal
from scipy.io import wavfile

from keras_mobilenets.errors import first_line
from keras_mobilenets.pixels.folder_layout import HAS_SOUNDFILE

RATES = 1_000, 768_000  # in Hz, that a recorder may have
_RIFF, _FMT = 12, struct.Struct("<HHIIHH")  # length of the first header; format, channels, rate, bytes, frame, bits
_PCM, _ALAW, _MULAW = 1, 6, 7
_FULL = {"u1": (128.0, 128.0), "i2": (0.0, 2.0**15), "i4": (0.0, 2.0**31), "i8": (0.0, 2.0**63)}  # zero and full scale


def read_wave(file: str | Path, rate: int) -> np.ndarray:
    """Reads one WAV file, or what else `soundfile` reads where it is installed: its channels averaged, resampled.

    Args:
        file: Its path: PCM of 8 to 64 bits, floats in [−1, 1], or 8 bits by μ-law or A-law (G.711), of any rate and
            number of channels; a file that ends too early gives what is there.
        rate: In Hz.

    Returns:
        float32 samples in [−1, 1].

    Raises:
        ValueError: It is damaged, empty, compressed, or no WAV file.
    """
    content = Path(file).read_bytes()
    try:
        own, samples = _decoded(content)
    except ValueError:
        if not HAS_SOUNDFILE:
            raise
        own, samples = _by_soundfile(content)
    if not RATES[0] <= own <= RATES[1]:
        raise ValueError(f"its sample rate is {own} Hz")
    samples = samples.mean(axis=1) if samples.ndim > 1 else samples
    if not samples.size:
        raise ValueError("it holds no samples")
    if not np.isfinite(samples).all():
        raise ValueError("it holds NaN or infinite samples")
    return resampled(samples / max(1.0, np.abs(samples).max()), own, rate)  # some floats are not of [−1, 1]


def _decoded(content: bytes) -> tuple[int, np.ndarray]:
    """Sample rate and float64 samples of a WAV file, samples×channels of several."""
    if content[:4] not in (b"RIFF", b"RIFX", b"RF64"):
        raise ValueError("it is no WAV file" if content else "it is empty")
    content, law = _readable(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", wavfile.WavFileWarning)  # of chunks that are not sound, and of an early end
        own, stored = wavfile.read(io.BytesIO(content))
    stored = stored if law is None else law[stored]
    zero, full = _FULL.get(stored.dtype.str[1:], (0.0, 1.0))
    return own, (stored.astype(np.float64) - zero) / full


def _readable(content: bytes) -> tuple[bytes, np.ndarray | None]:
    """A WAV file as SciPy reads it, which knows no G.711 and no half sample at an early end.

    Returns:
        The content, its data whole samples of all channels, and for G.711 the int16 value of each of its bytes.
    """
    place, law, frame, header = _RIFF, None, 1, content[:_RIFF]
    while content[:4] == b"RIFF" and place + 8 <= len(content):
        name, size = struct.unpack_from("<4sI", content, place)
        start = place + 8
        if name == b"fmt " and start + _FMT.size <= len(content):
            form, *_, frame, _ = _FMT.unpack_from(content, start)
            law = {_ALAW: _a_law(), _MULAW: _mu_law()}.get(form)
            if law is not None:
                content = content[:start] + struct.pack("<H", _PCM) + content[start + 2 :]
        if name == b"data":
            there = min(size, len(content) - start)
            kept = there - there % max(1, frame)
            header = content[:place] + struct.pack("<4sI", name, kept)
            return header + content[start : start + kept], law
        place = start + size + size % 2
    return content, law


def _mu_law() -> np.ndarray:
    """The int16 value of each byte (ITU-T G.711, table 2)."""
    byte = ~np.arange(256) & 255
    size = (((byte & 15) << 3) + 132 << (byte >> 4 & 7)) - 132
    return np.where(byte & 128, -size, size).astype(np.int16)


def _a_law() -> np.ndarray:
    """The int16 value of each byte (ITU-T G.711, table 1)."""
    byte = np.arange(256) ^ 0x55
    size, segment = ((byte & 15) << 4) + 8, byte >> 4 & 7
    size = np.where(segment, size + 256 << np.maximum(segment - 1, 0), size)
    return np.where(byte & 128, size, -size).astype(np.int16)


def _by_soundfile(content: bytes) -> tuple[int, np.ndarray]:
    """As `_decoded`, of FLAC, Ogg, MP3 and WAV files of other codings."""
    import soundfile

    try:
        samples, own = soundfile.read(io.BytesIO(content), dtype="float64")
    except soundfile.LibsndfileError as error:
        raise ValueError(f"it is damaged or no recording: {error.error_string}") from error
    return own, samples


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
