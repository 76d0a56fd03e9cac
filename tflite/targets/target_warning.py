"""The warning that a converted model is not fully delegated on its target: which operators run on the CPU, and why."""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path


class TargetWarning(UserWarning):
    """A converted model is not fully delegated on the target it was converted for."""


def warn_if_not_delegated(path: str | Path, target: str) -> None:
    """Warns with a `TargetWarning` when the target does not delegate a model fully, in one partition.

    Args:
        path: The .tflite file.
        target: A name in `operator_forms.FORMS`. NNAPI is asked as of Android 12 (API level 31), Qualcomm's
            compiler for SM8750 where it is installed.
    """
    reason = _CHECKS[target](path)
    if reason:
        warnings.warn(f"{Path(path).name} is not fully delegated: {reason}", TargetWarning, stacklevel=3)


def _by_nnapi(path: str | Path) -> str:
    from keras_mobilenets.tflite.targets.nnapi import check_nnapi

    check = check_nnapi(path)
    return "" if check.is_whole else f"NNAPI, {check.summary}"


def _by_gpu(path: str | Path) -> str:
    from keras_mobilenets.tflite.targets.gpu import check_gpu

    check = check_gpu(path)
    return "" if check.is_whole else check.summary


def _by_xnnpack(path: str | Path) -> str:
    """A SOFTMAX at the end, which XNNPACK never takes in int8, is not worth a word, nor is the end of a detector."""
    from keras_mobilenets.tflite.targets.xnnpack import check_xnnpack

    check = check_xnnpack(path)
    whole = check.is_whole or (check.partitions == 1 and [each.name for each in check.refused] == ["SOFTMAX"])
    return "" if whole or check.blocked else f"XNNPACK, {check.summary}"


def _by_qualcomm(path: str | Path) -> str:
    from keras_mobilenets.tflite.targets.accelerators import qualcomm

    if qualcomm.ENVIRONMENT.missing():
        return ""
    check = qualcomm.check(Path(path), "SM8750")
    return "" if check.is_whole else f"Qualcomm's NPU, {check.summary}"


_CHECKS: Mapping[str, Callable[[str | Path], str]] = {
    "nnapi": _by_nnapi,
    "litert": lambda path: "; ".join(filter(None, (_by_xnnpack(path), _by_gpu(path)))),
    "xnnpack": _by_xnnpack,
    "gpu": _by_gpu,
    "qualcomm": _by_qualcomm,
}
