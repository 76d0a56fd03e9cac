"""The warning that a converted model is not fully delegated on its target: which operators run on the CPU, and why."""

import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from keras_mobilenets.plurals import count


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
    return "" if check.ok else f"NNAPI, {check.summary}"


def _by_gpu(path: str | Path) -> str:
    from keras_mobilenets.tflite.targets.gpu import check_gpu

    check = check_gpu(path)
    return "" if check.ok else check.summary


def _by_xnnpack(path: str | Path) -> str:
    """Measured; a SOFTMAX at the end, which XNNPACK never takes in int8, is not worth a word."""
    from keras_mobilenets.tflite.runtime.interpreter import open_model

    model = open_model(path)
    nodes, delegated, partitions = model.delegation()
    if nodes is None:
        return ""
    refused = model.cpu_operators()
    if partitions == 1 and refused in ([], ["SOFTMAX"]):
        return ""
    names = ", ".join(f"{name} ×{times}" if times > 1 else name for name, times in Counter(refused).most_common())
    return f"XNNPACK, {delegated} of {nodes} operators delegated in {count(partitions, 'partition')}: {names} refused"


def _by_qualcomm(path: str | Path) -> str:
    from keras_mobilenets.tflite.targets.accelerators import qualcomm

    if qualcomm.ENVIRONMENT.missing():
        return ""
    check = qualcomm.check(Path(path), "SM8750")
    return "" if check.ok else f"Qualcomm's NPU, {check.summary}"


_CHECKS: Mapping[str, Callable[[str | Path], str]] = {
    "nnapi": _by_nnapi,
    "litert": lambda path: "; ".join(filter(None, (_by_xnnpack(path), _by_gpu(path)))),
    "xnnpack": _by_xnnpack,
    "gpu": _by_gpu,
    "qualcomm": _by_qualcomm,
}
