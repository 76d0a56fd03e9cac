"""What Qualcomm's compiler writes of a model, read: which operators it refuses, and why."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ai_edge_litert import schema_py_generated as schema

from keras_mobilenets.errors import LONGEST, UserError

# Three things stand in its report: a node of the NPU's graph that its validator refuses, the .tflite's operator that
# the node was for, and at the end of a graph how much of it is delegated.
_ENTRY = re.compile(
    r"QNN op validation failed: '(?P<node>[^']*)' \(type=(?P<type>\w+)(?:, operation=(?P<operation>\w+))?\)\n"
    r"(?P<operands>.*?)QNN error="
    r"|LiteRT Op #(?P<index>\d+) '(?P<name>[^']*)' \(code=(?P<code>\d+)\) is not supported"
    r"|Partitioned subgraph<(?P<graph>\d+)>, selected (?P<selected>\d+) ops, from a total of (?P<total>\d+) ops\. "
    r"resulted in (?P<partitions>\d+) partitions",
    re.DOTALL,
)
_DTYPE = re.compile(r"dtype=QNN_DATATYPE_(\w+)")
_VERSION = re.compile(r"SDK version: (\S+)")
_FAILURE = re.compile(r"^ERROR: \[(?!apply_plugin|compiler_plugin)[^\]]+\] (\S.*)$", re.MULTILINE)
_MESSAGE = re.compile(r"<E> (.*)")
_INVALID = re.compile(r"Failed to validate op (\S+) with error")
_NODE = re.compile(r" in the node '[^']*'")


@dataclass(frozen=True)
class Refusal:
    """An operator that is left to the CPU: its number in the format's list of operators, and why."""

    code: int
    reason: str


@dataclass(frozen=True)
class Graph:
    """What becomes of one graph of a file.

    Attributes:
        selected: How many operators are delegated.
        total: How many there are.
        partitions: How many partitions they form.
        refused: The others, by their place.
    """

    selected: int
    total: int
    partitions: int
    refused: Mapping[int, Refusal] = field(default_factory=dict)

    def with_custom(self, codes: Sequence[int]) -> "Graph":
        """With the custom operators of a file among the refused: the compiler leaves them to the CPU without a word."""
        custom = {
            i: Refusal(code, "a custom operator")
            for i, code in enumerate(codes)
            if code == schema.BuiltinOperator.CUSTOM
        }
        return replace(self, refused=custom | dict(self.refused))

    def check(self, path: object, codes: Sequence[int]) -> None:
        """Checks that the report is about the operators of a file, given by their numbers in the format's list.

        Raises:
            UserError: It is not, so that nothing is known of the file.
        """
        named = all(i < len(codes) and codes[i] == refusal.code for i, refusal in self.refused.items())
        if self.total != len(codes) or self.selected + len(self.refused) != self.total or not named:
            raise UserError(
                f"Qualcomm's compiler says that it takes {self.selected} of {self.total} operators of {path} and "
                f"refuses {len(self.refused)}, and the file has {len(codes)}: its report does not fit the file"
            )


@dataclass(frozen=True)
class Report:
    """What the compiler says.

    Attributes:
        graphs: Graph by graph; fewer than the file has where the compiler fails.
        version: The compiler's.
        failure: Why it fails; empty where it says nothing of the kind.
    """

    graphs: tuple[Graph, ...]
    version: str
    failure: str

    @classmethod
    def read(cls, report: str, validator: str) -> "Report":
        """Reads it.

        Args:
            report: The compiler's standard error.
            validator: Its standard output, where the NPU's validator of operators gives its reasons.
        """
        version, failures = _VERSION.search(report), _FAILURE.findall(report)
        graphs = tuple(_graphs(report, dict(_reasons(validator))))
        return cls(graphs, version[1] if version else "of unknown version", failures[-1][:LONGEST] if failures else "")


def _graphs(report: str, reasons: Mapping[str, str]) -> Iterator[Graph]:
    refused: dict[int, Refusal] = {}
    why = ""
    for entry in _ENTRY.finditer(report):
        if entry["node"] is not None:
            why = why or _reason(entry, reasons.get(entry["node"], ""))
        elif entry["index"] is not None:
            refused[int(entry["index"])] = Refusal(
                int(entry["code"]), why or "the compiler does not know this operator"
            )
            why = ""
        else:
            yield Graph(int(entry["selected"]), int(entry["total"]), int(entry["partitions"]), refused)
            refused = {}


def _reason(node: "re.Match[str]", said: str) -> str:
    inputs, _, outputs = node["operands"].partition("Outputs:")
    kind = node["operation"] or node["type"]
    dtypes = (", ".join(_DTYPE.findall(side)) for side in (inputs, outputs))
    return " to ".join((f"{kind} of {next(dtypes)}", next(dtypes))) + (f": {said}" if said else "")


def _reasons(validator: str) -> Iterator[tuple[str, str]]:
    """The nodes that the validator refuses, and the first thing that it says of each."""
    said: list[str] = []
    for message in _MESSAGE.findall(validator):
        if invalid := _INVALID.match(message):
            yield invalid[1], said[0] if said else ""
            said = []
        elif not message.startswith("QnnBackend_validateOpConfig"):
            said.append(_NODE.sub("", message).split(". ")[0].strip().rstrip("."))
