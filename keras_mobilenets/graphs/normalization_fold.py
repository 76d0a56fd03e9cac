"""Batch normalizations in the layers before them, where no converter does it: between a sum and its normalization, say.

A layer that takes one in has a method `rescaled`: the layer, and its weights, with other factors and offsets of the
channels that it gives.
"""

from collections import Counter
from typing import Any

import keras

from keras_mobilenets.graphs.flat_model import calls, run
from keras_mobilenets.graphs.linear_layers import normalization


def folded_normalizations(model: keras.Model) -> keras.Model:
    """Makes one of every layer that takes in a normalization and the batch normalization that alone reads it.

    Args:
        model: A functional model; it is left as it is.

    Returns:
        A model with the same outputs in inference up to rounding; the model itself where there is nothing to fold.
    """
    parts = calls(model)
    readers = Counter(id(x) for x in [*(x for call in parts for x in call.inputs), *model.outputs])
    times = Counter(id(call.layer) for call in parts)
    makers = {id(x): call.layer for call in parts for x in call.outputs if hasattr(call.layer, "rescaled")}
    taken: dict[int, Any] = {}  # by the layer that takes it in, and by its own
    for call in parts:
        source = id(call.inputs[0]) if call.inputs else 0
        affine = normalization(call.layer)
        if affine is None or source not in makers or readers[source] > 1:
            continue
        if times[id(call.layer)] == times[id(makers[source])] == 1:
            taken[id(makers[source])], taken[id(call.layer)] = affine, None
    if not taken:
        return model

    def place(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if id(layer) not in taken:
            return layer(*args, **kwargs)
        if taken[id(layer)] is None:
            return args[0]
        made, weights = layer.rescaled(*taken[id(layer)])
        y = made(*args, **kwargs)
        made.set_weights(weights)
        return y

    inputs = [keras.Input(batch_shape=x.shape, dtype=x.dtype, name=x.name) for x in model.inputs]
    outputs = run(model, inputs, place)
    return keras.Model(keras.tree.pack_sequence_as(model._inputs_struct, inputs), outputs, name=model.name)
