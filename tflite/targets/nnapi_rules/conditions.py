"""The conditions that the NNAPI delegate's rules are made of: versions, API levels, dtypes, ranks, constants."""

from collections.abc import Callable
from dataclasses import dataclass

from ai_edge_litert import schema_py_generated as schema

from keras_mobilenets.tflite.targets.delegate_graph import Node


@dataclass(frozen=True)
class Rule:
    """One thing the delegate asks of an operator.

    Attributes:
        line: Where nnapi_delegate.cc asks it.
        refusal: Takes the operator and the feature level; gives why it is refused, or nothing.
    """

    line: int
    refusal: Callable[[Node, int], str]


# Feature levels past Android 12's come with drivers, not with an API level: no API level of a phone promises them.
FEATURE_LEVEL_6 = 1000006
FEATURE_LEVEL_7 = 1000007

FLOAT = ("float32",)
QUANTIZED = ("uint8", "int8")
FLOAT_8 = (*FLOAT, *QUANTIZED)
FLOAT_8_INT32 = (*FLOAT_8, "int32")
INPUT = "the input"


def rule(line: int, holds: Callable[[Node], bool], reason: str) -> Rule:
    """What `holds` says of the operator must be true; `reason` is the refusal."""
    return Rule(line, lambda node, level: "" if holds(node) else reason)


def before_level(level: int, rule: Rule) -> Rule:
    """A rule that is asked below that API level only."""
    return Rule(rule.line, lambda node, at: rule.refusal(node, at) if at < level else "")


def from_level(level: int, rule: Rule) -> Rule:
    """A rule that is asked from that API level on only."""
    return Rule(rule.line, lambda node, at: rule.refusal(node, at) if at >= level else "")


def version(line: int, highest: int) -> Rule:
    """The operator's version must be that or lower."""

    def refusal(node: Node, level: int) -> str:
        if node.version <= highest:
            return ""
        return f"version {node.version} of the operator; the delegate knows up to {highest}"

    return Rule(line, refusal)


def since(line: int, needed: int) -> Rule:
    """The operator needs that API level or feature level."""

    def refusal(node: Node, level: int) -> str:
        if level >= needed:
            return ""
        if needed < FEATURE_LEVEL_6:
            return f"needs API level {needed}"
        return f"needs NNAPI feature level {needed - 1000000}, which depends on the driver: no API level promises it"

    return Rule(line, refusal)


def dtypes(line: int, allowed: tuple[str, ...], index: int = 0, what: str = INPUT) -> Rule:
    """The dtype of the input at `index` must be one of these."""

    def refusal(node: Node, level: int) -> str:
        dtype = node.operand(index).dtype
        return "" if dtype in allowed else f"{what} is {dtype}; allowed are {', '.join(allowed)}"

    return Rule(line, refusal)


def output_dtypes(line: int, allowed: tuple[str, ...]) -> Rule:
    """The dtype of the output must be one of these."""

    def refusal(node: Node, level: int) -> str:
        dtype = node.outputs[0].dtype
        return "" if dtype in allowed else f"the output is {dtype}; allowed are {', '.join(allowed)}"

    return Rule(line, refusal)


def rank(line: int, fits: Callable[[int], bool], words: str, index: int = 0, what: str = INPUT) -> Rule:
    """The number of dimensions of the input at `index` must fit; `words` says which do."""

    def refusal(node: Node, level: int) -> str:
        dimensions = len(node.operand(index).shape)
        return "" if fits(dimensions) else f"{what} has {dimensions} dimensions; allowed are {words}"

    return Rule(line, refusal)


def constant(line: int, index: int, what: str, dtype: str = "") -> Rule:
    """The input at `index` must be a constant, of that dtype if one is given."""

    def holds(node: Node) -> bool:
        return node.operand(index).constant and node.operand(index).dtype in (dtype or node.operand(index).dtype,)

    return rule(line, holds, f"{what} must be stored in the file{f' as {dtype}' if dtype else ''}")


def no_activation(line: int) -> Rule:
    """No activation may be fused into the operator."""
    return rule(line, has_no_activation, "an activation is fused into it")


def has_no_activation(node: Node) -> bool:
    """Whether no activation is fused into the operator."""
    return bool(node.option("fusedActivationFunction") == schema.ActivationFunctionType.NONE)


def fits_int32(line: int, index: int) -> Rule:
    """The int64 values of the constant at `index` must be within the range of int32."""
    return rule(
        line,
        lambda node: all(-(2**31) <= value < 2**31 for value in node.operand(index).integers()),
        "an int64 value does not fit into int32",
    )
