"""A mixed-precision model that computes in float32 for a while."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras


@contextlib.contextmanager
def float32(model: Any) -> Iterator[None]:
    """Lets the layers of a Keras 3 or tf_keras model compute in float32, whatever their dtype policy says.

    TensorFlow Lite has no float16, bfloat16 or float64 kernels. The policies are back at the end.
    """
    before = []
    for layer in model._flatten_layers():
        if layer.compute_dtype in ("float16", "bfloat16", "float64"):
            before.append((layer, layer._dtype_policy))
    try:
        for layer, policy in before:
            _assign(layer, _float32(policy) if isinstance(layer, keras.layers.Layer) else "float32")
        yield
    finally:
        for layer, policy in before:
            _assign(layer, policy)


def _float32(policy: Any) -> keras.DTypePolicy:
    made = keras.DTypePolicy("float32")
    made._variable_dtype = policy.variable_dtype  # weights of another dtype are cast when they are read
    return made


def _assign(layer: Any, policy: Any) -> None:
    if isinstance(layer, keras.layers.Layer):
        layer.dtype_policy = policy
    else:
        layer._set_dtype_policy(policy)
