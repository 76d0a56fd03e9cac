"""Ranges that are not what the values are: of what only moves or joins them, and of a matrix product's second factor.

The int8 scale of LOGISTIC's result is 1/256, whatever it is in the calibration images. An enlarged or cut map of such
values has it too, or the quantizer would put a QUANTIZE between them. The second factor of a BATCH_MATMUL has the zero
point 0: XNNPACK takes no other (LiteRT 2.3), and leaves the product, and so all of the attention, in partitions. What a
concatenation joins behind a reshape, such as the heads of a detector, is computed in its scale.
"""

from typing import Any

from keras_mobilenets.tflite.graph import flatbuffer

FIXED = {"LOGISTIC": (0.0, 255 / 256)}
_MOVING = {"CONCATENATION", "RESHAPE", "SLICE", "STRIDED_SLICE"}
_REARRANGING = {"RESHAPE", "TRANSPOSE"}  # of one tensor, whose scale and zero point the result has


def keep(model: Any) -> None:
    """Writes such ranges into a float `ModelT` with ranges, at all that moves the values too.

    Args:
        model: Calibrated, or of a quantization-aware network, where what moves values has no ranges.
    """
    graph = flatbuffer.Graph(model)
    _center_second_factors(graph)
    _share_with_joined(graph)
    fixed: dict[int, tuple[float, float]] = {}
    for operator in graph.operators:
        name, output = graph.name(operator), int(operator.outputs[0])
        if name in FIXED:
            fixed[output] = FIXED[name]
        elif name in _MOVING:
            read = [int(i) for i in operator.inputs if not flatbuffer.is_constant(model, graph.tensors[int(i)])]
            ranges = {fixed.get(tensor) for tensor in read}
            if len(ranges) == 1 and (known := ranges.pop()) is not None:
                fixed[output] = known
                flatbuffer.set_range(graph.tensors[output], *known)


def _center_second_factors(graph: flatbuffer.Graph) -> None:
    """Widens ranges to 128 steps below zero and 127 above, back to the operator that computes the values."""
    makers = graph.makers()
    for product in graph.operators:
        if graph.name(product) != "BATCH_MATMUL":
            continue
        moved = [int(product.inputs[1])]
        while (maker := makers.get(moved[-1])) is not None and graph.name(maker) in _REARRANGING:
            moved.append(int(maker.inputs[0]))
        ranges = [flatbuffer.range_of(graph.tensors[tensor]) for tensor in moved if tensor in makers]
        known = next((found for found in ranges if found is not None), None)
        if known is None:
            continue
        step = max(-known[0] / 128, known[1] / 127)
        for tensor, found in zip(moved, ranges, strict=False):  # an input of the graph keeps its own
            if found is not None:
                flatbuffer.set_range(graph.tensors[tensor], -128 * step, 127 * step)


def _share_with_joined(graph: flatbuffer.Graph) -> None:
    """Gives a concatenation's range to the parts that come through operators without one, or each would be rescaled."""
    makers = graph.makers()
    for joined in graph.operators:
        known = flatbuffer.range_of(graph.tensors[int(joined.outputs[0])])
        if graph.name(joined) != "CONCATENATION" or known is None:
            continue
        for part in map(int, joined.inputs):
            moved = [part]
            while (maker := makers.get(moved[-1])) is not None and graph.name(maker) in _REARRANGING:
                moved.append(int(maker.inputs[0]))
            is_alone = all(len(graph.readers(tensor)) == 1 for tensor in moved)
            if is_alone and moved[-1] in makers and flatbuffer.range_of(graph.tensors[part]) is None:
                for tensor in moved:
                    flatbuffer.set_range(graph.tensors[tensor], *known)
