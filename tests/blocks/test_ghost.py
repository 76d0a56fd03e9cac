"""Ghost module, decoupled fully connected attention and nearest-neighbour enlargement against their formulas."""

import keras
import numpy as np
import pytest
from networks import randomize

from keras_mobilenets import UserError, blocks


def _weights(model):
    return {layer.name: [np.asarray(weight, np.float64) for weight in layer.get_weights()] for layer in model.layers}


def _normalized(x, weights, epsilon=1e-3):
    gamma, beta, mean, variance = weights
    return (x - mean) / np.sqrt(variance + epsilon) * gamma + beta


def _depthwise(x, kernel):
    """Every channel of a map with its own kernels, zeros around the map."""
    height, width, channels, multiplier = kernel.shape
    top, left = (height - 1) // 2, (width - 1) // 2
    padded = np.pad(x, ((0, 0), (top, top), (left, left), (0, 0)))
    parts = [
        padded[:, i : i + x.shape[1], j : j + x.shape[2], :, None] * kernel[i, j]
        for i in range(height)
        for j in range(width)
    ]
    return sum(parts).reshape(*x.shape[:3], channels * multiplier)


@pytest.mark.parametrize(("filters", "ratio"), [(8, 2), (9, 2), (10, 3)])
def test_a_ghost_module_computes_what_the_paper_says(filters, ratio):
    """The intrinsic maps, then the ghosts of each, as many as filters are asked for (section 3.1, equation 4)."""
    image = keras.Input((5, 6, 4))
    model = keras.Model(image, blocks.ghost_module(image, filters, ratio=ratio, name="ghost"))
    weights = _weights(randomize(model))
    x = np.random.default_rng(0).normal(size=(2, 5, 6, 4)).astype(np.float32)
    intrinsic = np.maximum(_normalized(x @ weights["ghost_primary"][0][0, 0], weights["ghost_primary_bn"]), 0)
    ghosts = _normalized(_depthwise(intrinsic, weights["ghost_cheap"][0]), weights["ghost_cheap_bn"])
    expected = np.concatenate([intrinsic, np.maximum(ghosts, 0)], -1)[..., :filters]
    assert model.output_shape == (None, 5, 6, filters)
    assert intrinsic.shape[-1] == -(-filters // ratio)
    np.testing.assert_allclose(model(x), expected, atol=1e-5)


def test_a_ghost_module_without_cheap_channels_is_an_error_of_one_line():
    with pytest.raises(UserError, match="ghost: ratio=1 leaves a ghost module no cheap channels; give 2 or more"):
        blocks.ghost_module(keras.Input((8, 8, 3)), 8, ratio=1, name="ghost")


def _enlarged(x, height, width):
    """Row i of H from row ⌊i · h / H⌋: torch.nn.functional.interpolate(mode="nearest")."""
    rows, columns = (np.arange(n) * size // n for n, size in zip((height, width), x.shape[1:3], strict=True))
    return x[:, rows][:, :, columns]


@pytest.mark.parametrize("size", [(6, 8), (7, 4), (1, 9)], ids=str)
@pytest.mark.parametrize("known", [True, False], ids=["known size", "open size"])
def test_attention_over_rows_and_columns_computes_what_the_paper_says(size, known):
    image = keras.Input((*(size if known else (None, None)), 3))
    model = keras.Model(image, blocks.dfc_attention(image, 5, name="gate"))
    assert known == all(type(layer).__module__.startswith("keras.") for layer in model.layers)
    if size[0] == 1 and not known:
        return  # how many pixels there are to average is known too late
    weights = _weights(randomize(model))
    x = np.random.default_rng(0).normal(size=(2, *size, 3)).astype(np.float32)
    half = [max(1, side // 2) for side in size]
    cut = x[:, : half[0] * min(2, size[0]), : half[1] * 2]
    gate = cut.reshape(2, half[0], -1, half[1], 2, 3).mean((2, 4)) @ weights["gate_pointwise"][0][0, 0]
    gate = _normalized(gate, weights["gate_pointwise_bn"])
    for direction in ("horizontal", "vertical"):
        gate = _normalized(_depthwise(gate, weights[f"gate_{direction}"][0]), weights[f"gate_{direction}_bn"])
    np.testing.assert_allclose(model(x), _enlarged(1 / (1 + np.exp(-gate)), *size), atol=1e-5)


@pytest.mark.parametrize("large", [(3, 4), (6, 8), (7, 9), (10, 4), (5, 7), (8, 11)], ids=str)
def test_a_map_is_enlarged_as_pytorch_does(large):
    small = (3, 4)
    inputs = [keras.Input((*small, 2)), keras.Input((*large, 1))]
    model = keras.Model(inputs, blocks.upsample_like(*inputs, name="up"))
    x = np.random.default_rng(0).normal(size=(2, *small, 2)).astype(np.float32)
    assert model.output_shape == (None, *large, 2)
    assert np.array_equal(np.asarray(model([x, np.zeros((2, *large, 1))])), _enlarged(x, *large))
    plain = all(big % size <= 1 for size, big in zip(small, large, strict=True))
    assert plain == all(type(layer).__module__.startswith("keras.") for layer in model.layers)
