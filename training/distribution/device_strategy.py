"""Data parallelism over all devices of this machine, or over those of several processes.

On TensorFlow, `tf.distribute.MirroredStrategy`; on JAX, `keras.distribution.DataParallel`. Both need a model built in
their scope, so that a copy trains; loss, metrics and batch normalization statistics are those of the global batch.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_mobilenets.errors import UserError
from keras_mobilenets.training.datasets.dataset import Data
from keras_mobilenets.training.distribution import broadcast, process_group


@contextlib.contextmanager
def distribute(model: Any, batch_size: int) -> Iterator[Any]:
    """Yields the model to train: a copy on all devices where there are several, otherwise the model itself.

    Args:
        model: Functional, of Keras 3; one of tf_keras trains on one device.
        batch_size: Global batch size.

    Raises:
        UserError: The batch size is no multiple of the number of devices, or several processes train a tf_keras model.
    """
    if not isinstance(model, keras.Model):
        process_group.require_single("a tf_keras model")
        yield model
        return
    names = _devices()
    if len(names) % process_group.shard()[1]:
        raise UserError(f"{len(names)} devices for {process_group.shard()[1]} processes; give each the same number")
    if len(names) == 1:
        yield model
        return
    if batch_size % len(names):
        raise UserError(f"batch_size={batch_size} cannot be shared by {len(names)} devices; give a multiple of that")
    with process_group.collective(), _scope(names):
        broadcast_weights(model)
        copy = keras.models.clone_model(model, clone_function=_clone)
        _assign(copy, model)
        yield copy


def copy_weights(copy: Any, model: Any) -> None:
    """Copies the weights of a copy back to the model that it was made from."""
    if copy is not model:
        _assign(model, copy)


def broadcast_weights(model: Any) -> None:
    """Gives a model the weights it has in process 0."""
    if process_group.shard()[1] > 1:
        values = broadcast.from_first(lambda: [np.array(variable) for variable in model.variables])
        for variable, value in zip(model.variables, values, strict=True):
            variable.assign(value)


def is_data_parallel() -> bool:
    """Whether JAX shards batches over several devices, as inside `distribute`: no batch may be partial."""
    return keras.distribution.distribution() is not None


def validation(data: Data) -> Any:
    """The validation split for a model inside `distribute`, or this process's shard of it."""
    return data.validation_share(*process_group.shard()) if is_data_parallel() else data.validation


def _devices() -> list[str]:
    if keras.backend.backend() == "jax":
        return keras.distribution.list_devices()
    if keras.backend.backend() != "tensorflow":
        return [""]
    return [device.name for device in tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")]


def _scope(names: list[str]) -> contextlib.AbstractContextManager:
    if keras.backend.backend() == "jax":
        return keras.distribution.DataParallel(devices=names, auto_shard_dataset=False).scope()
    return tf.distribute.MirroredStrategy(names).scope()


def _clone(layer: Any) -> Any:
    """A copy of a layer; batch normalization is synchronized over all devices, as it is on JAX anyway."""
    config = layer.get_config()
    if isinstance(layer, keras.layers.BatchNormalization) and keras.backend.backend() == "tensorflow":
        config["synchronized"] = True
    if hasattr(layer, "seed_generator") and config.get("rate") == 0:
        config["rate"] = 0.5  # a recipe has set the rate to 0, with which a copy would have no random state
    copy = layer.__class__.from_config(config)
    for name in ("rate", "rate_at_end"):
        if hasattr(layer, name):
            setattr(copy, name, getattr(layer, name))
    return copy


def _assign(model: Any, values: Any) -> None:
    for variable, value in zip(model.variables, values.variables, strict=True):
        variable.assign(np.array(value))  # a copy: on JAX, a step donates the buffers of its variables
