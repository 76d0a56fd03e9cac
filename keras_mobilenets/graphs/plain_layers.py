"""Plain layers in place of operations on tensors: people write `x + 3.0` and `keras.ops.relu(x)`."""

from typing import Any

import keras
import numpy as np
from keras import layers

from keras_mobilenets.graphs.flat_model import calls, flat_model, run

_MERGES = {
    "Add": layers.Add,
    "Maximum": layers.Maximum,
    "Minimum": layers.Minimum,
    "Multiply": layers.Multiply,
    "Subtract": layers.Subtract,
}
_ACTIVATIONS = {
    "HardSigmoid": "hard_sigmoid",
    "HardSilu": "hard_silu",
    "Relu": "relu",
    "Relu6": "relu6",
    "Sigmoid": "sigmoid",
    "Silu": "silu",
    "Tanh": "tanh",
}


def plain_model(model: Any) -> keras.Model:
    """The same network, without models inside it, in which layers stand for arithmetic and activations.

    Args:
        model: As for `flat_model`.

    Returns:
        A functional model of the same layers, which share their weights. A factor and an addend become a Rescaling of
        the operation's name; operations that have no such layer stay. A layer without weights, such as a ReLU, that is
        used again becomes a copy of another name.

    Raises:
        UserError: As `flat_model`.
    """
    flat = flat_model(model)
    found = [call.layer for call in calls(flat)]
    is_plain = all(isinstance(part, layers.Layer) for part in found)
    if is_plain and len({id(part) for part in found if not part.weights}) == sum(not part.weights for part in found):
        return flat
    used: set[int] = set()
    names = {layer.name for layer in flat.layers}

    def call(part: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(part, layers.Layer):
            again = id(part) in used and not part.weights
            used.add(id(part))
            layer = type(part).from_config(part.get_config()) if again else part
        else:
            layer = None if kwargs else _plain_layer(part, args)
        if layer is None or layer is part:
            return part(*args, **kwargs)
        layer.name = part.name
        while layer.name in names:
            layer.name += "_"
        names.add(layer.name)
        if isinstance(part, layers.Layer):
            return layer(*args, **kwargs)
        tensors = [x for x in args if keras.backend.is_keras_tensor(x)]
        return layer(tensors if len(tensors) > 1 else tensors[0])

    inputs = [keras.Input(batch_shape=x.shape, dtype=x.dtype, name=x.name) for x in flat.inputs]
    outputs = run(flat, inputs, call)
    return keras.Model(keras.tree.pack_sequence_as(flat.input, inputs), outputs, name=flat.name)


def _plain_layer(operation: Any, args: tuple[Any, ...]) -> Any:
    kind = type(operation).__name__
    is_tensor = [keras.backend.is_keras_tensor(x) for x in args]
    if kind in _ACTIVATIONS and is_tensor == [True]:
        return layers.Activation(_ACTIVATIONS[kind])
    if kind == "Softmax" and is_tensor == [True]:
        return layers.Softmax(operation.axis)
    if kind in _MERGES and is_tensor == [True, True] and len(args[0].shape) == len(args[1].shape):
        return _MERGES[kind]()
    if sorted(is_tensor) != [False, True]:
        return None
    tensor, constant = args if is_tensor[0] else args[::-1]
    constant = np.asarray(constant, np.float64)
    if constant.size != 1 and not constant.size == constant.shape[-1] == tensor.shape[-1]:
        return None
    constant = constant.reshape(-1) if constant.size > 1 else constant.item()
    if kind == "Multiply":
        return layers.Rescaling(constant)
    if kind in ("Divide", "TrueDivide") and is_tensor[0]:
        return layers.Rescaling(1 / constant)
    if kind == "Add":
        return layers.Rescaling(1.0, constant)
    if kind == "Subtract":
        return layers.Rescaling(1.0, -constant) if is_tensor[0] else layers.Rescaling(-1.0, constant)
    return None
