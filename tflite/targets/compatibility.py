"""How TensorFlow Lite gives operators to a delegate, whichever that is, and how a verdict on a model reads.

Line numbers are those of TensorFlow 2.14.0: graph_info.cc, `PartitionGraphIntoIndependentNodeSubsetsImpl` (42);
delegates/utils.cc, `FP16GraphPartitionHelper`; core/subgraph.cc, `Subgraph::ModifyGraphWithDelegate`.
"""

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.graph.macs import multiply_adds
from keras_mobilenets.tflite.runtime.interpreter import check_file
from keras_mobilenets.tflite.runtime.sandbox import vet

Reason = tuple[str, str]  # why an operator is refused (empty if it is not), and where the source says so

_SMALL = "a small piece"
_NAMED = 3  # kinds of refusal that the one-line summary spells out


@dataclass(frozen=True)
class Operand:
    """A tensor as the delegate sees it.

    Attributes:
        dtype: Such as "int8".
        shape: Sizes for one image, also where the file leaves the batch open.
        constant: Whether its values are stored in the file.
        scales: Quantization scales: none, one, or one per channel.
        zero_point: The integer that stands for 0.0 (0 without quantization).
        data: The stored bytes of a constant; None of anything else.
    """

    dtype: str
    shape: tuple[int, ...]
    constant: bool
    scales: tuple[float, ...]
    zero_point: int
    data: Any = None

    @property
    def scale(self) -> float:
        """The one scale; 0 without any, and where each channel has its own."""
        return self.scales[0] if len(self.scales) == 1 else 0.0

    @property
    def is_quantized(self) -> bool:
        """Whether the delegate takes it for a quantized tensor; it does not know int16 as one."""
        return self.dtype in ("uint8", "int8")

    @property
    def is_per_channel(self) -> bool:
        """Whether each channel has its own scale."""
        return len(self.scales) > 1

    @property
    def elements(self) -> int:
        """How many values it holds."""
        return math.prod(self.shape)

    def integers(self) -> list[int]:
        """The values of a constant of int32 or int64, first to last; nothing of what is computed at run time."""
        if self.data is None or self.dtype not in ("int32", "int64"):
            return []
        return [int(value) for value in np.asarray(self.data, np.uint8).view(self.dtype)]


@dataclass(frozen=True)
class Node:
    """An operator as the delegate sees it; an optional input that is left out is None."""

    name: str
    version: int
    options: Any
    inputs: tuple[Operand | None, ...]
    outputs: tuple[Operand, ...]

    def option(self, name: str, default: Any = 0) -> Any:
        """An option of the operator; the default where the file gives none."""
        return getattr(self.options, name, default)

    def operand(self, index: int) -> Operand:
        """The input at `index`, which must be there."""
        operand = self.inputs[index]
        if operand is None:
            raise IndexError(f"{self.name} lacks input {index}")
        return operand


@dataclass(frozen=True)
class Verdict:
    """What becomes of one operator.

    Attributes:
        index: Its place in the order of execution.
        name: Such as "CONV_2D".
        taken: Whether the delegate runs it; otherwise the CPU does.
        reason: Why it is refused; empty when taken.
        source: Where TensorFlow Lite's source decides that, such as "nnapi_delegate.cc:2441".
    """

    index: int
    name: str
    taken: bool
    reason: str
    source: str


@dataclass(frozen=True)
class Check:
    """What becomes of a model; `str()` of it is a page to read.

    Attributes:
        path: The file.
        operators: All operators, in the order of execution.
        partitions: Into how many pieces the operators fall that pass the rules (1 is best).
        macs_share: Share 0..1 of the multiply-adds that the delegate runs; None without any.
        blocked: Why the runtime does not apply the delegate at all; empty when it does.
    """

    path: Path
    operators: tuple[Verdict, ...] = field(repr=False)
    partitions: int
    macs_share: float | None
    blocked: str = ""

    delegate: ClassVar[str]
    limit: ClassVar[int]  # partitions that the delegate takes: the largest

    @property
    def circumstances(self) -> str:
        """What the verdict holds for."""
        return ""

    @property
    def taken(self) -> int:
        """How many operators the delegate runs."""
        return sum(operator.taken for operator in self.operators)

    @property
    def total(self) -> int:
        """How many operators there are."""
        return len(self.operators)

    @property
    def ok(self) -> bool:
        """Whether the delegate runs the whole model, in one piece."""
        return self.taken == self.total and self.partitions == 1

    @property
    def refused(self) -> tuple[Verdict, ...]:
        """The operators left to the CPU."""
        return tuple(operator for operator in self.operators if not operator.taken)

    @property
    def summary(self) -> str:
        """The page in one line."""
        taken = f"{self.taken} of {self.total} operators taken{self._pieces()}{self._at()}"
        if self.blocked:
            return f"{taken}: {self.blocked}"
        refused = [operator for operator in self.refused if not operator.reason.startswith(_SMALL)]
        counted = Counter((operator.name, operator.reason) for operator in refused).most_common()
        named = [f"{name} refused ({why}){f' ×{n}' if n > 1 else ''}" for (name, why), n in counted[:_NAMED]]
        if len(counted) > _NAMED:
            named.append(f"and {sum(n for _, n in counted[_NAMED:])} more")
        if len(refused) < len(self.refused):
            named.append(f"{len(self.refused) - len(refused)} in small pieces")
        return f"{taken}: {'; '.join(named)}" if named else taken

    def __str__(self) -> str:
        total, taken = (Counter(op.name for op in ops) for ops in (self.operators, self._taken()))
        kinds = ", ".join(f"{name} {taken[name]} of {count}" for name, count in total.most_common())
        rows = [
            ("file", str(self.path)),
            (self.delegate, self.circumstances),
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
        of = f"the {_largest(self.limit)} of " if self.partitions > self.limit else ""
        return f" in {of}{self.partitions} partition{'s' if self.partitions > 1 else ''}"

    def _at(self) -> str:
        return ""


@dataclass(frozen=True)
class Graph:
    """The operators, each beside the numbers of the tensors it reads and writes (−1: left out)."""

    nodes: list[Node]
    reads: list[list[int]]
    writes: list[list[int]]
    operands: list[Operand]


def _largest(count: int) -> str:
    return f"{count} largest" if count > 1 else "largest"


C = TypeVar("C", bound=Check)


def check_file_for(path: str | Path, check: Callable[[Path, Graph], C]) -> C:
    """Reads a .tflite and has it checked.

    Raises:
        UserError: The file is missing, is no .tflite, or is damaged.
    """
    check_file(path)
    vet(path, run=False)
    model = flatbuffer.read(Path(path).read_bytes(), path)
    try:
        found = check(Path(path), graph_of(model))
    except Exception as error:  # an operator without the inputs or options that its kind has
        raise UserError(f"{path} is damaged: its operators do not fit together; convert it again") from error
    if found.ok:
        vet(path)  # the rules do not ask for all that the runtime asks for
    return found


def judge(
    graph: Graph,
    limit: int,
    refusal: Callable[[Node], Reason],
    unbuildable: Callable[[Graph, Collection[int]], Reason] = lambda graph, allowed: ("", ""),
    limited_at: str = "",
) -> dict[str, Any]:
    """Puts together what a delegate's rules allow.

    Args:
        graph: The model's.
        limit: How many pieces the delegate takes.
        refusal: Why the delegate refuses an operator.
        unbuildable: Why it fails on those it takes, whose numbers it is given.
        limited_at: Where its source sets the limit.

    Returns:
        The fields of a `Check` that follow the path.
    """
    unsized = _unsized(graph)
    pruned, graph = _without_float16_weights(graph)
    refusals = [refusal(node) for node in graph.nodes]
    allowed = {i for i, (reason, _) in enumerate(refusals) if not reason and i not in pruned}
    if len(allowed) + len(pruned) == len(graph.nodes):
        allowed |= pruned
    blocked, where = unsized or unbuildable(graph, allowed)
    pieces = [] if blocked else partitions(graph, allowed)
    kept = {i for piece in sorted(pieces, key=len, reverse=True)[:limit] for i in piece}
    operators = []
    for i, node in enumerate(graph.nodes):
        reason, source = refusals[i]
        if i in pruned:
            reason, source = "float16 weights stay on the CPU in a model that is not taken whole", "delegates/utils.cc"
        if i in allowed:
            smaller = f"{_SMALL}; the delegate takes the {_largest(limit)} of {len(pieces)}"
            without = (blocked, where) if blocked else (smaller, limited_at)
            reason, source = ("", refusals[i][1]) if i in kept else without
        operators.append(Verdict(i, node.name, i in kept, reason, source))
    macs = [_macs(node) for node in graph.nodes]
    share = sum(macs[i] for i in kept) / sum(macs) if sum(macs) else None
    return {"operators": tuple(operators), "partitions": len(pieces), "macs_share": share, "blocked": blocked}


def _without_float16_weights(graph: Graph) -> tuple[set[int], Graph]:
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


def _unsized(graph: Graph) -> tuple[str, str] | None:
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


def partitions(graph: Graph, allowed: Collection[int]) -> list[list[int]]:
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


def graph_of(model: Any) -> Graph:
    """The graph of a `ModelT` as a delegate sees it."""
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
    return Graph(nodes, reads, writes, operands)


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
