"""Packages that carry weights, models and photographs of the real world, for slow tests only: `make world`."""

import importlib.util
from pathlib import Path

import pytest

# MediaPipe asks for a protobuf that TensorFlow refuses: it stands apart, for a process of its own.
MEDIAPIPE_SITE = Path(__file__).parent.parent / "build" / "mediapipe"


def package_folder(name):
    """The folder of an installed package, which is not imported; the test is skipped where it is missing."""
    found = importlib.util.find_spec(name)
    folders = [*(found.submodule_search_locations or () if found else ()), MEDIAPIPE_SITE / name]
    folder = next((Path(folder) for folder in folders if Path(folder).is_dir()), None)
    if folder is None:
        pytest.skip(f"{name} is missing: make world")
    return folder
