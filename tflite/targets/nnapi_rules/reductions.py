"""What the NNAPI delegate asks of reductions: means, sums, extrema and their places."""

from keras_mobilenets.tflite.targets.delegate_graph import Node
from keras_mobilenets.tflite.targets.nnapi_rules.conditions import (
    FLOAT,
    FLOAT_8,
    FLOAT_8_INT32,
    Rule,
    before_level,
    constant,
    dtypes,
    fits_int32,
    output_dtypes,
    rank,
    rule,
    since,
    version,
)


def _output_is_no_scalar(line: int) -> Rule:
    return rule(line, lambda node: len(node.outputs[0].shape) > 0, "the output is a scalar")


def _axis_as_int32(node: Node) -> bool:
    axis = node.operand(1)
    return axis.dtype == "int32" or (axis.dtype == "int64" and axis.constant)


_ARGMAX = (
    version(2345, 2),
    since(2347, 29),
    dtypes(2351, ("float16", *FLOAT_8_INT32)),
    rule(2366, _axis_as_int32, "the axis must be int32, or an int64 that is stored in the file"),
    fits_int32(2356, 1),
    output_dtypes(2373, ("int32",)),
)


_REDUCE_MAX = (
    version(3407, 2),
    since(3408, 29),
    dtypes(3412, FLOAT_8),
    rank(3414, lambda rank: rank > 0, "1 or more"),
)


_SUM = (version(3426, 1), since(3427, 29), _output_is_no_scalar(3429), dtypes(3433, FLOAT))


RULES: dict[str, tuple[Rule, ...]] = {
    "ARG_MAX": _ARGMAX,
    "ARG_MIN": _ARGMAX,
    "MEAN": (
        version(3102, 2),
        since(3103, 28),
        before_level(29, dtypes(3111, FLOAT)),
        dtypes(3106, FLOAT_8),
        _output_is_no_scalar(3115),
        rank(3119, lambda rank: rank <= 4, "up to 4"),
    ),
    "SUM": _SUM,
    "REDUCE_PROD": _SUM,
    "REDUCE_MAX": _REDUCE_MAX,
    "REDUCE_MIN": _REDUCE_MAX,
    "REDUCE_ANY": (version(3398, 2), since(3399, 29), _output_is_no_scalar(3401)),
    "TOPK_V2": (
        version(3241, 2),
        since(3242, 29),
        dtypes(3245, FLOAT_8_INT32),
        constant(3248, 1, "the count", "int32"),
    ),
}
