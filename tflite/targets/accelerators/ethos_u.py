"""Arm's Ethos-U, the NPU beside microcontrollers and small application processors, by its compiler Vela."""

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.targets.accelerators import processes
from keras_mobilenets.tflite.targets.accelerators.environments import ENVIRONMENTS
from keras_mobilenets.tflite.targets.compatibility import Check, check_file_for, read_sound
from keras_mobilenets.tflite.targets.partitions import Reason, fields, verdicts

ENVIRONMENT = ENVIRONMENTS["ethos-u"]

# Each series with the system configuration and the memory mode that Vela takes by default. The figures are theirs.
_SYSTEMS = {
    "u55": ("Ethos_U55_High_End_Embedded", "Shared_Sram"),
    "u65": ("Ethos_U65_Client_Server", "Dedicated_Sram_384KB"),
    "u85": ("Ethos_U85_SYS_DRAM_Mid", "Dedicated_Sram_384KB"),
}
_MACS = {"u55": (32, 64, 128, 256), "u65": (256, 512), "u85": (128, 256, 512, 1024, 2048)}  # multiply-adds in a cycle
VARIANTS = tuple(f"{series}-{size}" for series, sizes in _MACS.items() for size in sizes)

_MEMORIES = {
    "SRAM": "sram_memory_used",
    "DRAM": "dram_memory_used",
    "on-chip flash": "on_chip_flash_memory_used",
    "off-chip flash": "off_chip_flash_memory_used",
}
_CUSTOM = "ethos-u"  # the operator that stands for a partition in a compiled file
_TENSOR = r"\d+\.\d+"  # how the file that Vela is given names its tensors: the graph's place and the tensor's
_WARNING = re.compile(rf"^Warning \(.*?\) operator: \S+, ofm: '({_TENSOR})(?:_act)?'\n((?:.+\n?)+)", re.MULTILINE)


@dataclass(frozen=True)
class EthosUCheck(Check):
    """What Vela makes of a model, as a `Check` says it.

    Attributes:
        cycles: Of the NPU for one inference, as Vela estimates them; None where the CPU has a part in it.
    """

    cycles: int | None = None

    delegate: ClassVar[str] = "Ethos-U"

    @property
    def circumstances(self) -> str:
        """What the verdict holds for, and the cycles that the estimate is made of."""
        return self.system if self.cycles is None else f"{self.system}: {self.cycles:,} cycles"


def check(path: Path, variant: str) -> EthosUCheck:
    """Compiles a .tflite for an Ethos-U and says which operators the NPU runs.

    The estimate is Vela's, for its own default system configuration and memory mode, which `system` names; there is
    none for a model that the CPU has a part in, of which Vela estimates nothing.

    Args:
        path: The .tflite file.
        variant: A name of `VARIANTS`: the series, and how many multiply-adds it does in a cycle.

    Raises:
        UserError: The file is missing, is no .tflite, or is damaged; or Vela is not installed, crashes or takes
            too long.
    """
    ENVIRONMENT.require()
    model = _numbered(read_sound(path))
    system, memory = _SYSTEMS[variant.partition("-")[0]]
    with tempfile.TemporaryDirectory(prefix="keras_mobilenets_") as folder:
        numbered = Path(folder, "numbered.tflite")
        numbered.write_bytes(flatbuffer.write(model))
        arguments = {"path": numbered, "accelerator": f"ethos-{variant}", "system": system, "memory": memory}
        answer = processes.run(
            ENVIRONMENT.python, "ethos_u", {**arguments, "output": folder}, what=f"Vela with {path.name}"
        )
        compiled = flatbuffer.read(Path(folder, "numbered_vela.tflite").read_bytes(), "what Vela compiled")
    figures, refused = answer.values["figures"], _refused(model, compiled, reasons(answer.log))
    return check_file_for(
        path,
        lambda path, graph: EthosUCheck(
            path,
            **fields(graph, verdicts(graph, refused), _partitions(compiled) if graph.number == 0 else 0),
            evidence="compiler",
            system=_system(answer.values["version"], variant, figures),
            memory={name: round(1024 * float(figures[key])) for name, key in _MEMORIES.items() if float(figures[key])},
            estimate_ms=None if refused else 1000 * float(figures["inference_time"]),
            cycles=None if refused else int(figures["cycles_total"]),
        ),
    )


def reasons(log: str) -> dict[str, str]:
    """Why Vela refuses operators, by the names of their outputs in the numbered file."""
    found: dict[str, list[str]] = {}
    for tensor, text in _WARNING.findall(log):
        reason = re.sub(rf" \({_TENSOR}\w*\)", "", text.removeprefix("Reason: ").strip())
        found.setdefault(tensor, []).append("; ".join(reason.splitlines()))
    return {tensor: "; ".join(dict.fromkeys(texts)) for tensor, texts in found.items()}


def _numbered(model: Any) -> Any:
    """Names every tensor by its place: a file may give one name to several, and Vela tells operators by their names."""
    for number, graph in enumerate(model.subgraphs):
        for place, tensor in enumerate(graph.tensors):
            tensor.name = f"{number}.{place}".encode()
    return model


def _refused(model: Any, compiled: Any, why: Mapping[str, str]) -> dict[tuple[int, int], Reason]:
    """The operators of a numbered model that Vela leaves to the CPU, by the places of graph and operator."""
    left = {
        ends
        for graph in compiled.subgraphs
        for operator in graph.operators
        if flatbuffer.operator_name(compiled, operator) != _CUSTOM and (ends := _ends(graph, operator))
    }
    return {
        (number, place): (next((why[end] for end in ends if end in why), "Vela gives no reason"), "")
        for number, graph in enumerate(model.subgraphs)
        for place, operator in enumerate(graph.operators)
        if (ends := _ends(graph, operator)) in left
    }


def _partitions(compiled: Any) -> int:
    """How many operators of a compiled model stand for a part of it that the NPU runs."""
    operators = (operator for graph in compiled.subgraphs for operator in graph.operators)
    return sum(flatbuffer.operator_name(compiled, operator) == _CUSTOM for operator in operators)


def _system(version: str, variant: str, figures: Mapping[str, str]) -> str:
    clock = float(figures["core_clock"]) / 1e6
    return f"Vela {version}, ethos-{variant}, {figures['system_config']}, {figures['memory_mode']}, {clock:.0f} MHz"


def _ends(graph: Any, operator: Any) -> tuple[str, ...]:
    """The names of an operator's outputs; of its inputs where it has none."""
    tensors = operator.outputs if len(operator.outputs) else operator.inputs
    return tuple(flatbuffer.text(graph.tensors[tensor].name) for tensor in tensors if tensor >= 0)
