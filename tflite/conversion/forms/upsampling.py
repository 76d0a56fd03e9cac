"""Nearest-neighbour upsampling in operators that every target takes in int8 and in float.

Keras repeats rows and columns by TILE in five dimensions, which XNNPACK, NNAPI and the GPU delegate all leave to the
CPU; XNNPACK takes no RESIZE_NEAREST_NEIGHBOR either. A CONCATENATION of a map with itself, seen in another shape, gives
the same values: side by side, rows are rows of twice the height; on top of each other, channels are columns.
"""

from typing import Any

import keras
from keras import layers

from keras_mobilenets.graphs.flat_model import run


def with_concatenated_copies(model: keras.Model) -> keras.Model:
    """The same functional model, with its weights and names, in which copies are made by concatenation."""
    if not any(_repeats(layer) for layer in model.layers):
        return model

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        replaced = _Copies(layer.size, name=layer.name) if _repeats(layer) else layer
        return replaced(*args, **kwargs)

    inputs = [keras.Input(batch_shape=x.shape, dtype=x.dtype, name=x.name) for x in model.inputs]
    outputs = run(model, inputs, call)
    return keras.Model(keras.tree.pack_sequence_as(model._inputs_struct, inputs), outputs, name=model.name)


def _repeats(layer: Any) -> bool:
    return (
        isinstance(layer, layers.UpSampling2D)
        and layer.interpolation == "nearest"
        and layer.data_format == "channels_last"
    )


class _Copies(layers.Layer):
    """What UpSampling2D computes, at a known size."""

    def __init__(self, size: tuple[int, int], **kwargs: Any):
        super().__init__(**kwargs)
        self.size = size

    def call(self, x: Any) -> Any:
        for factor in _prime_factors(self.size[0]):
            batch, height, width, channels = keras.ops.shape(x)
            x = keras.ops.concatenate([x] * factor, axis=2)
            x = keras.ops.reshape(x, (batch, height * factor, width, channels))
        for factor in _prime_factors(self.size[1]):
            batch, height, width, channels = keras.ops.shape(x)
            x = keras.ops.concatenate([x] * factor, axis=3)
            x = keras.ops.reshape(x, (batch, height, width * factor, channels))
        return x

    def compute_output_shape(self, shape: Any) -> Any:
        sides = (None if side is None else side * factor for side, factor in zip(shape[1:3], self.size, strict=True))
        return (shape[0], *sides, shape[3])


def _prime_factors(number: int) -> list[int]:
    """XNNPACK concatenates five maps at most."""
    for factor in range(2, number + 1):
        if number % factor == 0:
            return [factor, *_prime_factors(number // factor)]
    return []
