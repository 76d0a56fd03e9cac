"""What TensorFlow Lite's NNAPI delegate asks of each operator before it takes it, as a table.

Written from `NNAPIDelegateKernel::Validate` in tensorflow/lite/delegates/nnapi/nnapi_delegate.cc. The line numbers are
those of TensorFlow 2.14.0 (commit 4dacf3f368eb7965e9b5c3bbdd5193986081c3b2, blob 593295d6); the function is the same
in LiteRT of March 2025 but for one line (TRANSPOSE_CONV, 2968: version 4 instead of 3), so that 2.16.1, which lies
between, has these rules too. Where the two differ, the stricter one stands here.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_mobilenets.tflite.targets.compatibility import Node

# Feature levels past Android 12's come with drivers, not with an API level: no API level of a phone promises them.
FEATURE_LEVEL_6 = 1000006
FEATURE_LEVEL_7 = 1000007


@dataclass(frozen=True)
class Rule:
    """One thing the delegate asks of an operator.

    Attributes:
        line: Where nnapi_delegate.cc asks it.
        refusal: Takes the operator and the feature level; gives why it is refused, or nothing.
    """

    line: int
    refusal: Callable[[Node, int], str]


FLOAT = ("float32",)
QUANTIZED = ("uint8", "int8")
FLOAT_8 = (*FLOAT, *QUANTIZED)
FLOAT_8_INT32 = (*FLOAT_8, "int32")
INPUT = "the input"


def _rule(line: int, holds: Callable[[Node], bool], reason: str) -> Rule:
    return Rule(line, lambda node, level: "" if holds(node) else reason)


def _before(level: int, rule: Rule) -> Rule:
    return Rule(rule.line, lambda node, at: rule.refusal(node, at) if at < level else "")


def _from(level: int, rule: Rule) -> Rule:
    return Rule(rule.line, lambda node, at: rule.refusal(node, at) if at >= level else "")


def _version(line: int, highest: int) -> Rule:
    def refusal(node: Node, level: int) -> str:
        if node.version <= highest:
            return ""
        return f"version {node.version} of the operator; the delegate knows up to {highest}"

    return Rule(line, refusal)


def _fully_connected_version(line: int) -> Rule:
    """Version 12 stands for one scale per channel, the default of the converter since TensorFlow 2.17."""
    plain = _version(line, 5)

    def refusal(node: Node, level: int) -> str:
        reason = plain.refusal(node, level)
        if reason and node.operand(1).is_per_channel:
            return f'weights of one scale per channel ({reason}); convert with target="nnapi"'
        return reason

    return Rule(line, refusal)


def _since(line: int, needed: int) -> Rule:
    def refusal(node: Node, level: int) -> str:
        if level >= needed:
            return ""
        if needed < FEATURE_LEVEL_6:
            return f"needs API level {needed}"
        return f"needs NNAPI feature level {needed - 1000000}, which depends on the driver: no API level promises it"

    return Rule(line, refusal)


def _types(line: int, allowed: tuple[str, ...], index: int = 0, what: str = INPUT) -> Rule:
    def refusal(node: Node, level: int) -> str:
        dtype = node.operand(index).dtype
        return "" if dtype in allowed else f"{what} is {dtype}; taken are {', '.join(allowed)}"

    return Rule(line, refusal)


def _output_types(line: int, allowed: tuple[str, ...]) -> Rule:
    def refusal(node: Node, level: int) -> str:
        dtype = node.outputs[0].dtype
        return "" if dtype in allowed else f"the output is {dtype}; taken are {', '.join(allowed)}"

    return Rule(line, refusal)


def _rank(line: int, fits: Callable[[int], bool], words: str, index: int = 0, what: str = INPUT) -> Rule:
    def refusal(node: Node, level: int) -> str:
        rank = len(node.operand(index).shape)
        return "" if fits(rank) else f"{what} has {rank} dimensions; taken are {words}"

    return Rule(line, refusal)


def _constant(line: int, index: int, what: str, dtype: str = "") -> Rule:
    def holds(node: Node) -> bool:
        return node.operand(index).constant and node.operand(index).dtype in (dtype or node.operand(index).dtype,)

    return _rule(line, holds, f"{what} must be stored in the file{f' as {dtype}' if dtype else ''}")


def _activation(line: int) -> Rule:
    return _rule(line, _has_no_activation, "an activation is fused into it")


def _has_no_activation(node: Node) -> bool:
    return bool(node.option("fusedActivationFunction") == schema.ActivationFunctionType.NONE)


def _int32_without_activation(line: int) -> Rule:
    return _rule(
        line,
        lambda node: node.operand(0).dtype != "int32" or _has_no_activation(node),
        "an activation is fused into an int32 operator",
    )


def _ranks_to_4(line: int) -> tuple[Rule, ...]:
    return tuple(
        _rank(line, lambda rank: rank <= 4, "up to 4", i, what) for i, what in enumerate((INPUT, "the second input"))
    )


def _not_hybrid(line: int) -> Rule:
    return _rule(
        line,
        lambda node: not (node.operand(0).dtype in FLOAT and node.operand(1).is_quantized),
        "int8 weights with a float input need API level 29",
    )


def _restricted_scales(line: int) -> Rule:
    def holds(node: Node) -> bool:
        if node.operand(0).dtype != "uint8":
            return True
        product = np.float32(node.operand(0).scale) * np.float32(node.operand(1).scale)
        return bool(product < np.float32(node.outputs[0].scale))

    return _rule(
        line, holds, "before API level 29 the scales of input and weights must multiply to less than the output's"
    )


def _undilated(line: int) -> Rule:
    return _rule(
        line,
        lambda node: node.option("dilationWFactor", 1) == 1 and node.option("dilationHFactor", 1) == 1,
        "dilation needs API level 29",
    )


def _resize_flags(line: int) -> tuple[Rule, ...]:
    return (
        _before(30, _rule(line, lambda node: not node.option("alignCorners"), "align_corners needs API level 30")),
        _before(
            30,
            _rule(line + 3, lambda node: not node.option("halfPixelCenters"), "half_pixel_centers needs API level 30"),
        ),
    )


def _not_empty(line: int) -> Rule:
    return _rule(line, lambda node: 0 not in node.operand(0).shape, "the input has no elements")


def _at_least_2_inputs(line: int) -> Rule:
    return _rule(line, lambda node: len(node.inputs) >= 2, "it has one input; two are needed")


def _reshape_to_something(node: Node) -> bool:
    shape = node.option("newShape", None) if len(node.inputs) == 1 else [1]
    return shape is not None and len(shape) > 0 and not (len(shape) == 1 and shape[0] == 0)


def _same_quantization(node: Node) -> bool:
    first = node.operand(0)
    operands = [node.operand(index) for index in range(len(node.inputs))]
    return first.dtype != "uint8" or all((o.scale, o.zero_point) == (first.scale, first.zero_point) for o in operands)


def _scalar_is_constant(line: int, index: int) -> Rule:
    return _rule(
        line,
        lambda node: bool(node.operand(index).shape) or node.operand(index).constant,
        "a scalar input must be stored in the file",
    )


def _output_is_no_scalar(line: int) -> Rule:
    return _rule(line, lambda node: len(node.outputs[0].shape) > 0, "the output is a scalar")


def _same_batch(node: Node) -> bool:
    first, second = node.operand(0).shape, node.operand(1).shape
    return len(first) == len(second) and first[:-2] == second[:-2]


def _fits_int32(line: int, index: int) -> Rule:
    return _rule(
        line,
        lambda node: all(-(2**31) <= value < 2**31 for value in node.operand(index).integers()),
        "an int64 value does not fit into int32",
    )


def _axis_as_int32(node: Node) -> bool:
    axis = node.operand(1)
    return axis.dtype == "int32" or (axis.dtype == "int64" and axis.constant)


def _split_v_sizes(node: Node) -> bool:
    operand, sizes, axis = node.operand(0), node.operand(1).integers(), node.operand(2).integers()
    if -1 not in sizes:
        return 0 not in sizes
    return bool(0 not in sizes and operand.shape[axis[0]] - sum(size for size in sizes if size != -1) != 0)


def _unary_float(version: int, since: int, types: int) -> tuple[Rule, ...]:
    return (_version(version, 1), _since(since, 29), _types(types, FLOAT))


def _pad(lines: tuple[int, ...] = (2850, 2851, 2852, 2857, 2862, 2868, 2875)) -> tuple[Rule, ...]:
    version, types, since, empty, inputs, value, plain = lines
    return (
        _version(version, 2),
        _types(types, FLOAT_8),
        _since(since, 28),
        _not_empty(empty),
        _at_least_2_inputs(inputs),
        _before(29, _rule(value, lambda node: len(node.inputs) != 3, "a padding value needs API level 29")),
        _before(
            29,
            _rule(
                plain,
                lambda node: len(node.inputs) == 3 or node.operand(0).dtype in FLOAT,
                "before API level 29 only float32 is padded",
            ),
        ),
    )


_ARGMAX = (
    _version(2345, 2),
    _since(2347, 29),
    _types(2351, ("float16", *FLOAT_8_INT32)),
    _rule(2366, _axis_as_int32, "the axis must be int32, or an int64 that is stored in the file"),
    _fits_int32(2356, 1),
    _output_types(2373, ("int32",)),
)
_ACTIVATION = (_version(2794, 2), _types(2795, FLOAT_8))
_EXTREMUM = (
    _version(3137, 3),
    _since(3138, 29),
    _types(3141, FLOAT_8_INT32),
    _scalar_is_constant(3145, 0),
    _scalar_is_constant(3151, 1),
)
_LEAKY = (_version(3189, 1), _since(3190, 29), _types(3193, FLOAT_8))
_LOGICAL = (_version(3212, 1), _since(3213, 29), _types(3216, ("bool",)))
_COMPARISON = (_version(3226, 2), _since(3227, 29), _types(3230, (*FLOAT_8_INT32, "bool")))
_SIN = _unary_float(2962, 2963, 2965)
_ABS = _unary_float(2929, 2930, 2932)
_REDUCE_MAX = (
    _version(3407, 2),
    _since(3408, 29),
    _types(3412, FLOAT_8),
    _rank(3414, lambda rank: rank > 0, "1 or more"),
)
_SUM = (_version(3426, 1), _since(3427, 29), _output_is_no_scalar(3429), _types(3433, FLOAT))


# What must hold for each operator that the delegate knows; everything else it leaves to the CPU (line 3602).
RULES: dict[str, tuple[Rule, ...]] = {
    "ADD": (
        _version(2323, 2),
        _from(30, _types(2325, FLOAT_8_INT32)),
        _from(30, _int32_without_activation(2327)),
        _before(30, _types(2333, FLOAT_8)),
        *_ranks_to_4(2339),
    ),
    "MUL": (
        _before(29, _version(2388, 2)),
        _from(29, _version(2386, 3)),  # an accelerator is named from 29 on: without the CPU of NNAPI, the default
        _from(30, _types(2391, FLOAT_8_INT32)),
        _from(30, _int32_without_activation(2393)),
        _before(30, _types(2399, FLOAT_8)),
        *_ranks_to_4(2405),
    ),
    "SUB": (
        _version(2808, 3),
        _since(2811, 28),
        _before(29, _types(2812, FLOAT)),
        _before(30, _types(2814, FLOAT_8)),
        _types(2816, FLOAT_8_INT32),
        _int32_without_activation(2820),
        *_ranks_to_4(2829),
    ),
    "DIV": (_version(2834, 1), _since(2835, 28), _types(2837, FLOAT), *_ranks_to_4(2844)),
    "SQUARED_DIFFERENCE": (
        _version(3532, 2),
        _since(3533, 28),
        _before(29, _types(3542, FLOAT)),
        _before(30, _types(3540, ("float32", "uint8"))),
        _types(3537, FLOAT_8_INT32),
        *_ranks_to_4(3548),
    ),
    "ARG_MAX": _ARGMAX,
    "ARG_MIN": _ARGMAX,
    "AVERAGE_POOL_2D": (
        _version(2410, 2),
        _types(2411, FLOAT_8),
        _before(
            29,
            _rule(
                2416,
                lambda node: (
                    not node.operand(0).is_quantized or node.option("filterWidth") * node.option("filterHeight") <= 256
                ),
                "before API level 29 a quantized window may hold 256 values at most",
            ),
        ),
    ),
    "MAX_POOL_2D": (_version(2424, 2), _types(2425, FLOAT_8)),
    "L2_POOL_2D": (_version(2428, 1), _types(2429, FLOAT), _before(29, _activation(2433))),
    "CONV_2D": (
        _version(2441, 5),
        _before(29, _not_hybrid(2445)),
        _before(29, _types(2448, ("float32", "uint8"))),
        _before(
            29,
            _rule(
                2454,
                lambda node: not node.operand(1).is_per_channel,
                "weights of one scale per channel need API level 29",
            ),
        ),
        _before(29, _restricted_scales(2464)),
        _rule(2468, lambda node: len(node.inputs) == 3, "it has no bias"),
        _before(29, _undilated(2473)),
        _before(
            29,
            _rule(
                2478,
                lambda node: node.operand(0).shape[3] == node.operand(1).shape[3],
                "a grouped convolution needs API level 29",
            ),
        ),
    ),
    "DEPTHWISE_CONV_2D": (
        _version(2485, 3),
        _before(29, _types(2488, ("float32", "uint8"))),
        _before(29, _restricted_scales(2492)),
        _before(29, _undilated(2497)),
    ),
    "FULLY_CONNECTED": (
        _fully_connected_version(2506),
        _rule(2508, lambda node: node.outputs[0].dtype != "int16", "the output is int16"),
        _before(29, _not_hybrid(2512)),
        _before(29, _types(2515, ("float32", "uint8"))),
        _before(29, _restricted_scales(2520)),
        _before(30, _rule(2525, lambda node: not node.option("keepNumDims"), "keep_num_dims needs API level 30")),
    ),
    "HARD_SWISH": (_types(2533, FLOAT_8),),  # before API level 30 it is built from ADD, MUL and RELU1
    "SOFTMAX": (
        _version(2536, 2),
        _types(2537, FLOAT_8),
        _output_types(2539, FLOAT_8),
        _rank(2546, lambda rank: rank <= 4, "up to 4"),
        _before(29, _rank(2550, lambda rank: rank in (2, 4), "2 or 4 before API level 29")),
    ),
    "RESHAPE": (
        _version(2558, 1),
        _before(FEATURE_LEVEL_6, _types(2560, FLOAT_8)),
        _types(2562, FLOAT_8_INT32),
        _rank(2565, lambda rank: rank <= 4, "up to 4"),
        _rule(2569, lambda node: len(node.outputs[0].shape) <= 4, "the output has more than 4 dimensions"),
        _rule(
            2573,
            lambda node: len(node.inputs) < 2 or node.operand(1).constant,
            "the shape is computed at run time; convert with batch size 1",
        ),
        _rule(2588, _reshape_to_something, "the output is a scalar"),
    ),
    "RESIZE_BILINEAR": (
        _version(2594, 3),
        _rank(2597, lambda rank: rank == 4, "4"),
        _types(2600, FLOAT_8),
        _at_least_2_inputs(2601),
        _constant(2605, 1, "the size"),
        _before(
            29,
            _rule(
                2611,
                lambda node: node.outputs[0].shape[1] == node.outputs[0].shape[2],
                "an output that is not square needs API level 29",
            ),
        ),
        *_resize_flags(2620),
        _before(29, _types(2628, FLOAT)),
    ),
    "RESIZE_NEAREST_NEIGHBOR": (
        _version(2634, 3),
        _since(2635, 29),
        _types(2637, FLOAT_8),
        _at_least_2_inputs(2638),
        _constant(2642, 1, "the size"),
        *_resize_flags(2650),
    ),
    "SQUEEZE": (
        _version(2659, 1),
        _since(2660, 28),
        _before(
            29,
            _rule(
                2664,
                lambda node: node.option("squeezeDims", None) is not None and len(node.option("squeezeDims", None)) > 0,
                "at API level 28 the dimensions to squeeze must be named",
            ),
        ),
    ),
    "EXPAND_DIMS": (
        _version(3295, 1),
        _since(3296, 29),
        _types(3299, ("float16", *FLOAT_8_INT32)),
        _constant(3302, 1, "the axis", "int32"),
    ),
    "L2_NORMALIZATION": (
        _version(2684, 2),
        _before(29, _types(2687, FLOAT)),
        _before(29, _rank(2690, lambda rank: rank == 4, "4 before API level 29")),
        _activation(2695),
    ),
    "CONCATENATION": (
        _version(2720, 2),
        _activation(2721),
        _rank(2725, lambda rank: rank <= 4, "up to 4"),
        _types(2730, ("float16", *FLOAT_8)),
        _before(
            29,
            _rule(2738, _same_quantization, "before API level 29 all inputs must have the same scale and zero point"),
        ),
    ),
    "DEQUANTIZE": (
        _version(2757, 2),
        _before(29, _types(2763, ("uint8",))),
        _types(2765, QUANTIZED),
        _before(
            30,
            _rule(
                2770,
                lambda node: node.operand(0).dtype != "int8" or node.operand(0).zero_point == 0,
                "at API level 29 the zero point of int8 must be 0",
            ),
        ),
    ),
    "DENSIFY": (
        _since(2780, 30),
        _constant(2781, 0, INPUT),
    ),
    "QUANTIZE": (
        _version(3367, 2),
        _since(3368, 29),
        _types(3371, FLOAT_8),
        _rule(
            3377,
            lambda node: not node.operand(0).is_quantized or node.operand(0).scale > 0,
            "the input has no scale of its own",
        ),
        _before(30, _output_types(3383, ("uint8",))),
        _output_types(3387, QUANTIZED),
        _rule(3393, lambda node: node.outputs[0].scale > 0, "the output has no scale of its own"),
    ),
    "FLOOR": (_version(2788, 1),),
    "RELU": _ACTIVATION,
    "RELU6": _ACTIVATION,
    "RELU_N1_TO_1": _ACTIVATION,
    "LOGISTIC": _ACTIVATION,
    "TANH": (_version(2798, 2), _before(29, _types(2801, FLOAT)), _types(2801, FLOAT_8)),
    "ELU": (_version(3438, 1), _since(3439, 30), _types(3442, FLOAT)),
    "LEAKY_RELU": _LEAKY,
    "PRELU": _LEAKY,
    "LOG_SOFTMAX": (_version(3358, 1), _since(3359, 29), _types(3362, FLOAT)),
    "PAD": _pad(),
    "PADV2": _pad(),
    "MIRROR_PAD": (
        _version(3572, 2),
        _since(3573, FEATURE_LEVEL_7),
        _types(3575, FLOAT_8_INT32),
        _not_empty(3583),
        _rule(3587, lambda node: len(node.inputs) == 2, "two inputs are needed"),
    ),
    "STRIDED_SLICE": (_version(2907, 2), _types(2908, FLOAT_8), _since(2909, 28)),
    "SLICE": (
        _version(2945, 2),
        _since(2946, 29),
        _types(2951, FLOAT_8_INT32),
        _types(2953, ("int32",), 1, "the start"),
        _types(2956, ("int32",), 2, "the size"),
    ),
    "TRANSPOSE": (
        _version(2913, 2),
        _since(2914, 28),
        _at_least_2_inputs(2919),
        _constant(2920, 1, "the permutation"),
    ),
    "REVERSE_V2": (
        _version(3592, 3),
        _since(3593, FEATURE_LEVEL_7),
        _types(3595, FLOAT_8_INT32),
        _rule(3596, lambda node: len(node.inputs) == 2, "two inputs are needed"),
    ),
    "ABS": _ABS,
    "EXP": _ABS,
    "LOG": _ABS,
    "POW": _ABS,
    "SIN": _SIN,
    "COS": _SIN,
    "SQRT": _unary_float(2980, 2981, 2983),
    "RSQRT": (
        _version(2935, 2),
        _since(2936, 29),
        _before(FEATURE_LEVEL_7, _types(2939, FLOAT)),
        _types(2941, FLOAT_8),
    ),
    "NEG": (_version(3234, 2), _since(3235, 29), _types(3238, ("float32", "int32"))),
    "TRANSPOSE_CONV": (
        _version(2968, 3),
        _since(2969, 29),
        _constant(2972, 0, "the output's shape"),
        _constant(2974, 1, "the filter"),
    ),
    "SPACE_TO_DEPTH": (_version(2999, 2), _types(3002, FLOAT_8)),
    "DEPTH_TO_SPACE": (_types(3421, FLOAT_8),),
    "SPACE_TO_BATCH_ND": (_version(2891, 2), _since(2892, 28)),
    "BATCH_TO_SPACE_ND": (
        _version(2896, 2),
        _since(2897, 28),
        _rule(2901, lambda node: node.operand(2).integers() == [0, 0, 0, 0], "the crops must be 0"),
    ),
    "MEAN": (
        _version(3102, 2),
        _since(3103, 28),
        _before(29, _types(3111, FLOAT)),
        _types(3106, FLOAT_8),
        _output_is_no_scalar(3115),
        _rank(3119, lambda rank: rank <= 4, "up to 4"),
    ),
    "SUM": _SUM,
    "REDUCE_PROD": _SUM,
    "REDUCE_MAX": _REDUCE_MAX,
    "REDUCE_MIN": _REDUCE_MAX,
    "REDUCE_ANY": (_version(3398, 2), _since(3399, 29), _output_is_no_scalar(3401)),
    "MAXIMUM": _EXTREMUM,
    "MINIMUM": _EXTREMUM,
    "CAST": (
        _version(3157, 1),
        _since(3158, 29),
        _before(30, _types(3176, ("float32", "int32", "uint8"))),
        _before(30, _output_types(3179, ("float32", "int32", "uint8"))),
        _types(3165, FLOAT_8_INT32),
        _output_types(3168, FLOAT_8_INT32),
    ),
    "TILE": (
        _version(3197, 1),
        _since(3198, 29),
        _types(3201, FLOAT_8_INT32),
        _types(3205, ("int32",), 1, "the multiples"),
    ),
    "LOGICAL_AND": _LOGICAL,
    "LOGICAL_OR": _LOGICAL,
    "LOGICAL_NOT": _LOGICAL,
    "LESS": _COMPARISON,
    "LESS_EQUAL": _COMPARISON,
    "GREATER": _COMPARISON,
    "GREATER_EQUAL": _COMPARISON,
    "EQUAL": _COMPARISON,
    "NOT_EQUAL": _COMPARISON,
    "TOPK_V2": (
        _version(3241, 2),
        _since(3242, 29),
        _types(3245, FLOAT_8_INT32),
        _constant(3248, 1, "the count", "int32"),
    ),
    "SELECT": (
        _version(3254, 2),
        _since(3255, 29),
        _types(3258, FLOAT_8_INT32, 1),
        _rule(
            3264,
            lambda node: node.operand(0).shape == node.operand(1).shape,
            "the condition has another shape than the inputs",
        ),
    ),
    "GATHER": (
        _version(3270, 2),
        _since(3271, 29),
        _types(3276, ("float16", *FLOAT_8_INT32)),
        _types(3279, ("int32",), 1, "the positions"),
        _rank(3282, lambda rank: rank > 0, "1 or more", 1, "the positions"),
    ),
    "SPLIT": (
        _version(3307, 3),
        _since(3308, 29),
        _before(30, _types(3316, ("float32", "uint8", "int32"), 1)),
        _types(3313, FLOAT_8_INT32, 1),
        _constant(3320, 0, "the axis", "int32"),
    ),
    "SPLIT_V": (
        _version(3325, 2),
        _since(3326, 30),
        _types(3332, FLOAT_8_INT32),
        _rank(3339, lambda rank: rank == 1, "1", 1, "the sizes"),
        _constant(3339, 1, "the sizes", "int32"),
        _constant(3343, 2, "the axis", "int32"),
        _rule(3347, _split_v_sizes, "a part is empty"),
    ),
    "FILL": (
        _version(3447, 1),
        _since(3448, 30),
        _constant(3451, 0, "the shape"),
        _types(3454, ("int32", "int64")),
        _rule(3456, lambda node: node.operand(0).shape != (0,), "the output is a scalar"),
        _fits_int32(3467, 0),
        _types(3476, ("float32", "int32", "int64"), 1, "the value"),
        _fits_int32(3480, 1),
    ),
    "PACK": (
        _version(3491, 2),
        _since(3492, 30),
        _before(FEATURE_LEVEL_6, _types(3499, ("float32", "int8"))),
        _types(3496, FLOAT_8_INT32),
        _before(
            FEATURE_LEVEL_6,
            _rule(
                3501,
                lambda node: node.option("axis") not in (-1, len(node.operand(0).shape)),
                "the new axis is the last one",
            ),
        ),
    ),
    "UNPACK": (
        _version(3510, 2),
        _since(3511, 30),
        _types(3514, FLOAT_8),
        _rank(3516, lambda rank: 1 < rank <= 4, "2 to 4"),
        _rule(
            3525,
            lambda node: node.option("axis") not in (-1, len(node.operand(0).shape) - 1),
            "the axis is the last one",
        ),
    ),
    "BATCH_MATMUL": (
        _version(3553, 2),
        _since(3554, FEATURE_LEVEL_6),
        _types(3558, ("float32", "int32", "int8")),
        _rule(3560, lambda node: node.operand(0).dtype == node.operand(1).dtype, "the inputs differ in number type"),
        _rank(3563, lambda rank: 2 <= rank <= 4, "2 to 4"),
        _rule(3567, _same_batch, "one input is broadcast along the batch"),
    ),
}

# The delegate knows these sequence and text operators; no vision model has them, and no rule here judges them.
UNJUDGED = frozenset(
    {
        *("LSTM", "UNIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_LSTM", "UNIDIRECTIONAL_SEQUENCE_RNN", "RNN"),
        *("SVDF", "LSH_PROJECTION", "EMBEDDING_LOOKUP", "HASHTABLE_LOOKUP", "LOCAL_RESPONSE_NORMALIZATION"),
    }
)

UNKNOWN_LINE = 3602

# The tensor types that NNAPI's operators have (NNAPIOpBuilder::AddTensor, 1759–1842); int16 belongs to its LSTM only.
BUILDABLE = frozenset(("float32", "float16", "uint8", "int8", "int32", "bool"))
