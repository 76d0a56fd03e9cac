"""LiteRT's GPU delegate itself, which compiles and runs through WebGPU on SwiftShader, a Vulkan driver in software."""

import re
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np

from keras_mobilenets.errors import LONGEST, UserError
from keras_mobilenets.tflite.targets import litert_gpu
from keras_mobilenets.tflite.targets.accelerators import processes
from keras_mobilenets.tflite.targets.accelerators.environments import ENVIRONMENTS, SWIFTSHADER
from keras_mobilenets.tflite.targets.compatibility import check_file_for
from keras_mobilenets.tflite.targets.delegate_graph import Graph, Node
from keras_mobilenets.tflite.targets.gpu import GpuCheck, check_gpu, refusal
from keras_mobilenets.tflite.targets.partitions import Reason, judge
from keras_mobilenets.tflite.targets.target_warning import TargetWarning

ENVIRONMENT = ENVIRONMENTS["gpu"]

# What the delegate logs: an error, as of a shader that does not compile; that it takes operators; what it leaves.
_ERROR = re.compile(r"^E\d{4} [^\]]*\] (.*)$", re.MULTILINE)
_APPLIED = "Initializing WebGPU-based API from graph"
_LEFT = re.compile(
    r"not supported by GPU delegate:\n(.*?)^(\d+|No) operations will run on the GPU, and (?:the remaining|all) (\d+)",
    re.MULTILINE | re.DOTALL,
)


def check(path: Path, variant: str = "") -> GpuCheck:
    """Asks the delegate which operators of a model it takes, and why not the others.

    Where the delegate cannot be had here, the rules of `check_gpu` answer, and `system` says so.

    Args:
        path: The .tflite file.
        variant: There is none.

    Raises:
        UserError: The file is missing, is no .tflite, or is damaged; or it crashes the delegate.
    """
    rules = check_gpu(path)
    if absent := ENVIRONMENT.missing():
        return replace(rules, system=absent)
    answer = _ask(path)
    system = f"LiteRT {answer.values['version']}, WebGPU on SwiftShader"
    return replace(_judged(rules, answer.log), evidence="run", system=system)


def run(path: Path, inputs: np.ndarray, variant: str = "") -> np.ndarray:
    """Runs a .tflite as `checks.Runner` says; what the delegate leaves runs on the CPU, as on a phone.

    Raises:
        UserError: The delegate cannot be had here, takes no operator, or fails: then with its own message.
    """
    ENVIRONMENT.require()
    answer = _ask(path, inputs)
    if reason := _failure(answer.log):
        raise UserError(f"{path} {reason}; see what inspect --on gpu says of it, and convert it again")
    if left := _LEFT.search(answer.log):
        shared = f"{path.name} is not fully delegated: the GPU delegate leaves {left[3]} of its operators to the CPU"
        warnings.warn(shared, TargetWarning, stacklevel=2)
    assert answer.outputs is not None
    return answer.outputs


def _ask(path: Path, inputs: np.ndarray | None = None) -> processes.Answer:
    return processes.run(
        ENVIRONMENT.python,
        "gpu",
        {"path": path},
        inputs,
        what=f"{path.name} on the GPU delegate",
        seconds=300,  # a software driver compiles hundreds of shaders before the first image
        variables={"VK_ICD_FILENAMES": SWIFTSHADER},
    )


def _failure(log: str) -> str:
    """Why the answers are not those of the delegate, or wrong; empty where they are sound."""
    if found := _ERROR.search(log):
        return f"fails on the GPU delegate: {found[1].strip()[:LONGEST]}"
    return "" if _APPLIED in log else "has no operator that the GPU delegate takes"


def _judged(rules: GpuCheck, log: str) -> GpuCheck:
    if reason := _failure(log):
        operators = tuple(replace(op, delegated=False, reason=reason, source="") for op in rules.operators)
        share = None if rules.macs_share is None else 0.0
        return replace(rules, operators=operators, partitions=0, macs_share=share, blocked=reason)
    found = _LEFT.search(log)
    lines = found[1].splitlines() if found else []
    reasons = dict(line.removeprefix("CUSTOM ").rstrip(".").split(": ", 1) for line in lines if ": " in line)
    divided = reasons.keys() & {operator.name for operator in rules.refused}

    def left(node: Node) -> Reason:
        """The delegate names kinds of operators; where the rules refuse some of a kind, it means those."""
        is_left = node.name in reasons and (node.name not in divided or refusal(node)[0])
        if is_left:
            return reasons[node.name], ""
        wrong = litert_gpu.failure(node)  # it takes such an operator, and nothing in its log says that it is wrong
        return wrong, litert_gpu.SEEN if wrong else ""

    def judged(path: Path, graph: Graph) -> GpuCheck:
        return GpuCheck(path, **judge(graph, GpuCheck.limit, left))

    check = check_file_for(rules.path, judged)
    counted = int(found[2].replace("No", "0")) if found else check.total
    wrong = sum(operator.source == litert_gpu.SEEN for operator in check.refused)
    if counted != check.delegated + wrong:  # which these are it does not say
        check = replace(check, blocked=f"the delegate counts {counted} operators that it takes, not {check.delegated}")
    return check
