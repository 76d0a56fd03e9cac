"""An ONNX model in float16, its input and output still in float32: fp16 as a strongly typed network says it."""

import warnings
from typing import Any


def halve(model: Any) -> None:
    """Changes a float model: weights and activations become float16.

    A weight too small for float16 becomes its smallest number, one too large its greatest.

    Args:
        model: The ONNX model.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with warnings.catch_warnings(action="ignore"):  # of every weight that is rounded to the smallest number
        model.CopyFrom(convert_float_to_float16(model, keep_io_types=True))
