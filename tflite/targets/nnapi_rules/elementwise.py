"""What the NNAPI delegate asks of elementwise operators: arithmetic, activations, comparisons and casts."""

from keras_mobilenets.tflite.targets.nnapi_rules.conditions import (
    FEATURE_LEVEL_7,
    FLOAT,
    FLOAT_8,
    FLOAT_8_INT32,
    INPUT,
    QUANTIZED,
    Rule,
    before_level,
    constant,
    dtypes,
    from_level,
    has_no_activation,
    no_activation,
    output_dtypes,
    rank,
    rule,
    since,
    version,
)


def _int32_without_activation(line: int) -> Rule:
    return rule(
        line,
        lambda node: node.operand(0).dtype != "int32" or has_no_activation(node),
        "an activation is fused into an int32 operator",
    )


def _ranks_to_4(line: int) -> tuple[Rule, ...]:
    return tuple(
        rank(line, lambda rank: rank <= 4, "up to 4", i, what) for i, what in enumerate((INPUT, "the second input"))
    )


def _scalar_is_constant(line: int, index: int) -> Rule:
    return rule(
        line,
        lambda node: bool(node.operand(index).shape) or node.operand(index).constant,
        "a scalar input must be stored in the file",
    )


def _unary_float(*lines: int) -> tuple[Rule, ...]:
    return (version(lines[0], 1), since(lines[1], 29), dtypes(lines[2], FLOAT))


_ACTIVATION = (version(2794, 2), dtypes(2795, FLOAT_8))


_EXTREMUM = (
    version(3137, 3),
    since(3138, 29),
    dtypes(3141, FLOAT_8_INT32),
    _scalar_is_constant(3145, 0),
    _scalar_is_constant(3151, 1),
)


_LEAKY = (version(3189, 1), since(3190, 29), dtypes(3193, FLOAT_8))


_LOGICAL = (version(3212, 1), since(3213, 29), dtypes(3216, ("bool",)))


_COMPARISON = (version(3226, 2), since(3227, 29), dtypes(3230, (*FLOAT_8_INT32, "bool")))


_SIN = _unary_float(2962, 2963, 2965)


_ABS = _unary_float(2929, 2930, 2932)


RULES: dict[str, tuple[Rule, ...]] = {
    "ADD": (
        version(2323, 2),
        from_level(30, dtypes(2325, FLOAT_8_INT32)),
        from_level(30, _int32_without_activation(2327)),
        before_level(30, dtypes(2333, FLOAT_8)),
        *_ranks_to_4(2339),
    ),
    "MUL": (
        before_level(29, version(2388, 2)),
        from_level(29, version(2386, 3)),  # an accelerator is named from 29 on: without the CPU of NNAPI, the default
        from_level(30, dtypes(2391, FLOAT_8_INT32)),
        from_level(30, _int32_without_activation(2393)),
        before_level(30, dtypes(2399, FLOAT_8)),
        *_ranks_to_4(2405),
    ),
    "SUB": (
        version(2808, 3),
        since(2811, 28),
        before_level(29, dtypes(2812, FLOAT)),
        before_level(30, dtypes(2814, FLOAT_8)),
        dtypes(2816, FLOAT_8_INT32),
        _int32_without_activation(2820),
        *_ranks_to_4(2829),
    ),
    "DIV": (version(2834, 1), since(2835, 28), dtypes(2837, FLOAT), *_ranks_to_4(2844)),
    "SQUARED_DIFFERENCE": (
        version(3532, 2),
        since(3533, 28),
        before_level(29, dtypes(3542, FLOAT)),
        before_level(30, dtypes(3540, ("float32", "uint8"))),
        dtypes(3537, FLOAT_8_INT32),
        *_ranks_to_4(3548),
    ),
    "HARD_SWISH": (dtypes(2533, FLOAT_8),),  # before API level 30 it is built from ADD, MUL and RELU1
    "SOFTMAX": (
        version(2536, 2),
        dtypes(2537, FLOAT_8),
        output_dtypes(2539, FLOAT_8),
        rank(2546, lambda rank: rank <= 4, "up to 4"),
        before_level(29, rank(2550, lambda rank: rank in (2, 4), "2 or 4 before API level 29")),
    ),
    "L2_NORMALIZATION": (
        version(2684, 2),
        before_level(29, dtypes(2687, FLOAT)),
        before_level(29, rank(2690, lambda rank: rank == 4, "4 before API level 29")),
        no_activation(2695),
    ),
    "DEQUANTIZE": (
        version(2757, 2),
        before_level(29, dtypes(2763, ("uint8",))),
        dtypes(2765, QUANTIZED),
        before_level(
            30,
            rule(
                2770,
                lambda node: node.operand(0).dtype != "int8" or node.operand(0).zero_point == 0,
                "at API level 29 the zero point of int8 must be 0",
            ),
        ),
    ),
    "DENSIFY": (
        since(2780, 30),
        constant(2781, 0, INPUT),
    ),
    "QUANTIZE": (
        version(3367, 2),
        since(3368, 29),
        dtypes(3371, FLOAT_8),
        rule(
            3377,
            lambda node: not node.operand(0).is_quantized or node.operand(0).scale > 0,
            "the input has no scale of its own",
        ),
        before_level(30, output_dtypes(3383, ("uint8",))),
        output_dtypes(3387, QUANTIZED),
        rule(3393, lambda node: node.outputs[0].scale > 0, "the output has no scale of its own"),
    ),
    "FLOOR": (version(2788, 1),),
    "RELU": _ACTIVATION,
    "RELU6": _ACTIVATION,
    "RELU_N1_TO_1": _ACTIVATION,
    "LOGISTIC": _ACTIVATION,
    "TANH": (version(2798, 2), before_level(29, dtypes(2801, FLOAT)), dtypes(2801, FLOAT_8)),
    "ELU": (version(3438, 1), since(3439, 30), dtypes(3442, FLOAT)),
    "LEAKY_RELU": _LEAKY,
    "PRELU": _LEAKY,
    "LOG_SOFTMAX": (version(3358, 1), since(3359, 29), dtypes(3362, FLOAT)),
    "ABS": _ABS,
    "EXP": _ABS,
    "LOG": _ABS,
    "POW": _ABS,
    "SIN": _SIN,
    "COS": _SIN,
    "SQRT": _unary_float(2980, 2981, 2983),
    "RSQRT": (
        version(2935, 2),
        since(2936, 29),
        before_level(FEATURE_LEVEL_7, dtypes(2939, FLOAT)),
        dtypes(2941, FLOAT_8),
    ),
    "NEG": (version(3234, 2), since(3235, 29), dtypes(3238, ("float32", "int32"))),
    "MAXIMUM": _EXTREMUM,
    "MINIMUM": _EXTREMUM,
    "CAST": (
        version(3157, 1),
        since(3158, 29),
        before_level(30, dtypes(3176, ("float32", "int32", "uint8"))),
        before_level(30, output_dtypes(3179, ("float32", "int32", "uint8"))),
        dtypes(3165, FLOAT_8_INT32),
        output_dtypes(3168, FLOAT_8_INT32),
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
    "SELECT": (
        version(3254, 2),
        since(3255, 29),
        dtypes(3258, FLOAT_8_INT32, 1),
        rule(
            3264,
            lambda node: node.operand(0).shape == node.operand(1).shape,
            "the condition has another shape than the inputs",
        ),
    ),
}
