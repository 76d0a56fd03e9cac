"""TensorFlow Lite Micro, the runtime of microcontrollers, as it runs on this machine."""

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from keras_mobilenets.errors import LONGEST, UserError
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.graph.part import part
from keras_mobilenets.tflite.targets.accelerators import processes
from keras_mobilenets.tflite.targets.accelerators.environments import ENVIRONMENTS
from keras_mobilenets.tflite.targets.compatibility import Check, check_file_for, read_sound
from keras_mobilenets.tflite.targets.delegate_graph import Node, Operand, graph_of
from keras_mobilenets.tflite.targets.partitions import Reason, fields, verdicts

ENVIRONMENT = ENVIRONMENTS["micro"]

_ARENA = re.compile(r"Arena allocation total (\d+) bytes")
_BOUND = {"resource", "variant"}  # what an operator that runs alone cannot be given
_LACKING = "Failed to get registration"
_SAID = re.compile(r"(?:tensorflow/lite/(?:\S+/)?(\S+) )?(.*)")  # the source file, where it names one, and the reason


@dataclass(frozen=True)
class MicroCheck(Check):
    """What TensorFlow Lite Micro makes of a model, as a `Check` says it: it runs all of a file or nothing."""

    delegate: ClassVar[str] = "TFLite Micro"


def check(path: Path, variant: str = "") -> MicroCheck:
    """Runs a .tflite once with TensorFlow Lite Micro; where that fails, each operator alone, to tell what it refuses.

    The memory is the smallest arena that does here; on a processor of 32 bits, whose pointers are shorter, a little
    less does.

    Args:
        path: The .tflite file.
        variant: There is none.

    Raises:
        UserError: The file is missing, is no .tflite, or is damaged; or TensorFlow Lite Micro is not installed.
    """
    model = read_sound(path)
    memory: dict[str, int] = {}
    refused: dict[tuple[int, int], Reason] = {}
    blocked = ""
    try:
        answer = _ask(path, {"path": path, "arena": enough(model)})
        memory = {"arena": arena_bytes(answer.log)}
    except UserError as error:
        answer, refused = _refusals(path, model)
        blocked = "" if refused else str(error)
    works = not (refused or blocked)
    return check_file_for(
        path,
        lambda path, graph: MicroCheck(
            path,
            **fields(graph, verdicts(graph, refused), int(works and graph.number == 0), blocked),
            evidence="run",
            system=f"tflite-micro {answer.values['version']}",
            memory=memory,
        ),
    )


def run(path: Path, inputs: np.ndarray, variant: str = "") -> np.ndarray:
    """Runs a .tflite with TensorFlow Lite Micro, as `checks.Runner` says.

    Raises:
        UserError: TensorFlow Lite Micro is not installed, or does not run the file: then with operators and reasons.
    """
    model = flatbuffer.read(path.read_bytes(), path)
    try:
        outputs = _ask(path, {"path": path, "arena": enough(model)}, inputs).outputs
    except UserError as error:
        found = check(path)
        raise error if found.ok else UserError(f"{path}: {found.summary}") from error
    assert outputs is not None
    return outputs


def arena_bytes(log: str) -> int:
    """The bytes of the arena that a model takes, from what TensorFlow Lite Micro writes about its allocations.

    Raises:
        UserError: It does not say them.
    """
    found = _ARENA.search(log)
    if found is None:
        raise UserError(
            "this version of TensorFlow Lite Micro does not tell the size of its arena; take the pinned one"
        )
    return int(found[1])


def refusal(status: int, log: str, node: Node) -> Reason:
    """Why an operator does not run alone, and where the source says so; empty where it does.

    Args:
        status: With which its process ended: 0 if it ran, negative for a signal.
        log: What it wrote to standard error.
        node: The operator.
    """
    if status == 0:
        return "", ""
    if _LACKING in log:
        return "TensorFlow Lite Micro lacks this operator", ""
    if status < 0:
        return f"it crashes (signal {-status}) with its {_scales(node)}; convert with other calibration images", ""
    said = _SAID.match(log.strip())
    return (said[2][:LONGEST], said[1] or "") if said and said[2] else ("it fails and does not say why", "")


def _scales(node: Node) -> str:
    sides = [
        f"{side} scales {', '.join(map(_scale, operands))}"
        for side, tensors in (("input", node.inputs), ("output", node.outputs))
        if (operands := [operand for operand in tensors if operand and operand.scales])
    ]
    return " and ".join(sides) or "values"


def _scale(operand: Operand) -> str:
    low, high = min(operand.scales), max(operand.scales)
    return f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"


def _ask(path: Path, arguments: Mapping[str, Any], inputs: np.ndarray | None = None) -> processes.Answer:
    ENVIRONMENT.require()
    what = f"{path.name} on TensorFlow Lite Micro"
    return processes.run(ENVIRONMENT.python, "micro", arguments, inputs, what=what)


def enough(model: Any) -> int:
    """Bytes in which any plan of the arena has room: all activations at once, and what operators and tensors take."""
    graphs = [graph_of(model, number) for number in range(len(model.subgraphs))]
    values = sum(8 * operand.elements for graph in graphs for operand in graph.operands if not operand.constant)
    channels = sum(len(operand.scales) for graph in graphs for operand in graph.operands)
    return (1 << 20) + 2 * values + 64 * channels + sum(4096 * len(graph.nodes) for graph in graphs)


def _refusals(path: Path, model: Any) -> tuple[processes.Answer, dict[tuple[int, int], Reason]]:
    """Which operators do not run alone, by the places of graph and operator, and why."""
    nodes: dict[tuple[int, int], Node] = {}
    with tempfile.TemporaryDirectory(prefix="keras_mobilenets_") as folder:
        for number, graph in enumerate(model.subgraphs):
            for place, (operator, node) in enumerate(zip(graph.operators, graph_of(model, number).nodes, strict=True)):
                if not _BOUND.intersection(operand.dtype for operand in node.inputs + node.outputs if operand):
                    alone, _ = part(model, graph, [operator], [tensor for tensor in operator.outputs if tensor >= 0])
                    Path(folder, f"{number}.{place}").write_bytes(flatbuffer.write(alone))
                    nodes[number, place] = node
        trials = [Path(folder, f"{number}.{place}") for number, place in nodes]
        answer = _ask(path, {"trials": list(map(str, trials)), "arena": enough(model)})
    found = {
        where: refusal(status, log, node)
        for (where, node), (status, log) in zip(nodes.items(), answer.values["ends"], strict=True)
    }
    return answer, {where: reason for where, reason in found.items() if reason[0]}
