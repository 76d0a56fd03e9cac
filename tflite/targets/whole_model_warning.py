"""What the target of a conversion leaves to the CPU, in one line, before anybody holds the phone."""

import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path


class TargetWarning(UserWarning):
    """A converted model is not taken whole by the target it was converted for."""


def warn_of_leftovers(path: str | Path, target: str) -> None:
    """Warns with a `TargetWarning` when a model is not taken whole, in one piece, by its target.

    Args:
        path: The .tflite file.
        target: A name in `forms.FORMS`. NNAPI is asked as of Android 12 (API level 31).
    """
    left = _CHECKS[target](path)
    if left:
        warnings.warn(f"{Path(path).name} is not taken whole: {left}", TargetWarning, stacklevel=3)


def _by_nnapi(path: str | Path) -> str:
    from keras_mobilenets.tflite.targets.nnapi import check_nnapi

    check = check_nnapi(path)
    return "" if check.ok else f"NNAPI, {check.summary}"


def _by_gpu(path: str | Path) -> str:
    from keras_mobilenets.tflite.targets.gpu import check_gpu

    check = check_gpu(path)
    return "" if check.ok else check.summary


def _by_xnnpack(path: str | Path) -> str:
    """Measured; a SOFTMAX at the end, which XNNPACK never takes in int8, is not worth a word."""
    from keras_mobilenets.tflite.runtime.interpreter import open_model

    model = open_model(path)
    nodes, taken, pieces = model.delegation()
    left = model.left()
    if nodes is None or (pieces == 1 and left in ([], ["SOFTMAX"])):
        return ""
    names = ", ".join(f"{name} ×{count}" if count > 1 else name for name, count in Counter(left).most_common())
    return f"XNNPACK, {taken} of {nodes} operators taken in {pieces} piece{'s' * (pieces != 1)}: {names} refused"


_CHECKS: Mapping[str, Callable[[str | Path], str]] = {"nnapi": _by_nnapi, "xnnpack": _by_xnnpack, "gpu": _by_gpu}
