"""Ranges of what only moves the values of an operator whose int8 scale the specification fixes.

The scale of LOGISTIC's result is 1/256, whatever it is in the calibration images. An enlarged or cut map of such
values has it too, or the quantizer would put a QUANTIZE between them.
"""

from typing import Any

from keras_mobilenets.tflite.graph import flatbuffer

FIXED = {"LOGISTIC": (0.0, 255 / 256)}
_MOVING = {"CONCATENATION", "RESHAPE", "SLICE", "STRIDED_SLICE"}


def keep(model: Any) -> None:
    """Writes the fixed range at all that moves values of it, into a float `ModelT` with ranges."""
    graph = flatbuffer.Graph(model)
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
