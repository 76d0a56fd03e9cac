"""What the NNAPI delegate asks of convolutions, pooling, dense layers and matrix products."""

import numpy as np

from keras_mobilenets.tflite.targets.delegate_graph import Node
from keras_mobilenets.tflite.targets.nnapi_rules.conditions import (
    FEATURE_LEVEL_6,
    FLOAT,
    FLOAT_8,
    Rule,
    before_level,
    constant,
    dtypes,
    no_activation,
    rank,
    rule,
    since,
    version,
)


def _fully_connected_version(line: int) -> Rule:
    """Version 12 stands for one scale per channel, the default of the converter since TensorFlow 2.17."""
    plain = version(line, 5)

    def refusal(node: Node, level: int) -> str:
        reason = plain.refusal(node, level)
        if reason and node.operand(1).is_per_channel:
            return f'weights of one scale per channel ({reason}); convert with target="nnapi"'
        return reason

    return Rule(line, refusal)


def _not_hybrid(line: int) -> Rule:
    return rule(
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

    return rule(
        line, holds, "before API level 29 the scales of input and weights must multiply to less than the output's"
    )


def _undilated(line: int) -> Rule:
    return rule(
        line,
        lambda node: node.option("dilationWFactor", 1) == 1 and node.option("dilationHFactor", 1) == 1,
        "dilation needs API level 29",
    )


def _same_batch(node: Node) -> bool:
    first, second = node.operand(0).shape, node.operand(1).shape
    return len(first) == len(second) and first[:-2] == second[:-2]


RULES: dict[str, tuple[Rule, ...]] = {
    "AVERAGE_POOL_2D": (
        version(2410, 2),
        dtypes(2411, FLOAT_8),
        before_level(
            29,
            rule(
                2416,
                lambda node: (
                    not node.operand(0).is_quantized or node.option("filterWidth") * node.option("filterHeight") <= 256
                ),
                "before API level 29 a quantized window may hold 256 values at most",
            ),
        ),
    ),
    "MAX_POOL_2D": (version(2424, 2), dtypes(2425, FLOAT_8)),
    "L2_POOL_2D": (version(2428, 1), dtypes(2429, FLOAT), before_level(29, no_activation(2433))),
    "CONV_2D": (
        version(2441, 5),
        before_level(29, _not_hybrid(2445)),
        before_level(29, dtypes(2448, ("float32", "uint8"))),
        before_level(
            29,
            rule(
                2454,
                lambda node: not node.operand(1).is_per_channel,
                "weights of one scale per channel need API level 29",
            ),
        ),
        before_level(29, _restricted_scales(2464)),
        rule(2468, lambda node: len(node.inputs) == 3, "it has no bias"),
        before_level(29, _undilated(2473)),
        before_level(
            29,
            rule(
                2478,
                lambda node: node.operand(0).shape[3] == node.operand(1).shape[3],
                "a grouped convolution needs API level 29",
            ),
        ),
    ),
    "DEPTHWISE_CONV_2D": (
        version(2485, 3),
        before_level(29, dtypes(2488, ("float32", "uint8"))),
        before_level(29, _restricted_scales(2492)),
        before_level(29, _undilated(2497)),
    ),
    "FULLY_CONNECTED": (
        _fully_connected_version(2506),
        rule(2508, lambda node: node.outputs[0].dtype != "int16", "the output is int16"),
        before_level(29, _not_hybrid(2512)),
        before_level(29, dtypes(2515, ("float32", "uint8"))),
        before_level(29, _restricted_scales(2520)),
        before_level(30, rule(2525, lambda node: not node.option("keepNumDims"), "keep_num_dims needs API level 30")),
    ),
    "TRANSPOSE_CONV": (
        version(2968, 3),
        since(2969, 29),
        constant(2972, 0, "the output's shape"),
        constant(2974, 1, "the filter"),
    ),
    "BATCH_MATMUL": (
        version(3553, 2),
        since(3554, FEATURE_LEVEL_6),
        dtypes(3558, ("float32", "int32", "int8")),
        rule(3560, lambda node: node.operand(0).dtype == node.operand(1).dtype, "the inputs differ in dtype"),
        rank(3563, lambda rank: 2 <= rank <= 4, "2 to 4"),
        rule(3567, _same_batch, "one input is broadcast along the batch"),
    ),
}
