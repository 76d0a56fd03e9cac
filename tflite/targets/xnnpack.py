"""Which operators of a .tflite the runtime here delegates to XNNPACK."""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar

from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.runtime.interpreter import open_model
from keras_mobilenets.tflite.targets.compatibility import Check, Verdict
from keras_mobilenets.tflite.targets.delegate_graph import graph_of
from keras_mobilenets.tflite.targets.partitions import fields


@dataclass(frozen=True)
class XnnpackCheck(Check):
    """What `check_xnnpack` found, as a `Check` says it."""

    delegate: ClassVar[str] = "XNNPACK"


def check_xnnpack(path: str | Path) -> XnnpackCheck:
    """Asks the runtime which operators of a .tflite's first graph are delegated to XNNPACK.

    Args:
        path: The .tflite file.

    Returns:
        A verdict on every operator; for those that are not delegated the runtime gives no reason.

    Raises:
        UserError: The file is missing, is no .tflite, or is damaged, or this runtime does not run it.
    """
    model = open_model(path)
    graph = graph_of(flatbuffer.read(Path(path).read_bytes(), path))
    _, _, partitions = model.delegation()
    delegated = model.delegated_operators()
    operators = [
        Verdict(i, node.name, i in delegated, "" if i in delegated else "XNNPACK leaves it to the plain kernels", "")
        for i, node in enumerate(graph.nodes)
    ]
    blocked = "the runtime does not tell" if partitions is None else ""
    system = f"LiteRT {version('ai-edge-litert')}"
    return XnnpackCheck(Path(path), **fields(graph, operators, partitions or 0, blocked), evidence="run", system=system)
