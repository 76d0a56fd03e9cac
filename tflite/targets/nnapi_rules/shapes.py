"""What the NNAPI delegate asks of operators that move values: padding, slicing, resizing, concatenation."""

from keras_mobilenets.tflite.targets.delegate_graph import Node
from keras_mobilenets.tflite.targets.nnapi_rules.conditions import (
    FEATURE_LEVEL_6,
    FEATURE_LEVEL_7,
    FLOAT,
    FLOAT_8,
    FLOAT_8_INT32,
    Rule,
    before_level,
    constant,
    dtypes,
    fits_int32,
    no_activation,
    rank,
    rule,
    since,
    version,
)


def _resize_flags(line: int) -> tuple[Rule, ...]:
    return (
        before_level(30, rule(line, lambda node: not node.option("alignCorners"), "align_corners needs API level 30")),
        before_level(
            30,
            rule(line + 3, lambda node: not node.option("halfPixelCenters"), "half_pixel_centers needs API level 30"),
        ),
    )


def _not_empty(line: int) -> Rule:
    return rule(line, lambda node: 0 not in node.operand(0).shape, "the input has no elements")


def _at_least_2_inputs(line: int) -> Rule:
    return rule(line, lambda node: len(node.inputs) >= 2, "it has one input; two are needed")


def _reshape_to_something(node: Node) -> bool:
    shape = node.option("newShape", None) if len(node.inputs) == 1 else [1]
    return shape is not None and len(shape) > 0 and not (len(shape) == 1 and shape[0] == 0)


def _same_quantization(node: Node) -> bool:
    first = node.operand(0)
    operands = [node.operand(index) for index in range(len(node.inputs))]
    return first.dtype != "uint8" or all((o.scale, o.zero_point) == (first.scale, first.zero_point) for o in operands)


def _split_v_sizes(node: Node) -> bool:
    operand, sizes, axis = node.operand(0), node.operand(1).integers(), node.operand(2).integers()
    if -1 not in sizes:
        return 0 not in sizes
    return bool(0 not in sizes and operand.shape[axis[0]] - sum(size for size in sizes if size != -1) != 0)


_PAD = (
    version(2850, 2),
    dtypes(2851, FLOAT_8),
    since(2852, 28),
    _not_empty(2857),
    _at_least_2_inputs(2862),
    before_level(29, rule(2868, lambda node: len(node.inputs) != 3, "a padding value needs API level 29")),
    before_level(
        29,
        rule(
            2875,
            lambda node: len(node.inputs) == 3 or node.operand(0).dtype in FLOAT,
            "before API level 29 only float32 is padded",
        ),
    ),
)


RULES: dict[str, tuple[Rule, ...]] = {
    "RESHAPE": (
        version(2558, 1),
        before_level(FEATURE_LEVEL_6, dtypes(2560, FLOAT_8)),
        dtypes(2562, FLOAT_8_INT32),
        rank(2565, lambda rank: rank <= 4, "up to 4"),
        rule(2569, lambda node: len(node.outputs[0].shape) <= 4, "the output has more than 4 dimensions"),
        rule(
            2573,
            lambda node: len(node.inputs) < 2 or node.operand(1).constant,
            "the shape is computed at run time; convert with batch size 1",
        ),
        rule(2588, _reshape_to_something, "the output is a scalar"),
    ),
    "RESIZE_BILINEAR": (
        version(2594, 3),
        rank(2597, lambda rank: rank == 4, "4"),
        dtypes(2600, FLOAT_8),
        _at_least_2_inputs(2601),
        constant(2605, 1, "the size"),
        before_level(
            29,
            rule(
                2611,
                lambda node: node.outputs[0].shape[1] == node.outputs[0].shape[2],
                "an output that is not square needs API level 29",
            ),
        ),
        *_resize_flags(2620),
        before_level(29, dtypes(2628, FLOAT)),
    ),
    "RESIZE_NEAREST_NEIGHBOR": (
        version(2634, 3),
        since(2635, 29),
        dtypes(2637, FLOAT_8),
        _at_least_2_inputs(2638),
        constant(2642, 1, "the size"),
        *_resize_flags(2650),
    ),
    "SQUEEZE": (
        version(2659, 1),
        since(2660, 28),
        before_level(
            29,
            rule(
                2664,
                lambda node: node.option("squeezeDims", None) is not None and len(node.option("squeezeDims", None)) > 0,
                "at API level 28 the dimensions to squeeze must be named",
            ),
        ),
    ),
    "EXPAND_DIMS": (
        version(3295, 1),
        since(3296, 29),
        dtypes(3299, ("float16", *FLOAT_8_INT32)),
        constant(3302, 1, "the axis", "int32"),
    ),
    "CONCATENATION": (
        version(2720, 2),
        no_activation(2721),
        rank(2725, lambda rank: rank <= 4, "up to 4"),
        dtypes(2730, ("float16", *FLOAT_8)),
        before_level(
            29,
            rule(2738, _same_quantization, "before API level 29 all inputs must have the same scale and zero point"),
        ),
    ),
    "PAD": _PAD,
    "PADV2": _PAD,
    "MIRROR_PAD": (
        version(3572, 2),
        since(3573, FEATURE_LEVEL_7),
        dtypes(3575, FLOAT_8_INT32),
        _not_empty(3583),
        rule(3587, lambda node: len(node.inputs) == 2, "two inputs are needed"),
    ),
    "STRIDED_SLICE": (version(2907, 2), dtypes(2908, FLOAT_8), since(2909, 28)),
    "SLICE": (
        version(2945, 2),
        since(2946, 29),
        dtypes(2951, FLOAT_8_INT32),
        dtypes(2953, ("int32",), 1, "the start"),
        dtypes(2956, ("int32",), 2, "the size"),
    ),
    "TRANSPOSE": (
        version(2913, 2),
        since(2914, 28),
        _at_least_2_inputs(2919),
        constant(2920, 1, "the permutation"),
    ),
    "REVERSE_V2": (
        version(3592, 3),
        since(3593, FEATURE_LEVEL_7),
        dtypes(3595, FLOAT_8_INT32),
        rule(3596, lambda node: len(node.inputs) == 2, "two inputs are needed"),
    ),
    "SPACE_TO_DEPTH": (version(2999, 2), dtypes(3002, FLOAT_8)),
    "DEPTH_TO_SPACE": (dtypes(3421, FLOAT_8),),
    "SPACE_TO_BATCH_ND": (version(2891, 2), since(2892, 28)),
    "BATCH_TO_SPACE_ND": (
        version(2896, 2),
        since(2897, 28),
        rule(2901, lambda node: node.operand(2).integers() == [0, 0, 0, 0], "the crops must be 0"),
    ),
    "TILE": (
        version(3197, 1),
        since(3198, 29),
        dtypes(3201, FLOAT_8_INT32),
        dtypes(3205, ("int32",), 1, "the multiples"),
    ),
    "GATHER": (
        version(3270, 2),
        since(3271, 29),
        dtypes(3276, ("float16", *FLOAT_8_INT32)),
        dtypes(3279, ("int32",), 1, "the positions"),
        rank(3282, lambda rank: rank > 0, "1 or more", 1, "the positions"),
    ),
    "SPLIT": (
        version(3307, 3),
        since(3308, 29),
        before_level(30, dtypes(3316, ("float32", "uint8", "int32"), 1)),
        dtypes(3313, FLOAT_8_INT32, 1),
        constant(3320, 0, "the axis", "int32"),
    ),
    "SPLIT_V": (
        version(3325, 2),
        since(3326, 30),
        dtypes(3332, FLOAT_8_INT32),
        rank(3339, lambda rank: rank == 1, "1", 1, "the sizes"),
        constant(3339, 1, "the sizes", "int32"),
        constant(3343, 2, "the axis", "int32"),
        rule(3347, _split_v_sizes, "a part is empty"),
    ),
    "FILL": (
        version(3447, 1),
        since(3448, 30),
        constant(3451, 0, "the shape"),
        dtypes(3454, ("int32", "int64")),
        rule(3456, lambda node: node.operand(0).shape != (0,), "the output is a scalar"),
        fits_int32(3467, 0),
        dtypes(3476, ("float32", "int32", "int64"), 1, "the value"),
        fits_int32(3480, 1),
    ),
    "PACK": (
        version(3491, 2),
        since(3492, 30),
        before_level(FEATURE_LEVEL_6, dtypes(3499, ("float32", "int8"))),
        dtypes(3496, FLOAT_8_INT32),
        before_level(
            FEATURE_LEVEL_6,
            rule(
                3501,
                lambda node: node.option("axis") not in (-1, len(node.operand(0).shape)),
                "the new axis is the last one",
            ),
        ),
    ),
    "UNPACK": (
        version(3510, 2),
        since(3511, 30),
        dtypes(3514, FLOAT_8),
        rank(3516, lambda rank: 1 < rank <= 4, "2 to 4"),
        rule(
            3525,
            lambda node: node.option("axis") not in (-1, len(node.operand(0).shape) - 1),
            "the axis is the last one",
        ),
    ),
}
