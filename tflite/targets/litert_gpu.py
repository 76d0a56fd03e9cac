"""What LiteRT 2.3's GPU delegate was seen to do where the source of TensorFlow 2.14 says otherwise, or nothing.

From models of one or two operators on the delegate itself (tests/benchmarks/latency/gpu_operators.py): it takes
operators that the rules of gpu.py do not judge, and it computes some wrongly that it says it takes.
"""

from collections.abc import Callable, Mapping

from keras_mobilenets.tflite.targets.delegate_graph import Node

SEEN = "LiteRT 2.3, run 2026-11-30"

_ELEMENTWISE = ("DIV", "FLOOR_DIV", "FLOOR_MOD", "MAXIMUM", "MINIMUM", "POW", "SQUARED_DIFFERENCE", "SUB")


def failure(node: Node) -> str:
    """What the delegate does wrongly with an operator that the rules let pass; empty where nothing was seen."""
    return _FAILURES.get(node.name, lambda node: "")(node)


def takes(node: Node) -> bool:
    """Whether the delegate was seen to take an operator of this kind, and to compute it rightly."""
    operands = [operand for operand in (*node.inputs, *node.outputs) if operand]
    dtypes = {"float32", "int32", "bool"} | ({"int8"} if node.name in _TAKEN_IN_INT8 else set())
    return (
        node.name in _TAKEN
        and all(len(operand.shape) <= 4 for operand in operands)
        and all(operand.constant or operand.dtype in dtypes for operand in operands)
        and _TAKEN[node.name](node)
    )


def _outranked(node: Node) -> str:
    """With int8 tensors its shader does not compile then, where another operator follows that it fuses."""
    output = node.outputs[0]
    for operand in node.inputs:
        if operand and operand.constant and output.is_quantized and len(operand.shape) > len(output.shape):
            return (
                f"a constant of {len(operand.shape)} dimensions beside an output of {len(output.shape)}: wrong answers"
            )
    return ""


def _same_twice(node: Node) -> bool:
    computed = [id(operand) for operand in node.inputs if operand and not operand.constant]
    return len(set(computed)) < len(computed)


def _two_inputs(node: Node) -> str:
    return "the same tensor as both inputs" if _same_twice(node) else _outranked(node)


def _aborts(node: Node) -> str:
    return "the same tensor as several inputs: the delegate aborts" if _same_twice(node) else ""


def _groups(node: Node) -> str:
    channels, (filters, *_, share) = node.operand(0).shape[-1], node.operand(1).shape
    groups = channels // share
    fits = groups == 1 or share == filters // groups == 1 or (share % 4 == 0 and filters // groups % 4 == 0)
    return "" if fits else "groups whose channels are no multiple of 4: wrong answers or a crash"


def _flattens(node: Node) -> str:
    columns = node.operand(1).shape[-1]
    flattened = len(node.operand(0).shape) > 2 and node.operand(0).shape[-1] != columns
    return "an input that it has to flatten first: wrong answers" if flattened else ""


def _backwards(node: Node) -> str:
    return "a slice that runs backwards" if min(node.operand(3).integers(), default=1) < 0 else ""


def _sums(node: Node) -> str:
    axis = node.operand(1).integers()
    if not axis or axis[0] <= 0:
        return "an axis that is the first, or counted from the end: wrong answers or a crash"
    overlooked = [option for option in ("exclusive", "reverse") if node.option(option)]
    return f"its option {overlooked[0]}, which is overlooked: wrong answers" if overlooked else ""


def _truth_values(node: Node) -> str:
    constant = any(operand and operand.constant for operand in node.inputs)
    return "a constant of truth values: wrong answers" if constant else ""


_FAILURES: Mapping[str, Callable[[Node], str]] = {
    **dict.fromkeys(("ADD", "MUL"), _outranked),
    **dict.fromkeys(_ELEMENTWISE, _two_inputs),
    **dict.fromkeys(("BATCH_MATMUL", "PACK"), _aborts),
    **dict.fromkeys(("LOGICAL_AND", "LOGICAL_OR"), _truth_values),
    "CONV_2D": _groups,
    "CUMSUM": _sums,
    "FULLY_CONNECTED": _flattens,
    "STRIDED_SLICE": _backwards,
}


def _slices_vectors(node: Node) -> bool:
    masks = ("ellipsisMask", "newAxisMask", "shrinkAxisMask")
    return len(node.operand(0).shape) == 2 and not any(node.option(mask) for mask in masks)


def _broadcasts(node: Node) -> bool:
    first, second = node.operand(0).shape, node.operand(1).shape
    fits = len(first) == len(second) and all(a == b or 1 in (a, b) for a, b in zip(first, second, strict=True))
    return fits and node.outputs[0].dtype == "float32"


_TAKEN_IN_INT8 = {"DEPTHWISE_CONV_2D"}
_TAKEN: Mapping[str, Callable[[Node], bool]] = {
    **dict.fromkeys(("ARG_MAX", "ATAN2", "CAST", "CEIL", "CUMSUM", "EMBEDDING_LOOKUP"), lambda node: True),
    **dict.fromkeys(("LOGICAL_AND", "LOGICAL_NOT", "LOGICAL_OR", "ROUND", "UNPACK"), lambda node: True),
    **dict.fromkeys(
        ("EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL"), lambda n: not _same_twice(n)
    ),
    **dict.fromkeys(("REDUCE_ALL", "REDUCE_ANY", "REVERSE_V2", "TOPK_V2"), lambda node: node.operand(1).constant),
    **dict.fromkeys(("SELECT", "SELECT_V2"), lambda node: node.operand(0).shape == node.outputs[0].shape),
    **dict.fromkeys(("SLICE", "STRIDED_SLICE"), _slices_vectors),
    "DEPTHWISE_CONV_2D": lambda node: len(node.operand(0).shape) == 4,
    "GATHER": lambda node: len(node.operand(1).shape) == 1,
    "MUL": _broadcasts,
    "ONE_HOT": lambda node: node.option("axis") in (-1, len(node.outputs[0].shape) - 1),
}
