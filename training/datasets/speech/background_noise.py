"""The recordings beside the classes that are noise, as Speech Commands (arXiv:1804.03209) has them."""

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from keras_mobilenets.pixels.folder_layout import NOISE, RECORDING, split_of_name
from keras_mobilenets.training.datasets.speech.wave_file import read_wave, why_unreadable


def background_noise(folder: Path, rate: int) -> np.ndarray:
    """All recordings in folders `_background_noise_`, but for those of a validation or test split.

    Args:
        folder: That of a data set.
        rate: In Hz.

    Returns:
        float32 samples, one recording after the other, each of a mean square of 1; empty where there are none. A
        warning says how long they are, and one of each that cannot be read.
    """
    found = [np.zeros(0, np.float32)]
    for file in _files(folder):
        try:
            samples = read_wave(file, rate)
        except Exception as error:  # libraries raise many for damaged files
            warnings.warn(f"skipped {file}: {why_unreadable(error)}", stacklevel=2)
            continue
        loudness = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
        if loudness > 0:
            found.append((samples / loudness).astype(np.float32))
    samples = np.concatenate(found)
    if len(samples):
        seconds = f"{len(samples) / rate:.0f} s of {NOISE}"
        warnings.warn(f"{folder}: the {seconds} are no class, but noise of the augmentation", stacklevel=2)
    return samples


def _files(folder: Path) -> Iterator[Path]:
    for where, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in sorted(folders) if not name.startswith(".") and not _is_judged(name)]
        if os.path.basename(where) == NOISE:
            names = (name for name in sorted(files) if not name.startswith("."))
            yield from (Path(where, name) for name in names if os.path.splitext(name)[1].lower() in RECORDING.suffixes)


def _is_judged(name: str) -> bool:
    return (split_of_name(name) or ("train", True)) in (("validation", True), ("test", True))
