"""GELU of int8 by operators that every accelerator has.

x · Φ(x) with Φ(x) ≈ logistic(1.5976 x + 0.070566 x³), which is off by 0.00014 at most (Page 1977, "Approximations to
the standard normal function and its inverse for use with a pocket calculator").
"""

from typing import Any

from keras_mobilenets.tflite.conversion.forms.int8_operators import Int8Graph

_LINEAR, _CUBIC = 1.5976, 0.070566
_LAST = 256 / 255  # LOGISTIC's greatest int8 is 255/256
_SATURATED = 3.6  # from here on the int8 results are 0 and x
_FINEST = 1 / 512  # step of the result: finer ones, of a map without positive values, ask for more than 8 bits before


def gelu_by_logistic(graph: Int8Graph, operator: Any) -> None:
    """Computes x · logistic(x · (1.5976 + 0.0706 x · x)) in six operators, of which four round.

    The sum ends where the logistic function has reached its last int8 value. The results are within one and a half
    steps of the real ones, most within half a step.
    """
    x, result = int(operator.inputs[0]), int(operator.outputs[0])
    if graph.quantization(result)[0] < _FINEST:
        return
    place, shape = graph.place(operator), graph.shape(x)
    graph.remove(operator)
    unit = _LAST if graph.scale_output(x, _LAST) else 1.0
    step, zero_point = graph.quantization(x)
    most = min(max(127 - zero_point, 128 + zero_point) * step / unit, _SATURATED)

    def add(name: str, inputs: list[int], scale: float, zero: int) -> int:
        nonlocal place
        output = graph.add_activation("gelu", shape, scale, zero)
        if name == "LOGISTIC":
            graph.insert(name, inputs, output, place, version=2)
        else:
            graph.insert_int8(name, inputs, output, place)
        place += 1
        return output

    factor = _CUBIC / unit**3
    cubic = add("MUL", [x, graph.add_number(factor, len(shape))], step * factor, zero_point)  # the same integers
    square = add("MUL", [x, cubic], _CUBIC * most**2 / unit / 255, -128)
    top = (_LINEAR + _CUBIC * most**2) / unit
    slope = add("ADD", [square, graph.add_number(_LINEAR / unit, len(shape))], top / 255, -128)
    end = min(6.25, top * unit * most)
    argument = add("MUL", [x, slope], 2 * end / 255, 0)
    gate = add("LOGISTIC", [argument], 1 / 256, -128)
    graph.insert_int8("MUL", [x, gate], result, place)
