"""Scales with which the runtime takes its process down, and gives no reason, where it should refuse the file.

The kernels of ADD and SUB abort (add.cc, sub.cc: `QuantizeMultiplierSmallerThanOneExp`). What XNNPACK cannot compute
with such a scale its delegate, in LiteRT 2.3, refuses so late that it frees memory twice.
"""

from typing import Any

from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.graph.verifier import InvalidModelError

_SHIFTS = {"int8": 20, "uint8": 20, "int16": 15}  # bits that ADD and SUB have for the sum
_FACTOR = 256  # of the scale of a sum of products over the output's scale, XNNPACK's limit
_SUMS = ("ADD", "SUB")
_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


def check(model: Any) -> None:
    """Checks the scales of every operator of a model whose tables fit together.

    Args:
        model: A .tflite as `flatbuffer.read` gives it.

    Raises:
        InvalidModelError: A scale is far too small.
    """
    for graph in model.subgraphs:
        for place, operator in enumerate(graph.operators):
            name = flatbuffer.operator_name(model, operator)
            places = [*operator.outputs[:1], *operator.inputs[:2]]
            if name not in (*_WEIGHTED, *_SUMS) or len(places) < 3 or min(places) < 0:
                continue
            kind = flatbuffer.type_name(graph.tensors[places[0]].type)
            scales = [flatbuffer.scales(graph.tensors[tensor])[0] for tensor in places]
            if kind not in _SHIFTS or not all(scales):
                continue
            scale, first, second = map(max, scales)
            if name in _SUMS:
                is_too_small = 2 * max(first, second) >= 2 ** _SHIFTS[kind] * scale
            else:
                is_too_small = kind != "int16" and first * second >= _FACTOR * scale  # which XNNPACK does not take
            if is_too_small:
                what = f"what {name} {place} computes, {flatbuffer.text(graph.tensors[places[0]].name)}"
                raise InvalidModelError(
                    f"the scale {scale:.3g} of {what}, is far too small for the scales {first:.3g} and {second:.3g} of "
                    "what it reads"
                )
