"""Mixed precision while a model trains, and float32 in its place while it is saved or converted."""

import contextlib
import importlib
import warnings
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from keras_mobilenets.errors import UserError
from keras_mobilenets.graphs.flat_model import calls, flat_model

COMPUTE_CAPABILITY = {"bfloat16": (8, 0), "float16": (7, 0)}  # of NVIDIA's GPUs


@contextlib.contextmanager
def mixed_precision(model: Any, name: str) -> Iterator[None]:
    """Mixed precision inside the block: layers compute in another dtype, weights stay float32.

    Global average pooling and the head, a classifier or the convolutions that say a detector's boxes and scores, stay
    in float32 (arXiv:1710.03740, section 3.3).

    Args:
        model: A Keras 3 model whose layers are in float32; any model where `name` is "float32".
        name: "float32", "bfloat16" or "float16".

    Raises:
        UserError: There is no GPU that computes in float16.
    """
    if name == "float32":
        yield
        return
    _check_hardware(name)
    _set_policy(model, f"mixed_{name}")
    try:
        yield
    finally:
        _set_policy(model, "float32")


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


def _set_policy(model: Any, policy: str) -> None:
    head = _head(model) if policy != "float32" else []
    for layer in list(model._flatten_layers()):
        in_float32 = layer in head or type(layer).__name__ in ("GlobalAveragePooling2D", "Softmax")
        layer.dtype_policy = "float32" if in_float32 else policy


def _head(model: keras.Model) -> list[Any]:
    """On every way to the outputs the last layer that has weights, and the layers behind it."""
    flat = flat_model(model)
    head, read = [], set(map(id, flat.outputs))
    for call in reversed(calls(flat)):
        if not read.isdisjoint(map(id, call.outputs)):
            head.append(call.layer)
            if not getattr(call.layer, "weights", None):
                read.update(map(id, call.inputs))
    return head


def _check_hardware(name: str) -> None:
    gpus = _gpus()
    for gpu, capability in gpus.items():
        if capability < COMPUTE_CAPABILITY[name]:
            raise UserError(f"precision: {gpu} does not compute in {name}; give float32")
    if not gpus and name == "float16":
        library = "JAX" if keras.backend.backend() == "jax" else "TensorFlow"
        raise UserError(f"precision: float16 is for GPUs, and {library} sees none; give bfloat16 or float32")
    if not gpus:  # 1.9 times the time of float32 for MobileNetV2 on a CPU with AMX
        warnings.warn(
            "precision: on a CPU, TensorFlow trains mobile models slower in bfloat16 than in float32", stacklevel=2
        )


def _gpus() -> dict[str, tuple[int, ...]]:
    """The GPUs of the model's backend, with their compute capabilities."""
    if keras.backend.backend() == "jax":
        jax = importlib.import_module("jax")
        devices = [device for device in jax.local_devices() if device.platform in ("gpu", "cuda")]
        return {str(device): tuple(map(int, device.compute_capability.split("."))) for device in devices}
    details = tf.config.experimental.get_device_details
    gpus = tf.config.list_physical_devices("GPU")
    return {gpu.name: details(gpu).get("compute_capability", (0, 0)) for gpu in gpus}


def _float32(policy: Any) -> keras.DTypePolicy:
    made = keras.DTypePolicy("float32")
    made._variable_dtype = policy.variable_dtype  # weights of another dtype are cast when they are read
    return made


def _assign(layer: Any, policy: Any) -> None:
    if isinstance(layer, keras.layers.Layer):
        layer.dtype_policy = policy
    else:
        layer._set_dtype_policy(policy)
