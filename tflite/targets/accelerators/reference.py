"""TensorFlow Lite's reference kernels, which say what each operator is to compute."""

import sys
from pathlib import Path

import numpy as np

from keras_mobilenets.tflite.targets.accelerators import processes


def run(path: Path, inputs: np.ndarray, variant: str = "") -> np.ndarray:
    """Runs a .tflite, as `checks.Runner` says.

    Raises:
        UserError: The kernels do not run it.
    """
    what = f"{path.name} on the reference kernels"
    answer = processes.run(Path(sys.executable), "reference", {"path": path}, inputs, what=what)
    assert answer.outputs is not None
    return answer.outputs
