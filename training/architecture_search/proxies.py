"""Zero-cost proxies: what an untrained network promises, from a few batches and no training.

SynFlow: Tanaka et al. 2020, arXiv:2006.05467, as a proxy: Abdelfattah et al. 2021, arXiv:2101.08134. NASWOT: Mellor et
al. 2021, arXiv:2006.04647, section 3. AZ-NAS: Lee and Ham 2024, arXiv:2403.19232, section 3.
"""

import re
from typing import Any

import numpy as np
import tensorflow as tf
from keras import layers

from keras_mobilenets.graphs.flat_model import run
from keras_mobilenets.training.engine.batch_normalization import fused_batch_norm

_CURVES = ("relu", "relu6", "hard_silu", "silu")  # activations, and not gates or a softmax
_BLOCK = re.compile(r"stem|block_\d+|head")


def proxies(model: Any, images: Any) -> dict[str, float]:
    """The proxies of an untrained network by name; of each the higher is the better.

    Args:
        model: A Keras model that gives logits, on TensorFlow.
        images: One batch, as the model takes it.
    """
    return {"synflow": synflow(model), "naswot": naswot(model, images), **az_nas(model, images)}


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


def az_nas(model: Any, images: Any, seed: int = 0) -> dict[str, float]:
    """Two proxies of what the blocks of a network make of images.

    progressivity: the least that the entropy of their outputs' principal components grows by from a block to the next.
    trainability: the mean over the blocks of 2 − σ − 1/σ, which is 0 where σ = 1, the largest singular value of
    E[g hᵀ], h random signs at a block's output and g their gradient at its input. The paper's third, expressivity, is
    the sum of those entropies: it counts blocks, as SynFlow does (Kendall's tau with their number 0.93 and 0.85).

    Args:
        model: A network whose layers are named after its blocks: stem, block_0 and on, head.
        images: One batch, as the network takes it.
        seed: Of the signs.
    """
    ends = {found[0]: layer.name for layer in model.layers if (found := _BLOCK.match(layer.name))}.values()
    generator, outputs, inputs, flow = np.random.default_rng(seed), [], [], []
    with fused_batch_norm(), tf.GradientTape() as tape:

        def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
            x = layer(*args, **_training(layer, kwargs))
            if layer.name not in ends:
                return x
            signs = tf.constant(2.0 * generator.integers(2, size=x.shape) - 1, x.dtype)
            outputs.append((x, signs))
            flow.append(tf.reduce_sum(x * signs))
            inputs.append(tf.stop_gradient(x))  # of the next block, so that each has its own gradient
            tape.watch(inputs[-1])
            return inputs[-1]

        run(model, [tf.convert_to_tensor(images)], call)
        total = tf.add_n(flow)
    gradients = tape.gradient(total, inputs[:-1])
    entropies = [_entropy(_rows(x)) for x, _ in outputs]
    norms = [_norm(gradient, signs) for gradient, (_, signs) in zip(gradients, outputs[1:], strict=True)]
    return {
        "progressivity": float(np.diff(entropies).min()),
        "trainability": float(np.mean([2 - norm - 1 / (norm + 1e-6) for norm in norms])),
    }


def _rows(x: Any) -> np.ndarray:
    """Places by channels."""
    return np.asarray(x, np.float64).reshape(-1, x.shape[-1])


def _entropy(rows: np.ndarray) -> float:
    """Of the shares that the principal components have in the variance."""
    rows = rows - rows.mean(axis=0)
    gram = rows.T @ rows if len(rows) >= rows.shape[1] else rows @ rows.T  # the same components but zeros
    shares = np.linalg.eigvalsh(gram).clip(0)
    shares = shares / max(shares.sum(), 1e-30)
    return float(-(shares * np.log(shares + 1e-8)).sum())


def _norm(gradient: Any, signs: Any) -> float:
    """The largest singular value of the mean over the places at a block's output, input places beside each other."""
    strides = gradient.shape[1] // signs.shape[1]
    if strides > 1:
        gradient = tf.nn.space_to_depth(gradient, strides)
    return float(np.linalg.norm(_rows(gradient).T @ _rows(signs), 2) / signs[..., 0].numpy().size)


def _is_curve(layer: Any) -> bool:
    if isinstance(layer, layers.ReLU):
        return True
    return isinstance(layer, layers.Activation) and getattr(layer.activation, "__name__", "") in _CURVES


def _training(layer: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    """What a layer is called with, batch normalization by the batch's own statistics."""
    return kwargs | {"training": True} if isinstance(layer, layers.BatchNormalization) else kwargs
