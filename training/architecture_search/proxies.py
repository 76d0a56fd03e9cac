"""Zero-cost proxies: what an untrained network promises, from a few batches and no training.

SynFlow: Tanaka et al. 2020, arXiv:2006.05467, as a proxy: Abdelfattah et al. 2021, arXiv:2101.08134. NASWOT: Mellor et
al. 2021, arXiv:2006.04647, section 3. ZiCo: Li et al. 2023, arXiv:2301.11300, section 3.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from keras_mobilenets.graphs.flat_model import run
from keras_mobilenets.training.engine.batch_normalization import fused_batch_norm

PROXIES = ("synflow", "naswot", "zico")
_CURVES = ("relu", "relu6", "hard_silu", "silu")  # activations, and not gates or a softmax


def proxies(model: Any, batches: Sequence[tuple[Any, Any]]) -> dict[str, float]:
    """All of `PROXIES` of an untrained network; of each the higher is the better.

    Args:
        model: A Keras model that gives logits, on TensorFlow.
        batches: Two or more batches of (float32 images, integer labels).
    """
    return {
        "synflow": synflow(model),
        "naswot": naswot(model, batches[0][0]),
        "zico": zico(model, batches),
    }


def synflow(model: Any) -> float:
    """log Σ |θ · ∂R/∂θ| over the kernels θ, in absolute values, R the sum of the logits of an image of ones.

    Without batch normalization and activations, and in float64: R grows by the fan-in of each layer.
    """
    side = model.input_shape[1]
    kernels = [layer.kernel for layer in model.layers if hasattr(layer, "kernel")]
    values = {id(kernel): tf.abs(tf.cast(kernel.value, tf.float64)) for kernel in kernels}

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        x = args[0]
        if isinstance(layer, layers.DepthwiseConv2D):
            return tf.nn.depthwise_conv2d(x, values[id(layer.kernel)], [1, *layer.strides, 1], "SAME")
        if isinstance(layer, layers.Conv2D):
            return tf.nn.conv2d(x, values[id(layer.kernel)], layer.strides, "SAME")
        if isinstance(layer, layers.Dense):
            return x @ values[id(layer.kernel)]
        if isinstance(layer, layers.GlobalAveragePooling2D):
            return tf.reduce_mean(x, (1, 2), keepdims=layer.keepdims)
        if isinstance(layer, layers.Add):
            return tf.add_n(x)
        return x[0] if isinstance(layer, layers.Multiply) else x  # a gate is open

    with tf.GradientTape() as tape:
        tape.watch(list(values.values()))
        total = tf.reduce_sum(run(model, [tf.ones((1, side, side, 3), tf.float64)], call))
    gradients = tape.gradient(total, list(values.values()), unconnected_gradients="zero")
    flow = sum(float(tf.reduce_sum(w * g)) for w, g in zip(values.values(), gradients, strict=True))
    return float(np.log(flow))


def naswot(model: Any, images: Any) -> float:
    """log |det K| of the images' binary codes: which activations each of them turns on."""
    kernel = np.zeros((len(images), len(images)))

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal kernel
        if _is_curve(layer):
            code = tf.cast(tf.reshape(args[0], [len(images), -1]) > 0, tf.float32)
            kernel = kernel + tf.matmul(code, code, transpose_b=True).numpy()
            kernel = kernel + tf.matmul(1 - code, 1 - code, transpose_b=True).numpy()
        return layer(*args, **_training(layer, kwargs))

    with fused_batch_norm():
        run(model, [tf.convert_to_tensor(images)], call)
    return float(np.linalg.slogdet(kernel)[1])


def zico(model: Any, batches: Sequence[tuple[Any, Any]]) -> float:
    """Σ log Σ E|∂L/∂θ| / σ|∂L/∂θ| over the kernels, mean and deviation over the batches."""
    kernels = [layer.kernel for layer in model.layers if hasattr(layer, "kernel")]
    found = []
    for images, labels in batches:
        with fused_batch_norm(), tf.GradientTape() as tape:
            logits = model(images, training=True)
            loss = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
            loss = tf.reduce_mean(loss)
        gradients = tape.gradient(loss, [kernel.value for kernel in kernels])
        found.append([np.abs(np.asarray(gradient)).ravel() for gradient in gradients])
    total = 0.0
    for layer in zip(*found, strict=True):
        values = np.stack(layer)
        deviation = values.std(axis=0)
        moves = deviation > 0
        if moves.any():
            total += float(np.log(np.sum(values.mean(axis=0)[moves] / deviation[moves])))
    return total


def _is_curve(layer: Any) -> bool:
    if isinstance(layer, layers.ReLU):
        return True
    return isinstance(layer, layers.Activation) and getattr(layer.activation, "__name__", "") in _CURVES


def _training(layer: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    """What a layer is called with, batch normalization by the batch's own statistics."""
    return kwargs | {"training": True} if isinstance(layer, layers.BatchNormalization) else kwargs
