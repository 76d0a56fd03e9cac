"""TensorFlow operators in Keras 2 models as plain Keras 3 layers: `x / 127.5 - 1` in a model is two of them.

Keras 2 keeps an operator on a tensor as a layer of the class TFOpLambda, with what else it was called with in its node.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

_ARITHMETIC = {
    "__operators__.add": "add",
    "math.add": "add",
    "math.subtract": "subtract",
    "math.multiply": "multiply",
    "math.divide": "divide",
    "math.truediv": "divide",
}
_MERGES = {"add": keras.layers.Add, "subtract": keras.layers.Subtract, "multiply": keras.layers.Multiply}
_ACTIVATIONS = {
    "nn.relu": "relu",
    "nn.relu6": "relu6",
    "nn.sigmoid": "sigmoid",
    "math.sigmoid": "sigmoid",
    "nn.silu": "silu",
    "nn.softmax": "softmax",
    "math.tanh": "tanh",
    "nn.tanh": "tanh",
}


def plain_layer(operator: Any) -> Any:
    """The Keras 3 layer that computes what a TFOpLambda does; None where there is none."""
    (node, *_), kind = operator._inbound_nodes, operator.get_config()["function"]
    given = [*node.call_args, *(value for key, value in node.call_kwargs.items() if key != "name")]
    given = [value for value in given if value is not None]
    constants = [value for value in given if not hasattr(value, "_keras_history")]
    if kind in _ACTIVATIONS and not constants:
        return keras.layers.Activation(_ACTIVATIONS[kind], name=operator.name)
    name = _ARITHMETIC.get(kind)
    if name is None or len(given) != 2:
        return None
    if not constants:
        return _MERGES[name](name=operator.name) if name in _MERGES else None
    value, is_first = np.asarray(constants[0]), not hasattr(given[0], "_keras_history")
    if len(constants) > 1 or value.ndim > 1 or value.dtype.kind not in "iuf" or (name == "divide" and is_first):
        return None
    scale, offset = _AFFINE[name](value.astype("float64"), is_first)
    return keras.layers.Rescaling(np.asarray(scale).tolist(), np.asarray(offset).tolist(), name=operator.name)


_AFFINE: dict[str, Callable[[Any, bool], tuple[Any, Any]]] = {
    "add": lambda value, is_first: (1.0, value),
    "subtract": lambda value, is_first: (-1.0, value) if is_first else (1.0, -value),
    "multiply": lambda value, is_first: (value, 0.0),
    "divide": lambda value, is_first: (1 / value, 0.0),
}
