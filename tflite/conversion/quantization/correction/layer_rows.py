"""What a layer with weights reads, as rows: one for each place whose result it computes."""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema


def layer_rows(operator: Any, kernel: tuple[int, ...], values: np.ndarray, count: int, seed: int) -> np.ndarray:
    """The inputs of some results of a convolution or a dense layer.

    Args:
        operator: CONV_2D, DEPTHWISE_CONV_2D or FULLY_CONNECTED.
        kernel: Shape of its weights as they are stored.
        values: What it reads, float32 N×…; of a convolution N×H×W×C, or N×images×H×W×C where each sample has several,
            such as the frames of a clip.
        count: Rows at most, about; the same places of every sample.
        seed: Of the places that are drawn.

    Returns:
        float32 rows×taps×C: of a dense layer one tap.
    """
    if len(kernel) == 2:
        return values.reshape(-1, 1, kernel[1])
    values = values.reshape(-1, *values.shape[-3:])
    options, (samples, height, width, channels) = operator.builtinOptions, values.shape
    same = options.padding == schema.Padding.SAME
    rows, top = _extent(height, kernel[1], options.strideH, options.dilationHFactor, same)
    columns, left = _extent(width, kernel[2], options.strideW, options.dilationWFactor, same)
    places = np.arange(rows * columns)
    wanted = max(1, count // samples)
    if len(places) > wanted:
        places = np.sort(np.random.default_rng(seed).choice(places, wanted, replace=False))
    result = np.zeros((samples, len(places), kernel[1] * kernel[2], channels), np.float32)
    for tap in range(kernel[1] * kernel[2]):
        y = places // columns * options.strideH - top + tap // kernel[2] * options.dilationHFactor
        x = places % columns * options.strideW - left + tap % kernel[2] * options.dilationWFactor
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        result[:, inside, tap] = values[:, y[inside], x[inside]]
    return result.reshape(-1, *result.shape[2:])


def _extent(size: int, kernel: int, stride: int, dilation: int, same: bool) -> tuple[int, int]:
    """How many results there are along an axis, and the zeros before it."""
    reach = dilation * (kernel - 1) + 1
    if not same:
        return (size - reach) // stride + 1, 0
    results = -(-size // stride)
    return results, max((results - 1) * stride + reach - size, 0) // 2
