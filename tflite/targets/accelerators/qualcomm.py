"""Qualcomm's own compiler for its NPU, and the simulator of that NPU, in a helper environment."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.graph.flatbuffer import operator_code
from keras_mobilenets.tflite.targets.accelerators import processes
from keras_mobilenets.tflite.targets.accelerators.environments import ENVIRONMENTS
from keras_mobilenets.tflite.targets.accelerators.qualcomm_report import Report
from keras_mobilenets.tflite.targets.compatibility import Check, check_file_for, read_sound
from keras_mobilenets.tflite.targets.partitions import Reason, fields, verdicts

ENVIRONMENT = ENVIRONMENTS["qualcomm"]

# Those that LiteRT compiles for (its aot/vendors/qualcomm/target.py). The compiler takes a hundred more names, among
# them chips without this NPU, and compiles for another one then.
SOCS = (
    *("SM8350", "SM8450", "SM8475", "SM8550", "SM8650", "SM8750", "SM8845", "SM8850"),  # phones
    *("SA8255", "SA8295"),  # cars
)


@dataclass(frozen=True)
class QualcommCheck(Check):
    """What Qualcomm's compiler makes of a model, see `Check`.

    Attributes:
        soc: The chip.
    """

    soc: str = ""

    delegate: ClassVar[str] = "Qualcomm NPU"
    limit: ClassVar[int] = 1 << 30  # every partition

    def _at(self) -> str:
        return f" on {self.soc}"


def check(path: Path, variant: str) -> QualcommCheck:
    """Compiles a model.

    Args:
        path: The .tflite file.
        variant: One of `SOCS`.

    Returns:
        The compiler's verdict on every operator; its reasons are those of its validator of operators. For SA8255, the
        one chip whose time the libraries simulate, with an estimate of a model that is one partition.

    Raises:
        UserError: The compiler cannot be had here, or crashes; or the file is missing, is no .tflite, or is damaged.
    """
    model = read_sound(path)
    said = _ask(path, variant).values
    report = Report.read(said["report"], said["validator"])
    blocked = ""
    if said["ended"] or len(report.graphs) != len(model.subgraphs):
        blocked = f"the compiler fails: {report.failure or processes.telling_line(said['report'])}"
    refused: dict[tuple[int, int], Reason] = {}
    for number, graph in enumerate(model.subgraphs):
        if blocked:
            refused |= {(number, place): (blocked, "") for place in range(len(graph.operators))}
        if number < len(report.graphs):
            codes = [operator_code(model.operatorCodes[operator.opcodeIndex]) for operator in graph.operators]
            said_of = report.graphs[number].with_custom(codes)
            if not blocked:
                said_of.check(path, codes)
            refused |= {(number, place): (refusal.reason, "") for place, refusal in said_of.refused.items()}
    simulated = None if refused else said["microseconds"]
    return check_file_for(
        path,
        lambda path, graph: QualcommCheck(
            path,
            **fields(
                graph,
                verdicts(graph, refused),
                0 if blocked else report.graphs[graph.number].partitions,
                blocked,
            ),
            evidence="compiler",
            system=f"{variant}, Qualcomm's compiler {report.version}, LiteRT {said['version']}",
            estimate_ms=None if simulated is None else simulated / 1000,
            soc=variant,
        ),
    )


def run(path: Path, inputs: np.ndarray, variant: str) -> np.ndarray:
    """Compiles a model and runs it on the simulator of the NPU, as `checks.Runner` says; `variant` is one of `SOCS`.

    It takes a tenth of a second for a small image.

    Raises:
        UserError: The compiler cannot be had here, it leaves operators to the CPU, or the simulator fails.
    """
    try:
        outputs = _ask(path, variant, inputs).outputs
    except UserError as error:
        found = check(path, variant)
        if found.ok:
            raise
        raise UserError(f"{path} does not run on the simulator alone: {found.summary}") from error
    assert outputs is not None
    return outputs


def _ask(path: Path, soc: str, inputs: np.ndarray | None = None) -> processes.Answer:
    ENVIRONMENT.require()
    return processes.run(
        ENVIRONMENT.python,
        "qualcomm",
        {"path": path.absolute(), "soc": soc},
        inputs,
        what=f"{path.name} on {soc}",
        seconds=300,  # to compile it, and for an image on the simulator
    )
