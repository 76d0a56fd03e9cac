"""LiteRT's GPU delegate itself, which compiles and runs through WebGPU on SwiftShader, a Vulkan driver in software."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from keras_mobilenets.errors import LONGEST, UserError
from keras_mobilenets.tflite.targets.accelerators import processes
from keras_mobilenets.tflite.targets.accelerators.environments import ENVIRONMENTS, SWIFTSHADER
from keras_mobilenets.tflite.targets.gpu import GpuCheck, check_gpu

ENVIRONMENT = ENVIRONMENTS["gpu"]

# What native code logs as an error: a shader that does not compile is said here and nowhere else.
_ERROR = re.compile(r"^E\d{4} [^\]]*\] (.*)$", re.MULTILINE)


def check(path: Path, variant: str = "") -> GpuCheck:
    """Asks the delegate whether it takes a model; the rules of `check_gpu` give the reasons for each operator.

    Where the delegate cannot be had here, the rules alone answer, and `system` says so.

    Args:
        path: The .tflite file.
        variant: There is none.

    Raises:
        UserError: The file is missing, is no .tflite, or is damaged; or the driver does not work.
    """
    rules = check_gpu(path)
    if absent := ENVIRONMENT.missing():
        return replace(rules, system=absent)
    answer = _ask(path)
    asked = replace(rules, evidence="run", system=f"LiteRT {answer.values['version']}, WebGPU on SwiftShader")
    if reason := _failure(answer.log):
        return _judged(asked, f"the delegate fails: {reason}")
    if answer.values["whole"]:
        return _judged(asked, "")
    return replace(asked, blocked="the delegate says that it leaves operators to the CPU") if asked.ok else asked


def run(path: Path, inputs: np.ndarray, variant: str = "") -> np.ndarray:
    """Runs a .tflite on images.

    Args:
        path: A .tflite that is known to be sound, with one input and one output.
        inputs: Images×height×width×channels in the input's own dtype.
        variant: There is none.

    Returns:
        Raw outputs, images×..., in the output's own dtype.

    Raises:
        UserError: The delegate cannot be had here, or fails: then with its own message.
    """
    ENVIRONMENT.require()
    answer = _ask(path, inputs)
    if reason := _failure(answer.log):
        raise UserError(f"{path} computes wrongly on the GPU delegate: {reason}; convert it for another target")
    assert answer.outputs is not None
    return answer.outputs


def _ask(path: Path, inputs: np.ndarray | None = None) -> processes.Answer:
    return processes.run(
        ENVIRONMENT.python,
        "gpu",
        {"path": path},
        inputs,
        what=f"{path.name} on the GPU delegate",
        variables={"VK_ICD_FILENAMES": SWIFTSHADER},
    )


def _failure(log: str) -> str:
    """The first error that the delegate logs; empty without any."""
    found = _ERROR.search(log)
    return found[1].strip()[:LONGEST] if found else ""


def _judged(asked: GpuCheck, blocked: str) -> GpuCheck:
    """The check of a model that the delegate takes whole, or not at all."""
    operators = tuple(replace(op, delegated=not blocked, reason=blocked, source="") for op in asked.operators)
    share = None if asked.macs_share is None else float(not blocked)
    return replace(asked, operators=operators, partitions=int(not blocked), macs_share=share, blocked=blocked)
