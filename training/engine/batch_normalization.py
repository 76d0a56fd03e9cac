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
        gamma, beta = tf.convert_to_tensor(layer.gamma), tf.convert_to_tensor(layer.beta)
        outputs, mean, variance = normalized(inputs, gamma, beta, layer.epsilon)
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


def normalized(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float) -> tuple[tf.Tensor, ...]:
    """Batch normalization by the statistics of the batch, in TensorFlow's fused kernel.

    Args:
        x: N×H×W×C, float32, bfloat16 or float16.
        gamma: float32 C.
        beta: float32 C.
        epsilon: Added to the variance.

    Returns:
        The result, like x; mean and unbiased variance of the batch, float32 C.
    """
    empty = tf.zeros([0])
    return tf.raw_ops.FusedBatchNormV3(
        x=x, scale=gamma, offset=beta, mean=empty, variance=empty, epsilon=epsilon, is_training=True
    )[:3]


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
