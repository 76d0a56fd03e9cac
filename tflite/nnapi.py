"""Which operators of a .tflite the phone's NNAPI delegate takes, in how many pieces, and why it refuses the others.

The rules of each operator stand in nnapi_rules.py. How the delegate puts what they allow together follows, with the
line numbers of TensorFlow 2.14.0 (see there): nnapi_delegate.cc, `StatefulNnApiDelegate::DoPrepare` (6762);
graph_info.cc, `PartitionGraphIntoIndependentNodeSubsetsImpl` (42); delegates/utils.cc, `FP16GraphPartitionHelper`;
core/subgraph.cc, `Subgraph::ModifyGraphWithDelegate`. The delegate's options are its defaults: three partitions at
most, and from API level 29 on an accelerator, not the CPU of NNAPI. What a driver then refuses no file can tell.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite import flatbuffer
from keras_mobilenets.tflite.counting import multiply_adds
from keras_mobilenets.tflite.nnapi_rules import BUILDABLE, RULES, UNJUDGED, UNKNOWN_LINE, Node, Operand
from keras_mobilenets.tflite.runtime import check_file
from keras_mobilenets.tflite.vetting import vet

API_LEVELS = range(27, 36)
LIMIT = 3  # partitions that the delegate takes, unless the app asks for another number (nnapi_delegate.h)

_FILE = "nnapi_delegate.cc"
_NAMED = 3  # kinds of refusal that the one-line summary spells out


@dataclass(frozen=True)
class Verdict:
    """What becomes of one operator.

    Attributes:
        index: Its place in the order of execution.
        name: Such as "CONV_2D".
        taken: Whether NNAPI runs it; otherwise the CPU does.
        reason: Why it is refused; empty when taken.
        source: Where TensorFlow Lite's source decides that, such as "nnapi_delegate.cc:2441".
    """

    index: int
    name: str
    taken: bool
    reason: str
    source: str


@dataclass(frozen=True)
class NnapiCheck:
    """What `check_nnapi` found; `str()` of it is a page to read.

    Attributes:
        path: The file.
        api_level: The Android API level that was asked about.
        operators: All operators, in the order of execution.
        partitions: Into how many pieces the operators fall that pass the rules (1 is best); the delegate takes the
            three largest.
        macs_share: Share 0..1 of the multiply-adds that NNAPI runs; None without any.
        blocked: Why the runtime does not apply the delegate at all; empty when it does.
    """

    path: Path
    api_level: int
    operators: tuple[Verdict, ...] = field(repr=False)
    partitions: int
    macs_share: float | None
    blocked: str = ""

    @property
    def taken(self) -> int:
        """How many operators NNAPI runs."""
        return sum(operator.taken for operator in self.operators)

    @property
    def total(self) -> int:
        """How many operators there are."""
        return len(self.operators)

    @property
    def ok(self) -> bool:
        """Whether NNAPI runs the whole model, in one piece."""
        return self.taken == self.total and self.partitions == 1

    @property
    def refused(self) -> tuple[Verdict, ...]:
        """The operators left to the CPU."""
        return tuple(operator for operator in self.operators if not operator.taken)

    @property
    def summary(self) -> str:
        """The page in one line."""
        taken = f"{self.taken} of {self.total} operators taken{self._pieces()} at API level {self.api_level}"
        if self.blocked:
            return f"{taken}: {self.blocked}"
        counted = Counter((operator.name, operator.reason) for operator in self.refused).most_common()
        named = [f"{name} refused ({why}){f' ×{n}' if n > 1 else ''}" for (name, why), n in counted[:_NAMED]]
        if len(counted) > _NAMED:
            named.append(f"and {sum(n for _, n in counted[_NAMED:])} more")
        return f"{taken}: {'; '.join(named)}" if named else taken

    def __str__(self) -> str:
        total, taken = (Counter(op.name for op in ops) for ops in (self.operators, self._taken()))
        kinds = ", ".join(f"{name} {taken[name]} of {count}" for name, count in total.most_common())
        rows = [
            ("file", str(self.path)),
            ("NNAPI", f"API level {self.api_level}, feature level {min(self.api_level, 31) - 26}"),
            ("taken", f"{self.taken} of {self.total} operators{self._pieces()}"),
            ("multiply-adds", "none" if self.macs_share is None else f"{self.macs_share:.1%} taken"),
            ("operators", kinds),
            *([("not applied", self.blocked)] if self.blocked else []),
            *(("refused" if i == 0 else "", text) for i, text in enumerate(self._refusals())),
        ]
        return "\n".join(f"{name:16} {value}" for name, value in rows)

    def _refusals(self) -> list[str]:
        where: dict[tuple[str, str, str], list[str]] = {}
        for operator in self.refused:
            if operator.reason == self.blocked:
                continue  # said once for all
            where.setdefault((operator.name, operator.reason, operator.source), []).append(str(operator.index))
        return [f"{name} {', '.join(at)}: {reason} ({source})" for (name, reason, source), at in where.items()]

    def _taken(self) -> Iterator[Verdict]:
        return (operator for operator in self.operators if operator.taken)

    def _pieces(self) -> str:
        if not self.partitions:
            return ""
        of = f"the {LIMIT} largest of " if self.partitions > LIMIT else ""
        return f" in {of}{self.partitions} partition{'s' if self.partitions > 1 else ''}"


def check_nnapi(path: str | Path, api_level: int = 31) -> NnapiCheck:
    """Says which operators of a .tflite the NNAPI delegate of TensorFlow Lite takes on a phone, and why not the others.

    Reads the file; no phone is needed. Levels 31 to 35 give the same answer: what NNAPI learned
    after Android 12 depends on the driver, which the API level does not tell.

    Args:
        path: The .tflite file.
        api_level: The phone's Android API level, 27 (Android 8.1, NNAPI 1.0) to 35 (Android 15).

    Returns:
        A verdict on every operator, the number of partitions and the share of multiply-adds taken.

    Raises:
        UserError: The file is missing, is no .tflite, or is damaged; or NNAPI does not exist at that API level.
    """
    if isinstance(api_level, bool) or not isinstance(api_level, int) or api_level not in API_LEVELS:
        raise UserError(f"api_level={api_level!r}: give a number from {API_LEVELS[0]} to {API_LEVELS[-1]}")
    check_file(path)
    vet(path, run=False)
    model = flatbuffer.read(Path(path).read_bytes(), path)
    try:
        check = _check(Path(path), _graph(model), api_level)
    except Exception as error:  # an operator without the inputs or options that its kind has
        raise UserError(f"{path} is damaged: its operators do not fit together; convert it again") from error
    if check.ok:
        vet(path)  # the rules do not ask for all that the runtime asks for
    return check


@dataclass(frozen=True)
class _Graph:
    """The operators, each beside the numbers of the tensors it reads and writes (−1: left out)."""

    nodes: list[Node]
    reads: list[list[int]]
    writes: list[list[int]]
    operands: list[Operand]


def _check(path: Path, graph: _Graph, api_level: int) -> NnapiCheck:
    unsized = _unsized(graph)
    pruned, graph = _without_float16_weights(graph)
    refusals = [_refusal(node, min(api_level, 31)) for node in graph.nodes]
    allowed = {i for i, (reason, _) in enumerate(refusals) if not reason and i not in pruned}
    if len(allowed) + len(pruned) == len(graph.nodes):
        allowed |= pruned
    blocked, where = unsized or _unbuildable(graph, allowed, api_level)
    if not blocked:
        where = f"{_FILE}:6689"
    pieces = [] if blocked else _partitions(graph, allowed)
    kept = {i for piece in sorted(pieces, key=len, reverse=True)[:LIMIT] for i in piece}
    operators = []
    for i, node in enumerate(graph.nodes):
        reason, source = refusals[i]
        if i in pruned:
            reason, source = "float16 weights stay on the CPU in a model that is not taken whole", "delegates/utils.cc"
        if i in allowed:
            smaller = f"a small piece; the delegate takes the {LIMIT} largest of {len(pieces)}"
            reason, source = ("", refusals[i][1]) if i in kept else (blocked or smaller, where)
        operators.append(Verdict(i, node.name, i in kept, reason, source))
    macs = [_macs(node) for node in graph.nodes]
    share = sum(macs[i] for i in kept) / sum(macs) if sum(macs) else None
    return NnapiCheck(path, api_level, tuple(operators), len(pieces), share, blocked)


def _refusal(node: Node, level: int) -> tuple[str, str]:
    """Why the delegate leaves an operator to the CPU (empty if it takes it), and where it says so."""
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


def _without_float16_weights(graph: _Graph) -> tuple[set[int], _Graph]:
    """Lets the readers of a dequantized float16 constant read the constant, as the delegate does to judge them.

    Returns:
        Which operators dequantize such constants, and the graph that goes around them.
    """
    pruned = {
        i
        for i, node in enumerate(graph.nodes)
        if node.name == "DEQUANTIZE" and node.operand(0).dtype == "float16" and node.operand(0).constant
    }
    around = {graph.writes[i][0]: graph.reads[i][0] for i in pruned}
    reads = [[around.get(tensor, tensor) for tensor in tensors] for tensors in graph.reads]
    nodes = [
        replace(node, inputs=tuple(graph.operands[tensor] if tensor >= 0 else None for tensor in tensors))
        for node, tensors in zip(graph.nodes, reads, strict=True)
    ]
    return pruned, replace(graph, nodes=nodes, reads=reads)


# The inputs that decide the size of the output; the runtime must know them before it runs (kernels/*.cc, Prepare).
_SIZED_BY: Mapping[str, tuple[int, ...]] = {
    **dict.fromkeys(("RESHAPE", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "PAD", "PADV2", "MIRROR_PAD"), (1,)),
    **dict.fromkeys(("MEAN", "SUM", "REDUCE_PROD", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_ANY", "REDUCE_ALL"), (1,)),
    **dict.fromkeys(("TRANSPOSE", "EXPAND_DIMS", "TILE", "BROADCAST_TO", "TOPK_V2", "ARG_MAX", "ARG_MIN"), (1,)),
    **dict.fromkeys(("FILL", "TRANSPOSE_CONV", "SPLIT"), (0,)),
    **dict.fromkeys(("SLICE", "SPLIT_V", "SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND"), (1, 2)),
    "STRIDED_SLICE": (1, 2, 3),
    "RANGE": (0, 1, 2),
}


def _unsized(graph: _Graph) -> tuple[str, str] | None:
    """Why the runtime applies no delegate at all to a graph with a tensor whose size only running it tells."""
    known = {i for i, operand in enumerate(graph.operands) if operand.constant}
    for i, node in enumerate(graph.nodes):
        reads = graph.reads[i]
        if any(reads[k] >= 0 and reads[k] not in known for k in _SIZED_BY.get(node.name, ()) if k < len(reads)):
            return (
                f"the output of {node.name} {i} has no fixed size, and the runtime applies no delegate to a file with "
                "such a tensor; convert with batch size 1"
            ), "subgraph.cc:2248"
        # These three write what they know before the first run where the runtime counts it as known.
        if node.name == "SHAPE" or (node.name in ("STRIDED_SLICE", "RESHAPE") and known.issuperset(reads)):
            known.update(graph.writes[i])
    return None


def _unbuildable(graph: _Graph, allowed: Collection[int], level: int) -> tuple[str, str]:
    """What the delegate takes although NNAPI then refuses to build it: the whole delegate fails."""
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


def _partitions(graph: _Graph, allowed: Collection[int]) -> list[list[int]]:
    """The pieces that the runtime cuts `allowed` into.

    It walks the operators in their order, again and again, and gathers all that are ready and of the kind of the first
    one it found, until there is none; then the next piece begins, of the other kind.
    """
    pending = {tensor for tensors in graph.writes for tensor in tensors}
    waiting = list(range(len(graph.nodes)))
    pieces = []
    while waiting:
        piece: list[int] = []
        while True:
            grown = len(piece)
            for i in waiting:
                of_kind = not piece or (i in allowed) == (piece[0] in allowed)
                if of_kind and pending.isdisjoint(graph.reads[i]):
                    piece.append(i)
                    pending.difference_update(graph.writes[i])
            if len(piece) == grown:
                break
            done = set(piece)
            waiting = [i for i in waiting if i not in done]
        if not piece:
            raise ValueError("an operator reads what none before it writes")
        if piece[0] in allowed:
            pieces.append(piece)
    return pieces


def _macs(node: Node) -> int:
    shapes = [operand.shape if operand else () for operand in node.inputs]
    adjoint = node.name == "BATCH_MATMUL" and bool(node.option("adjX"))
    return multiply_adds(node.name, shapes, node.outputs[0].shape, transposed=adjoint)


def _graph(model: Any) -> _Graph:
    graph = model.subgraphs[0]
    operands = [_operand(model, tensor) for tensor in graph.tensors]
    reads = [_numbers(operator.inputs) for operator in graph.operators]
    writes = [_numbers(operator.outputs) for operator in graph.operators]
    nodes = [
        Node(
            flatbuffer.operator_name(model, operator),
            model.operatorCodes[operator.opcodeIndex].version,
            operator.builtinOptions,
            tuple(operands[tensor] if tensor >= 0 else None for tensor in read),
            tuple(operands[tensor] for tensor in written),
        )
        for operator, read, written in zip(graph.operators, reads, writes, strict=True)
    ]
    return _Graph(nodes, reads, writes, operands)


def _numbers(tensors: Any) -> list[int]:
    return [int(tensor) for tensor in (tensors if tensors is not None else ())]


def _operand(model: Any, tensor: Any) -> Operand:
    dtype = flatbuffer.type_name(tensor.type)
    shape = tuple(int(size) for size in (tensor.shape if tensor.shape is not None else ()))
    scales, zero_point = flatbuffer.scales(tensor)
    data = model.buffers[tensor.buffer].data
    data = data if data is not None and len(data) > 0 else None
    return Operand(
        dtype,
        shape,
        constant=flatbuffer.is_constant(model, tensor),
        scales=scales,
        zero_point=zero_point,
        data=None if data is None else np.asarray(data, np.uint8),
    )
