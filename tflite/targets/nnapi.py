"""Which operators of a .tflite the phone's NNAPI delegate takes, in how many partitions, and why it refuses the others.

The rules of each operator stand in nnapi_rules/, what all delegates have in common in partitions.py. How this one
puts together what the rules allow follows, with the line numbers of TensorFlow 2.14.0 (see there): nnapi_delegate.cc,
`StatefulNnApiDelegate::DoPrepare` (6762). The delegate's options are its defaults: three partitions at most, and from
API level 29 on an accelerator, not the CPU of NNAPI. What a driver then refuses no file can tell.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.targets.compatibility import Check, check_file_for
from keras_mobilenets.tflite.targets.delegate_graph import Graph, Node
from keras_mobilenets.tflite.targets.nnapi_rules import BUILDABLE, RULES, UNJUDGED, UNKNOWN_LINE
from keras_mobilenets.tflite.targets.partitions import judge

API_LEVELS = range(27, 36)
LIMIT = 3  # partitions that the delegate takes, unless the app asks for another number (nnapi_delegate.h)

_FILE = "nnapi_delegate.cc"


@dataclass(frozen=True)
class NnapiCheck(Check):
    """What `check_nnapi` found, as a `Check` says it.

    Attributes:
        api_level: The Android API level that was asked about.
    """

    api_level: int = 31

    delegate: ClassVar[str] = "NNAPI"
    limit: ClassVar[int] = LIMIT

    @property
    def circumstances(self) -> str:
        """Levels of Android and of NNAPI."""
        return f"API level {self.api_level}, feature level {min(self.api_level, 31) - 26}"

    def _at(self) -> str:
        return f" at API level {self.api_level}"


def check_nnapi(path: str | Path, api_level: int = 31) -> NnapiCheck:
    """Says which operators of a .tflite the NNAPI delegate of TensorFlow Lite takes on a phone, and why not the others.

    Reads the file; no phone is needed. Levels 31 to 35 give the same answer: what NNAPI learned
    after Android 12 depends on the driver, which the API level does not tell.

    Args:
        path: The .tflite file.
        api_level: The phone's Android API level, 27 (Android 8.1, NNAPI 1.0) to 35 (Android 15).

    Returns:
        A verdict on every operator, the number of partitions and the share of multiply-adds delegated.

    Raises:
        UserError: The file is missing, is no .tflite, or is damaged; or NNAPI does not exist at that API level.
    """
    if isinstance(api_level, bool) or not isinstance(api_level, int) or api_level not in API_LEVELS:
        raise UserError(f"api_level={api_level!r}: give a number from {API_LEVELS[0]} to {API_LEVELS[-1]}")
    return check_file_for(path, lambda path, graph: _check(path, graph, api_level))


def _check(path: Path, graph: Graph, api_level: int) -> NnapiCheck:
    found = judge(
        graph,
        LIMIT,
        lambda node: _refusal(node, min(api_level, 31)),
        lambda graph, allowed: _unbuildable(graph, allowed, api_level),
        f"{_FILE}:6689",
    )
    return NnapiCheck(path, **found, api_level=api_level)


def _refusal(node: Node, level: int) -> tuple[str, str]:
    """Why the delegate refuses an operator (empty if it takes it), and where it says so."""
    if node.name in UNJUDGED:
        return "no rule here judges this operator", _FILE
    if node.name not in RULES:
        return "the delegate does not know this operator", f"{_FILE}:{UNKNOWN_LINE}"
    rules = RULES[node.name]
    if node.name == "DEQUANTIZE" and level >= 30 and node.operand(0).dtype == "float16":
        return "", f"{_FILE}:2751"  # float16 computed at run time; constants never come here
    failed = {reason: rule.line for rule in rules if (reason := rule.refusal(node, level))}
    lines = failed.values() or [rules[0].line]
    return "; ".join(failed), f"{_FILE}:{', '.join(map(str, lines))}"


def _unbuildable(graph: Graph, allowed: Collection[int], level: int) -> tuple[str, str]:
    """What the delegate accepts although NNAPI then refuses to build it: the delegate fails as a whole."""
    for i in sorted(allowed):
        node = graph.nodes[i]
        operands = [operand for operand in (*node.inputs, *node.outputs) if operand]
        # An int64 in the file is an axis or a shape, which becomes int32 (ARG_MAX, FILL).
        types = {o.dtype for o in operands if not (o.constant and o.dtype == "int64")} - BUILDABLE
        if types:
            return f"{node.name} {i} has a tensor of {min(types)}, with which NNAPI builds no model", f"{_FILE}:1850"
        # The one operator here whose int8 the delegate does not turn into the uint8 that those levels need (286–336).
        if node.name == "SQUEEZE" and node.operand(0).dtype == "int8" and level < 30:
            return f"{node.name} {i} is int8, with which NNAPI builds no model before API level 30", f"{_FILE}:1800"
        # NNAPI wants weights of the very type of the input (FullyConnected.cpp of Android's NeuralNetworks module).
        if node.name == "FULLY_CONNECTED" and node.operand(0).is_quantized and node.operand(1).is_per_channel:
            return (
                f"{node.name} {i} has weights of one scale per channel, with which NNAPI builds no model; convert with "
                'target="nnapi"'
            ), f"{_FILE}:1807"
    return "", ""
