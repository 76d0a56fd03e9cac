"""The ConvNeXt block against its formula in NumPy."""

import math

import keras
import numpy as np
from networks import randomize

from keras_mobilenets import blocks


def test_a_block_computes_what_the_paper_says():
    """x + γ · W₂ gelu(W₁ LN(depthwise(x))): figure 4, with the exact GELU of the reference implementation."""
    image = keras.Input((6, 5, 4))
    model = randomize(keras.Model(image, blocks.convnext_block(image, kernel_size=3, layer_scale=0.7, name="b")))
    weights = {layer.name.removeprefix("b_"): [np.asarray(w) for w in layer.weights] for layer in model.layers}
    x = np.random.default_rng(0).normal(size=(6, 5, 4)).astype(np.float32)
    kernel, bias = weights["depthwise"]
    padded = np.pad(x, [(1, 1), (1, 1), (0, 0)])
    y = bias + sum(padded[i : i + 6, j : j + 5] * kernel[i, j, :, 0] for i in range(3) for j in range(3))
    gamma, beta = weights["norm"]
    y = (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-6) * gamma + beta
    y = y @ weights["expand"][0][0, 0] + weights["expand"][1]
    assert y.shape[-1] == 16
    y = y * (1 + np.vectorize(math.erf)(y / math.sqrt(2))) / 2
    y = y @ weights["project"][0][0, 0] + weights["project"][1]
    np.testing.assert_allclose(np.asarray(model(x[None]))[0], x + 0.7 * y, atol=1e-5)
