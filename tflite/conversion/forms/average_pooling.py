"""An int8 average pooling by a depthwise convolution, since XNNPACK takes no AVERAGE_POOL_2D in int8."""

import math
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_mobilenets.tflite.conversion.forms.int8_operators import Int8Graph, parameters


def average_by_weights(graph: Int8Graph, operator: Any) -> None:
    """Computes an average by weights that are all 1, of a scale that divides by their number.

    At a border the average leaves out what lies beyond, where a convolution counts zeros: there its results are
    multiplied by the number of weights over that of places, which int8 holds exactly for windows up to 3×3.
    """
    pooling, x, result = operator.builtinOptions, int(operator.inputs[0]), int(operator.outputs[0])
    size, strides = (pooling.filterHeight, pooling.filterWidth), (pooling.strideH, pooling.strideW)
    before, behind, channels = graph.shape(x)[1:3], graph.shape(result)[1:3], graph.shape(x)[3]
    rows, columns = (
        _places(*sides, pooling.padding == schema.Padding.SAME)
        for sides in zip(before, behind, size, strides, strict=True)
    )
    shares = np.outer(size[0] / rows, size[1] / columns)
    clamp, place = pooling.fusedActivationFunction, graph.place(operator)
    graph.remove(operator)
    if np.any(shares != 1):
        sums = graph.add_activation("sums", graph.shape(result), *graph.quantization(x))
        factor = _factors(graph, shares, rows, columns)
        graph.insert_int8("MUL", [sums, factor], result, place, clamp)
        result, clamp = sums, schema.ActivationFunctionType.NONE
    step, count = graph.quantization(x)[0], math.prod(size)
    weights = graph.add_repeated_number(1, 1 / count, (1, *size, channels), schema.TensorType.INT8, axis=3)
    bias = graph.add_repeated_number(0, step / count, (channels,), schema.TensorType.INT32, axis=0)
    convolution = graph.insert("DEPTHWISE_CONV_2D", [x, weights, bias], result, place, version=3).builtinOptions
    convolution.strideH, convolution.strideW = strides
    convolution.padding, convolution.depthMultiplier = pooling.padding, 1
    convolution.fusedActivationFunction = clamp


def _places(before: int, behind: int, size: int, stride: int, pads: bool) -> np.ndarray:
    """How many places of one side of a map each window has."""
    padding = max((behind - 1) * stride + size - before, 0) // 2 if pads else 0
    first = np.arange(behind) * stride - padding
    return np.minimum(first + size, before) - np.maximum(first, 0)


def _factors(graph: Int8Graph, shares: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> int:
    """The factor of each position as a constant 1×height×width×1, in whole numbers of a step where 127 suffice."""
    parts = math.lcm(*map(int, rows)) * math.lcm(*map(int, columns))
    whole = np.round(shares * parts).astype(int)
    whole //= np.gcd.reduce(whole, axis=None)
    if whole.max() > 127:
        whole = np.round(shares * 127 / shares.max()).astype(int)
    step = float(shares.max() / whole.max())
    data = whole.astype(np.int8)[None, :, :, None]
    return graph.add_tensor("shares", data.shape, schema.TensorType.INT8, parameters([step], 0), data)
