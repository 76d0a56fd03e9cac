"""Speaks the words of the embedded data set `words`: pulses and noise through formants, after Klatt (JASA 67, 1980).

A recording is a function of its random generator alone; only NumPy is needed.
"""

from typing import NamedTuple

import numpy as np

RATE = 16_000
LENGTH = 16_000  # samples of a recording
_FRAME, _HOP = 320, 160  # samples of the filters' frames
_BINS = np.fft.rfftfreq(_FRAME, 1 / RATE)


class Phone(NamedTuple):
    """A sound of speech.

    Attributes:
        formants: Of the resonances, in Hz.
        milliseconds: How long it lasts.
        voice: Loudness of the vocal cords, 0..1.
        breath: Loudness of noise, 0..1.
    """

    formants: tuple[float, float, float]
    milliseconds: float
    voice: float = 1.0
    breath: float = 0.0


# Vowels by Peterson and Barney (JASA 24, 1952), men's; consonants by Klatt's tables II and III, rounded.
PHONES = {
    "i": Phone((270, 2290, 3010), 130),
    "I": Phone((390, 1990, 2550), 100),
    "E": Phone((530, 1840, 2480), 130),
    "@": Phone((660, 1720, 2410), 140),
    "A": Phone((730, 1090, 2440), 150),
    "O": Phone((570, 840, 2410), 150),
    "U": Phone((440, 1020, 2240), 110),
    "u": Phone((300, 870, 2240), 140),
    "V": Phone((640, 1190, 2390), 120),
    "R": Phone((490, 1350, 1690), 140),
    "y": Phone((260, 2070, 3020), 70, 0.7),
    "w": Phone((290, 610, 2150), 80, 0.7),
    "l": Phone((310, 1050, 2880), 80, 0.7),
    "r": Phone((310, 1060, 1380), 80, 0.7),
    "n": Phone((250, 1700, 2600), 90, 0.5),
    "m": Phone((250, 1100, 2200), 90, 0.5),
    "s": Phone((3200, 3700, 5500), 130, 0.0, 0.5),
    "S": Phone((2000, 2700, 3500), 130, 0.0, 0.6),
    "f": Phone((1100, 2600, 4200), 120, 0.0, 0.25),
    "T": Phone((1400, 3300, 5000), 110, 0.0, 0.2),
    "v": Phone((220, 1100, 2080), 70, 0.4, 0.1),
    "z": Phone((240, 3400, 3900), 90, 0.3, 0.3),
    "h": Phone((600, 1500, 2500), 70, 0.0, 0.3),
    " ": Phone((500, 1500, 2500), 60, 0.0, 0.0),  # the closure before a stop
    "p": Phone((500, 900, 2200), 25, 0.0, 0.5),
    "b": Phone((200, 1000, 2150), 30, 0.4, 0.2),
    "t": Phone((2600, 3500, 4500), 30, 0.0, 0.7),
    "d": Phone((200, 1700, 2700), 30, 0.4, 0.3),
    "k": Phone((1400, 1900, 2800), 35, 0.0, 0.7),
    "g": Phone((200, 1900, 2500), 30, 0.4, 0.3),
}
SPELLING = {
    "down": " daUn",
    "go": " gOU",
    "left": "lEf t",
    "no": "nOU",
    "off": "Of",
    "on": "An",
    "right": "raI t",
    "stop": "s tA p",
    "up": "V p",
    "yes": "yEs",
}
OTHERS = (
    " k@ t", " dO g", " bR d", " triz", "haUs", "wVn", " tu", "TrI", "fOr", "faIv", "sI ks", "sEvVn", "EI t", "naIn",
    "zIrO", "mArvIn", "SilV", "wAO", " b@ k", " h@ pI",
)  # fmt: skip
LABELS = ("_silence_", "_unknown_", *SPELLING)


def spoken(label: int, rng: np.random.Generator) -> np.ndarray:
    """One recording of a class.

    Args:
        label: An index into LABELS.
        rng: Source of every random choice: the voice, its speed and melody, the room, the noise.

    Returns:
        float32 of 16,000 samples in [−1, 1].
    """
    name = LABELS[label]
    samples = _noise(rng) * 10 ** rng.uniform(-3.5, -1.7)
    if name != "_silence_":
        spelling = OTHERS[rng.integers(len(OTHERS))] if name == "_unknown_" else SPELLING[name]
        word = _room(_word(spelling, rng), rng)
        start = rng.integers(0, max(1, LENGTH - len(word)))
        loudness = 10 ** rng.uniform(-1.1, -0.1) / max(1e-6, np.abs(word).max())
        samples[start : start + len(word)] += loudness * word[: LENGTH - start]
    return np.clip(samples, -1, 1).astype(np.float32)


def _word(spelling: str, rng: np.random.Generator) -> np.ndarray:
    """The sound of phones one after the other, gliding from one to the next, in a voice of its own."""
    phones = [PHONES["A" if letter == "a" else letter] for letter in spelling]
    size = rng.uniform(0.95, 1.3)  # shorter vocal tracts have higher formants
    pace = rng.uniform(0.75, 1.35)
    lengths = np.array([phone.milliseconds for phone in phones]) * pace * rng.uniform(0.8, 1.25, len(phones))
    ends = np.cumsum(lengths) / 1000 * RATE
    frames = int(ends[-1] / _HOP) + 2
    owner = np.searchsorted(ends, np.arange(frames) * _HOP).clip(max=len(phones) - 1)
    rows = np.array([[*phone.formants, phone.voice, phone.breath] for phone in phones])
    rows[:, :3] *= size * rng.uniform(0.93, 1.07, (len(phones), 3))
    track = _smooth(rows[owner], 3)
    fades = np.minimum(1, np.minimum(np.arange(frames), np.arange(frames)[::-1]) / 3)[:, None]
    track[:, 3:] *= fades
    pulses = _pulses(frames * _HOP, rng)
    hiss = rng.standard_normal(frames * _HOP)
    voiced, noisy = _envelope(track[:, :3], True), _envelope(track[:, :3], False)
    return _filtered(pulses, voiced * track[:, 3:4]) + 0.6 * _filtered(hiss, noisy * track[:, 4:5])


def _pulses(length: int, rng: np.random.Generator) -> np.ndarray:
    """The vocal cords: a falling melody with some jitter, a pulse in each period."""
    pitch = np.exp(rng.uniform(np.log(85), np.log(250)))
    melody = pitch * np.linspace(rng.uniform(1, 1.2), rng.uniform(0.75, 1), length)
    melody *= 1 + 0.02 * np.repeat(rng.standard_normal(length // _HOP + 1), _HOP)[:length]
    pulses = np.diff(np.floor(np.cumsum(melody) / RATE), prepend=0.0)
    return pulses * np.sqrt(RATE / pitch) / 4


def _envelope(formants: np.ndarray, is_voiced: bool) -> np.ndarray:
    """How loud each frequency is in each frame: peaks of 60 Hz and more, the cords' sound falling by 6 dB an octave."""
    widths = 60 + 0.06 * formants if is_voiced else 200 + 0.15 * formants
    peaks = 1 / (1 + ((_BINS[None, None] - formants[..., None]) / widths[..., None]) ** 2)
    weights = np.array([1.0, 0.6, 0.35]) if is_voiced else np.array([0.5, 0.8, 1.0])
    envelope = np.sqrt((peaks * weights[None, :, None]).sum(axis=1)) + 0.01
    return envelope / np.sqrt(1 + (_BINS / 600) ** 2) if is_voiced else envelope


def _filtered(source: np.ndarray, envelope: np.ndarray) -> np.ndarray:
    """A source with the loudness of each frame and frequency: overlapping frames, each in its Fourier transform."""
    frames = len(envelope)
    padded = np.pad(source, (0, _FRAME))
    pieces = padded[_HOP * np.arange(frames)[:, None] + np.arange(_FRAME)]
    window = np.hanning(_FRAME + 1)[:-1]
    pieces = np.fft.irfft(np.fft.rfft(pieces * window) * envelope, _FRAME)
    result = np.zeros(_HOP * (frames - 1) + _FRAME)
    for half in range(2):  # of each frame, which do not overlap those of the others
        part = pieces[:, half * _HOP : (half + 1) * _HOP].reshape(-1)
        result[half * _HOP : half * _HOP + len(part)] += part
    return result


def _smooth(rows: np.ndarray, reach: int) -> np.ndarray:
    """Means over so many frames on both sides: the tongue moves from one sound to the next."""
    padded = np.pad(rows, ((reach, reach), (0, 0)), mode="edge")
    sums = np.cumsum(np.pad(padded, ((1, 0), (0, 0))), axis=0)
    return (sums[2 * reach + 1 :] - sums[: -2 * reach - 1]) / (2 * reach + 1)


def _room(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The sound with a few echoes."""
    result = np.pad(samples, (0, 1600))
    for _ in range(rng.integers(0, 4)):
        delay = rng.integers(80, 1600)
        result[delay : delay + len(samples)] += samples * rng.uniform(-0.25, 0.25)
    return result


def _noise(rng: np.random.Generator) -> np.ndarray:
    """Noise from white to brown, some of it with hum."""
    spectrum = np.fft.rfft(rng.standard_normal(LENGTH))
    spectrum /= np.maximum(1, np.arange(len(spectrum)) / 20) ** rng.uniform(0, 1)
    noise = np.fft.irfft(spectrum, LENGTH)
    noise /= noise.std()
    if rng.random() < 0.3:
        noise += np.sin(2 * np.pi * rng.choice([50, 60, 100, 120]) * np.arange(LENGTH) / RATE)
    return noise
