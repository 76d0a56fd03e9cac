"""Batch normalization: TensorFlow's fused kernel in training, and moving statistics estimated from images.

Keras 3 computes the training step of BatchNormalization by separate operators, which take more than half of the time
of a MobileNet's step on a CPU. TensorFlow's fused kernel gives the same numbers.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf


@contextlib.contextmanager
def fused_batch_norm() -> Iterator[None]:
    """Lets BatchNormalization layers train through TensorFlow's fused kernel inside the block.

    Layers that it does not fit (frozen, masked, synchronized, not over the last axis of images, without scale or
    centre) and every backend but TensorFlow work as they always do.
    """
    if keras.backend.backend() != "tensorflow":
        yield
        return
    plain = keras.layers.BatchNormalization.call

    def call(layer: Any, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        if not (training and layer.trainable and mask is None and _fits(layer, inputs)):
            return plain(layer, inputs, training=training, mask=mask)
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=tf.convert_to_tensor(layer.gamma),
            offset=tf.convert_to_tensor(layer.beta),
            mean=tf.zeros([0]),
            variance=tf.zeros([0]),
            epsilon=layer.epsilon,
            is_training=True,
        )
        count = tf.cast(tf.size(inputs) // inputs.shape[-1], tf.float32)
        biased = variance * ((count - 1) / count)  # Keras keeps the biased variance, the kernel returns the other
        for moving, batch in ((layer.moving_mean, mean), (layer.moving_variance, biased)):
            moving.assign(moving * layer.momentum + batch * (1 - layer.momentum))
        return outputs

    keras.layers.BatchNormalization.call = call
    try:
        yield
    finally:
        keras.layers.BatchNormalization.call = plain


def estimate_statistics(model: Any, images: Any) -> Any:
    """Sets the moving mean and variance of every BatchNormalization layer to those of one batch of images.

    Args:
        model: A Keras 3 model; its momenta stay as they are.
        images: float32 N×H×W×3, as the model takes them.

    Returns:
        The same model.
    """
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0
    model(images, training=True)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum
    return model


def _fits(layer: Any, inputs: Any) -> bool:
    return (
        len(inputs.shape) == 4
        and layer.axis in (-1, 3)
        and layer.center
        and layer.scale
        and not layer.synchronized
        and layer.compute_dtype in ("float32", "bfloat16", "float16")  # the statistics are float32 in any case
    )
