"""The verdict on a model and its operators, alike for all targets: delegated or refused, why, and how it is known."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from keras_mobilenets.errors import UserError
from keras_mobilenets.plurals import count
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.graph.file_identifier import check_file
from keras_mobilenets.tflite.runtime.model import UnsupportedModelError
from keras_mobilenets.tflite.runtime.sandbox import validate
from keras_mobilenets.tflite.targets.delegate_graph import Graph, graph_of

STRANGE = "its inputs, outputs or options are not those that the rules here know"
TAIL = "the float tail of a detector, which decodes boxes and suppresses the weaker ones on the CPU"
SMALL = "a small partition"  # how the reason begins where a partition is not among those that the delegate takes

# How a verdict is known, in words.
EVIDENCE = {"rules": "rules written from source", "compiler": "the target's own compiler", "run": "a run"}

_NAMED = 3  # kinds of refusal that the one-line summary spells out


@dataclass(frozen=True)
class Verdict:
    """What becomes of one operator.

    Attributes:
        index: Its place in the order of execution of its graph.
        name: Such as "CONV_2D".
        delegated: Whether the delegate runs it; otherwise the CPU does.
        reason: Why it is refused; empty when delegated.
        source: Where TensorFlow Lite's source decides that, such as "nnapi_delegate.cc:2441"; empty if a tool says it.
        graph: Which of the file's graphs it belongs to, as in `Operator` of an inspection.
    """

    index: int
    name: str
    delegated: bool
    reason: str
    source: str
    graph: int = 0

    @property
    def taken(self) -> bool:
        """The earlier name of `delegated`."""
        return self.delegated


@dataclass(frozen=True)
class Check:
    """What becomes of a model; `str()` of it is a page to read.

    Attributes:
        path: The file.
        operators: All operators, graph by graph, in the order of execution.
        partitions: How many partitions the operators form that pass the rules (1 is best).
        macs_share: Share 0..1 of the multiply-adds that the delegate runs; None without any.
        blocked: Why the runtime does not apply the delegate at all; empty when it does.
        macs: Multiply-adds of all operators.
        evidence: How it is known: "rules" written from the delegate's source, the target's own "compiler", or a "run"
            on the target or its simulator.
        system: What the verdict and the figures hold for: a tool with its version, or a system configuration.
        memory: Bytes by the name of the memory, such as {"SRAM": 74752}; empty where the target does not tell.
        estimate_ms: Milliseconds for one inference as the target's tools estimate it, never measured; None without.
    """

    path: Path
    operators: tuple[Verdict, ...] = field(repr=False)
    partitions: int
    macs_share: float | None
    blocked: str = ""
    macs: int = 0
    evidence: str = field(default="rules", kw_only=True)
    system: str = field(default="", kw_only=True)
    memory: Mapping[str, int] = field(default_factory=dict, kw_only=True, hash=False)
    estimate_ms: float | None = field(default=None, kw_only=True)

    delegate: ClassVar[str]
    limit: ClassVar[int] = sys.maxsize  # partitions that the delegate takes, the largest first

    @property
    def circumstances(self) -> str:
        """What the verdict holds for."""
        return self.system

    @property
    def delegated(self) -> int:
        """How many operators the delegate runs."""
        return sum(operator.delegated for operator in self.operators)

    @property
    def taken(self) -> int:
        """The earlier name of `delegated`."""
        return self.delegated

    @property
    def total(self) -> int:
        """How many operators there are."""
        return len(self.operators)

    @property
    def ok(self) -> bool:
        """Whether the delegate runs the whole model, in one partition."""
        return not self.blocked and self.delegated == self.total and self.partitions == 1

    @property
    def is_whole(self) -> bool:
        """As `ok`, but for the end of a detector, which no delegate takes."""
        left = self.refused
        ends = bool(left) and left[0].name == flatbuffer.DETECTION and left == self.operators[-len(left) :]
        return self.ok or (ends and not self.blocked)

    @property
    def refused(self) -> tuple[Verdict, ...]:
        """The operators that run on the CPU."""
        return tuple(operator for operator in self.operators if not operator.delegated)

    @property
    def summary(self) -> str:
        """The page in one line."""
        delegated = f"{self.delegated} of {self.total} operators delegated{self._in_partitions()}{self._at()}"
        if self.blocked:
            return f"{delegated}: {self.blocked}"
        refused = [operator for operator in self.refused if not operator.reason.startswith(SMALL)]
        counted = Counter((operator.name, operator.reason) for operator in refused).most_common()
        named = [f"{name} refused ({why}){f' ×{n}' if n > 1 else ''}" for (name, why), n in counted[:_NAMED]]
        if len(counted) > _NAMED:
            named.append(f"and {sum(n for _, n in counted[_NAMED:])} more")
        if len(refused) < len(self.refused):
            named.append(f"{len(self.refused) - len(refused)} in small partitions")
        return f"{delegated}: {'; '.join(named)}" if named else delegated

    def __str__(self) -> str:
        total, delegated = (Counter(op.name for op in ops) for ops in (self.operators, self._delegated()))
        kinds = ", ".join(f"{name} {delegated[name]} of {count}" for name, count in total.most_common())
        rows = [
            ("file", str(self.path)),
            (self.delegate, self.circumstances),
            ("evidence", EVIDENCE[self.evidence]),
            ("delegated", f"{self.delegated} of {self.total} operators{self._in_partitions()}"),
            ("multiply-adds", "none" if self.macs_share is None else f"{self.macs_share:.1%} delegated"),
            ("operators", kinds),
            *(("memory", f"{name} {size / 1024:,.1f} KiB") for name, size in self.memory.items()),
            *([] if self.estimate_ms is None else [("estimate", f"{self.estimate_ms:.3f} ms, not measured")]),
            *([("not applied", self.blocked)] if self.blocked else []),
            *(("refused" if i == 0 else "", text) for i, text in enumerate(self._refusals())),
        ]
        return "\n".join(f"{name:16} {value}" for name, value in rows)

    def _refusals(self) -> list[str]:
        where: dict[tuple[str, str, str, int], list[str]] = {}
        for operator in self.refused:
            if operator.reason and operator.reason in self.blocked:
                continue  # said once for all
            key = operator.name, operator.reason, operator.source, operator.graph
            where.setdefault(key, []).append(str(operator.index))
        return [
            f"{name} {', '.join(at)}{f' of graph {graph}' if graph else ''}: {reason}{f' ({source})' if source else ''}"
            for (name, reason, source, graph), at in where.items()
        ]

    def _delegated(self) -> Iterator[Verdict]:
        return (operator for operator in self.operators if operator.delegated)

    def _in_partitions(self) -> str:
        if not self.partitions:
            return ""
        of = f"the {largest(self.limit)} of " if self.partitions > self.limit else ""
        return f" in {of}{count(self.partitions, 'partition')}"

    def _at(self) -> str:
        return ""


C = TypeVar("C", bound=Check)


def read_sound(path: str | Path) -> Any:
    """Reads a .tflite whose tables fit together, as `flatbuffer.read` does.

    Raises:
        UserError: The file is missing, is no .tflite, or is damaged.
    """
    check_file(path)
    validate(path, run=False)
    return flatbuffer.read(Path(path).read_bytes(), path)


def check_file_for(path: str | Path, check: Callable[[Path, Graph], C]) -> C:
    """Reads a .tflite and has it checked.

    Raises:
        UserError: The file is missing, is no .tflite, or is damaged.
    """
    model = read_sound(path)
    try:
        found = _together([check(Path(path), graph_of(model, number)) for number in range(len(model.subgraphs))])
    except Exception as error:  # an operator without the inputs or options that its kind has
        raise UserError(f"{path} is damaged: its operators do not fit together; convert it again") from error
    if found.ok or any(operator.reason == STRANGE for operator in found.operators):
        try:
            validate(path)  # the rules do not ask for all that the runtime asks for
        except UnsupportedModelError:
            first = model.subgraphs[0]
            if found.ok and not any(-1 in flatbuffer.shape_of(first.tensors[i]) for i in first.inputs):
                raise  # a version of an operator that no runtime has
    return found


def _together(checks: list[C]) -> C:
    """The check of all graphs of a file: the runtime applies a delegate to one after the other (interpreter.cc)."""
    operators = [replace(op, graph=number) for number, check in enumerate(checks) for op in check.operators]
    macs = sum(check.macs for check in checks)
    return replace(
        checks[0],
        operators=tuple(operators),
        partitions=sum(check.partitions for check in checks),
        macs_share=sum((check.macs_share or 0) * check.macs for check in checks) / macs if macs else None,
        blocked="; ".join(dict.fromkeys(check.blocked for check in checks if check.blocked)),
        macs=macs,
    )


def largest(limit: int) -> str:
    """The largest partitions, so many of them, in words: "largest", "3 largest"."""
    return f"{limit} largest" if limit > 1 else "largest"
