"""An int8 .tflite with operators in the form that its target runs best, by the table `FORMS`.

It starts from the quantized graph, where every constant factor is a matter of scales: the int8 weights, the biases and
the activations that a convolution gives stay, bit for bit, and only what they are said to stand for changes. So models
quantized after training and while training, and weights of any origin, are all rewritten alike.
h-swish and hard-sigmoid: Howard et al. 2019, arXiv:1905.02244, section 5.2.
"""

import math
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_mobilenets.tflite.conversion.folds.shuffle_fold import fold_shuffles
from keras_mobilenets.tflite.conversion.forms.average_pooling import average_by_weights
from keras_mobilenets.tflite.conversion.forms.gelu import gelu_by_logistic
from keras_mobilenets.tflite.conversion.forms.grouped_shuffle import fill_groups, shuffle_in_runs
from keras_mobilenets.tflite.conversion.forms.int8_operators import Int8Graph, parameters
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.graph.unused_tensors import drop_unused
from keras_mobilenets.tflite.targets.operator_forms import ADD_SCALES, Forms

_RELUS = {"RELU": None, "RELU6": 6.0}  # with the upper limit
_NONE, _RELU = schema.ActivationFunctionType.NONE, schema.ActivationFunctionType.RELU


def rewrite(content: bytes, forms: Forms) -> bytes:
    """Gives the operators of an int8 .tflite the forms that a target wants.

    Operators that compute in float, and those whose surroundings do not allow another form, stay as they are.

    Args:
        content: A quantized .tflite.
        forms: The target's row of `FORMS`.

    Returns:
        The .tflite. Weights and biases have the same integers as before, and so have the activations of convolutions,
        but for a rare tie (their scales are float32), and h-swish with the ranges of `convert`; with other ranges it
        may differ from the HARD_SWISH kernel's by a rounding.
    """
    graph = Int8Graph(flatbuffer.read(content))
    fold_shuffles(graph)
    for operator in [operator for operator in graph.operators if graph.is_int8(operator)]:
        name = graph.name(operator)
        if name == "ADD":
            _coarsen_constants(graph, operator)
        elif name == "MUL" and forms.h_sigmoid == "scale":
            _scale_instead_of_multiplying(graph, operator)
        elif name == "HARD_SWISH" and forms.h_swish == "add_mul":
            _add_and_multiply(graph, operator)
        elif name in _RELUS and forms.relu == "quantize":
            _clamp_by_limits(graph, operator)
        elif name == "AVERAGE_POOL_2D" and forms.average_pool == "depthwise":
            average_by_weights(graph, operator)
        elif name == "GELU" and forms.gelu == "logistic":
            gelu_by_logistic(graph, operator)
        elif _is_in_float(name, forms) and operator.outputs[0] not in graph.outputs:
            _compute_in_float(graph, operator)
    if forms.shuffle == "runs":
        shuffle_in_runs(graph)
    if forms.fill_groups:
        fill_groups(graph)
    if forms.stem_filters:
        _widen_stem(graph, forms.stem_filters)
    if forms.conv_version:
        _cap_version(graph, "CONV_2D", forms.conv_version)
    drop_unused(graph.model)
    return flatbuffer.write(graph.model)


def _cap_version(graph: Int8Graph, name: str, highest: int) -> None:
    """Lets operators of a kind ask for a version at most, where the runtime has one kernel for all of them."""
    number = getattr(schema.BuiltinOperator, name)
    for code in graph.model.operatorCodes:
        if flatbuffer.operator_code(code) == number:
            code.version = min(code.version, highest)


def _add_and_multiply(graph: Int8Graph, operator: Any) -> None:
    """h-swish(x) = x · ReLU6(x + 3) / 6 in two operators: u · clamp(u + 3k, 0, 6k) for u = k · x, k = 1/√6.

    k goes into the scale of what computes x. The upper end of the clamp costs nothing, since the int8 values of the sum
    end there; where x ends before, they end earlier. Where x's steps and 3 are whole numbers of some finer step, as
    calibration sees to (`hard_swish`), the sum has that step and no rounding: the result is the real function, rounded.
    """
    k = 1 / math.sqrt(6)
    x, result = int(operator.inputs[0]), int(operator.outputs[0])
    if not graph.scale_output(x, k):
        shape, (scale, zero_point) = graph.shape(x), graph.quantization(x)
        scaled = graph.add_activation("scaled", shape, scale * k, zero_point)
        graph.insert_int8("MUL", [x, graph.add_number(k, len(shape))], scaled, graph.place(operator))
        x = scaled
    step, zero_point = graph.quantization(x)
    three = graph.add_number(3 * k, len(graph.shape(x)))
    top = min(6 * k, step * (127 - zero_point) + 3 * k)
    if step / (top / 255) < ADD_SCALES[0]:
        # All of x lies within a quarter of a step around 0: the sum is 3 throughout.
        gate = three
    else:
        gate_step = _exact_step(step, 3 * k, top) or top / 255
        gate_zero = 127 - round(top / gate_step)
        gate = graph.add_activation("gate", graph.shape(x), gate_step, gate_zero)
        graph.insert_int8("ADD", [x, three], gate, graph.place(operator), _RELU)
    graph.insert_int8("MUL", [x, gate], result, graph.place(operator))
    graph.remove(operator)


def _exact_step(step: float, three: float, top: float) -> float | None:
    """The finest part of x's step of which 3 is a whole number, and 0 to `top` are 255 at most; None if none is."""
    for parts in range(int(255.1 * step / top), 0, -1):
        count = parts * three / step
        if math.isclose(count, round(count), rel_tol=1e-5):
            return step / parts
    return None


def _coarsen_constants(graph: Int8Graph, operator: Any) -> None:
    """Gives constants with steps that are finer than XNNPACK adds coarser ones, still a five-hundredth of the sum's.

    The position biases of attention are such where the scores are large.
    """
    finest = ADD_SCALES[0] * graph.quantization(int(operator.outputs[0]))[0]
    for tensor in map(int, operator.inputs):
        if graph.is_constant(tensor) and graph.quantization(tensor)[0] < finest:
            step, zero_point = graph.quantization(tensor)
            values = (graph.constant(tensor).astype(np.float64) - zero_point) * step / (2 * finest)
            data = np.clip(np.round(values), -127, 127).astype(np.int8)
            scales = parameters([2 * finest], 0)
            coarse = graph.add_tensor("coarse", data.shape, schema.TensorType.INT8, scales, data)
            operator.inputs = np.where(operator.inputs == tensor, coarse, operator.inputs).astype(np.int32)


def _scale_instead_of_multiplying(graph: Int8Graph, operator: Any) -> None:
    """Leaves out a product with a positive number where the scale of what computes the other factor can say the same.

    That is the sixth of hard-sigmoid: its ReLU6 ends with the int8 values, at 6 or before.
    """
    x, number = map(int, operator.inputs)
    factor = graph.number(number)
    if factor is None or factor <= 0 or operator.builtinOptions.fusedActivationFunction != _NONE:
        return
    result = int(operator.outputs[0])
    scale, zero_point = graph.quantization(x)
    same = zero_point == graph.quantization(result)[1] and math.isclose(
        scale * factor, graph.quantization(result)[0], rel_tol=1e-4
    )
    if same and graph.scale_output(x, factor):
        graph.maker(x).outputs = np.array([result], np.int32)
        graph.remove(operator)


def _clamp_by_limits(graph: Int8Graph, operator: Any) -> None:
    """A ReLU as a rounding to other steps, where the int8 values of its result begin at 0, and end where it does."""
    x, result = int(operator.inputs[0]), int(operator.outputs[0])
    (step, zero_point), top = graph.quantization(result), _RELUS[graph.name(operator)]
    if zero_point == -128 and (top is None or step * (127 - zero_point) <= top + step / 2):
        graph.insert("QUANTIZE", [x], result, graph.place(operator), version=2)
        graph.remove(operator)


def _is_in_float(name: str, forms: Forms) -> bool:
    return {"SOFTMAX": forms.softmax, "GELU": forms.gelu}.get(name) == "float"


def _compute_in_float(graph: Int8Graph, operator: Any) -> None:
    """Puts DEQUANTIZE before an operator of one input and QUANTIZE behind it."""
    x, result = int(operator.inputs[0]), int(operator.outputs[0])
    values, given = (graph.add_tensor("real", graph.shape(tensor), schema.TensorType.FLOAT32) for tensor in (x, result))
    graph.insert("DEQUANTIZE", [x], values, graph.place(operator), version=2)
    operator.inputs, operator.outputs = np.array([values], np.int32), np.array([given], np.int32)
    graph.insert("QUANTIZE", [given], result, graph.place(operator) + 1)


def _widen_stem(graph: Int8Graph, most_filters: int) -> None:
    """Lets the first convolution read groups of pixels as one, since its kernels want more channels than three.

    Height × width × 3 is height × width/columns × 3·columns in memory. At stride 2 a group gives columns/2 neighbouring
    results, which are computed as so many times the filters; their weights are zero where a pixel of the group is not
    theirs. "same" padding of an even width puts nothing on the left, so the groups begin with the image.
    """
    stem = next((operator for operator in graph.operators if graph.inputs[0] in operator.inputs), None)
    if stem is None or graph.name(stem) != "CONV_2D" or not graph.is_int8(stem) or not _widens(graph, stem):
        return
    image, weights, bias = map(int, stem.inputs)
    stride, out, shape = stem.builtinOptions.strideW, graph.shape(int(stem.outputs[0])), graph.shape(image)
    results = max(n for n in (1, 2, 4, 8) if out[2] % n == 0 and (n == 1 or n * out[3] <= most_filters))
    columns = results * stride
    kernel = graph.constant(weights)
    filters, height, width, channels = kernel.shape
    wide = np.zeros((results, filters, height, 2, columns, channels), np.int8)
    for result in range(results):
        for column in range(width):
            group, place = divmod(stride * result + column, columns)
            wide[result, :, :, group, place] = kernel[:, :, column]
    grouped = graph.reshape_before(stem, image, (*shape[:2], shape[2] // columns, columns * channels))
    weights = graph.add_repeated(weights, wide.reshape(-1, height, 2, columns * channels), results)
    bias = graph.add_repeated(bias, np.tile(graph.constant(bias), results), results)
    stem.inputs = np.array([grouped, weights, bias], np.int32)
    stem.builtinOptions.strideW = 1
    graph.reshape_after(stem, (*out[:2], out[2] // results, out[3] * results))


def _widens(graph: Int8Graph, stem: Any) -> bool:
    """Whether a convolution over groups of pixels gives the same sums, and no more than two groups enter each."""
    options, kernel = stem.builtinOptions, graph.shape(int(stem.inputs[1]))
    return (
        all(index >= 0 and graph.is_constant(int(index)) for index in stem.inputs[1:])
        and kernel[3] <= 4
        and options.padding == schema.Padding.SAME
        and options.dilationWFactor == 1
        and 1 < options.strideW == kernel[2] - 1  # then the only column of padding goes to the right
        and graph.shape(int(stem.inputs[0]))[2] % options.strideW == 0
    )
