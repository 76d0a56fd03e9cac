"""How TensorFlow Lite partitions a graph for a delegate, whichever that is.

Line numbers are those of TensorFlow 2.14.0: graph_info.cc, `PartitionGraphIntoIndependentNodeSubsetsImpl` (42);
delegates/utils.cc, `FP16GraphPartitionHelper`; core/subgraph.cc, `Subgraph::ModifyGraphWithDelegate`.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.graph.macs import multiply_adds
from keras_mobilenets.tflite.targets.compatibility import SMALL, STRANGE, TAIL, Verdict, largest
from keras_mobilenets.tflite.targets.delegate_graph import Graph, Node

Reason = tuple[str, str]  # why an operator is refused (empty if it is not), and where the source says so


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
        limit: How many partitions the delegate takes.
        refusal: Why the delegate refuses an operator.
        unbuildable: Why it fails on those it does not refuse, whose numbers it is given.
        limited_at: Where its source sets the limit.

    Returns:
        The fields of a `Check` that follow the path.
    """
    unsized = _unsized(graph)
    pruned, graph = _without_float16_weights(graph)
    refusals = [_guarded(refusal, node) for node in graph.nodes]
    allowed = {i for i, (reason, _) in enumerate(refusals) if not reason and i not in pruned}
    if len(allowed) + len(pruned) == len(graph.nodes):
        allowed |= pruned
    blocked, where = unsized or unbuildable(graph, allowed)
    found = [] if blocked else partitions(graph, allowed)
    delegated = {i for partition in sorted(found, key=len, reverse=True)[:limit] for i in partition}
    operators = []
    for i, node in enumerate(graph.nodes):
        reason, source = refusals[i]
        if i in pruned:
            reason, source = (
                "float16 weights stay on the CPU in a model that is not fully delegated",
                "delegates/utils.cc",
            )
        if i in allowed:
            smaller = f"{SMALL}; the delegate takes the {largest(limit)} of {len(found)}"
            without = (blocked, where) if blocked else (smaller, limited_at)
            reason, source = ("", refusals[i][1]) if i in delegated else without
        operators.append(Verdict(i, node.name, i in delegated, reason, source))
    return fields(graph, operators, len(found), blocked)


def verdicts(graph: Graph, refused: Mapping[tuple[int, int], Reason]) -> list[Verdict]:
    """The verdicts on a graph's operators, of which some are refused: by the places of graph and operator."""
    reasons = [refused.get((graph.number, place), ("", "")) for place in range(len(graph.nodes))]
    return [
        Verdict(place, node.name, not reason, reason, source)
        for place, (node, (reason, source)) in enumerate(zip(graph.nodes, reasons, strict=True))
    ]


def fields(graph: Graph, operators: Sequence[Verdict], partitions: int, blocked: str = "") -> dict[str, Any]:
    """The fields of a `Check` that follow the path, where the verdicts on a graph's operators are known."""
    macs = [_macs(node) for node in graph.nodes]
    names = [node.name for node in graph.nodes]
    if not blocked and flatbuffer.DETECTION in names:
        tail = names.index(flatbuffer.DETECTION)
        operators = [replace(each, reason=TAIL) if each.index >= tail and each.reason else each for each in operators]
    delegated = sum(macs[operator.index] for operator in operators if operator.delegated)
    return {
        "operators": tuple(operators),
        "partitions": partitions,
        "macs_share": delegated / sum(macs) if sum(macs) else None,
        "blocked": blocked,
        "macs": sum(macs),
    }


def _guarded(refusal: Callable[[Node], Reason], node: Node) -> Reason:
    """The refusal of an operator; one that lacks what the rules look at has a form that they do not know."""
    try:
        return refusal(node)
    except (IndexError, ValueError, TypeError, AttributeError, ZeroDivisionError):
        return STRANGE, ""


def _without_float16_weights(graph: Graph) -> tuple[set[int], Graph]:
    """Lets the readers of a dequantized float16 constant read the constant, as the delegate does to judge them.

    Returns:
        Which operators dequantize such constants, and the graph that goes around them.
    """
    pruned = {
        i
        for i, node in enumerate(graph.nodes)
        if node.name == "DEQUANTIZE"
        and node.outputs
        and any(source and source.dtype == "float16" and source.constant for source in node.inputs[:1])
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
    **dict.fromkeys(("FILL", "TRANSPOSE_CONV", "SPLIT", "WHERE", "UNIQUE"), (0,)),
    **dict.fromkeys(("RANDOM_UNIFORM", "RANDOM_STANDARD_NORMAL"), (0,)),
    **dict.fromkeys(("ONE_HOT", "SPARSE_TO_DENSE", "RFFT2D"), (1,)),
    "SCATTER_ND": (2,),
    **dict.fromkeys(("SLICE", "SPLIT_V", "SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND"), (1, 2)),
    "STRIDED_SLICE": (1, 2, 3),
    "RANGE": (0, 1, 2),
}


def _unsized(graph: Graph) -> tuple[str, str] | None:
    """Why the runtime applies no delegate at all to a graph with a tensor whose size only running it tells."""
    known = {i for i, operand in enumerate(graph.operands) if operand.constant}
    for i, node in enumerate(graph.nodes):
        reads = graph.reads[i]
        by_value = any(reads[k] >= 0 and reads[k] not in known for k in _SIZED_BY.get(node.name, ()) if k < len(reads))
        # Of a variable that the file gives no sizes (read_variable.cc:47).
        if by_value or (node.name == "READ_VARIABLE" and node.outputs and not node.outputs[0].shape):
            return (
                f"the output of {node.name} {i} has no fixed size, and the runtime applies no delegate to a file with "
                "such a tensor; convert with batch size 1"
            ), "subgraph.cc:2248"
        # These three write what they know before the first run where the runtime counts it as known.
        if node.name == "SHAPE" or (node.name in ("STRIDED_SLICE", "RESHAPE") and known.issuperset(reads)):
            known.update(graph.writes[i])
    return None


def partitions(graph: Graph, allowed: Collection[int]) -> list[list[int]]:
    """The partitions that the runtime divides `allowed` into.

    It walks the operators in their order, again and again, and gathers all that are ready and of the kind of the first
    one it found, until there is none; then the next partition begins, of the other kind.
    """
    pending = {tensor for tensors in graph.writes for tensor in tensors}
    waiting = list(range(len(graph.nodes)))
    found = []
    while waiting:
        partition: list[int] = []
        while True:
            size = len(partition)
            for i in waiting:
                of_kind = not partition or (i in allowed) == (partition[0] in allowed)
                if of_kind and pending.isdisjoint(graph.reads[i]):
                    partition.append(i)
                    pending.difference_update(graph.writes[i])
            if len(partition) == size:
                break
            done = set(partition)
            waiting = [i for i in waiting if i not in done]
        if not partition:
            raise ValueError("an operator reads what none before it writes")
        if partition[0] in allowed:
            found.append(partition)
    return found


def _macs(node: Node) -> int:
    shapes = [operand.shape if operand else () for operand in node.inputs]
    adjoint = node.name == "BATCH_MATMUL" and bool(node.option("adjX"))
    return multiply_adds(node.name, shapes, node.outputs[0].shape, transposed=adjoint) if node.outputs else 0
