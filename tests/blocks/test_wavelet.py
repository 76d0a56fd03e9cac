"""The wavelet convolution against the paper's formulas in NumPy, and its receptive field."""

import keras
import numpy as np
import pytest
from networks import randomize

from keras_mobilenets import UserError, blocks

HIGH, LOW = np.array([1, -1]) / np.sqrt(2), np.array([1, 1]) / np.sqrt(2)
ORTHOGONAL = {"ll": (LOW, LOW), "lh": (HIGH, LOW), "hl": (LOW, HIGH), "hh": (HIGH, HIGH)}  # over rows, over columns


def _model(size, channels=3, **arguments):
    image = keras.Input((*size, channels))
    return randomize(keras.Model(image, blocks.wavelet_conv(image, name="wt", **arguments)), kernels=False)


def _depthwise(x, kernel):
    """A convolution by one kernel a channel that keeps the size; kernel (side, side, channels, 1)."""
    side = kernel.shape[0]
    padded = np.pad(x, [(side // 2, side // 2)] * 2 + [(0, 0)])
    height, width = x.shape[:2]
    return sum(padded[i : i + height, j : j + width] * kernel[i, j, :, 0] for i in range(side) for j in range(side))


def _expected(model, x, levels):
    """Algorithm of section 3.2 with the orthogonal Haar pair of equation 4."""
    weights = {layer.name.removeprefix("wt_"): [np.asarray(w) for w in layer.weights] for layer in model.layers}
    kernel, bias = weights["base"]
    result = (_depthwise(x, kernel) + bias) * weights["base_scale"][0].ravel()
    low, stack = x, []
    for level in range(1, levels + 1):
        size = low.shape[:2]
        even = np.pad(low, [(0, size[0] % 2), (0, size[1] % 2), (0, 0)])
        bands = {
            band: np.einsum(
                "iajbc,a,b->ijc", even.reshape(even.shape[0] // 2, 2, even.shape[1] // 2, 2, -1), rows, columns
            )
            for band, (rows, columns) in ORTHOGONAL.items()
        }
        low = bands["ll"]
        stack.append((size, {
            band: _depthwise(values, weights[f"{level}_{band}"][0]) * weights[f"{level}_{band}_scale"][0].ravel()
            for band, values in bands.items()
        }))  # fmt: skip
    added = 0
    for size, bands in reversed(stack):
        bands["ll"] = bands["ll"] + added
        squares = sum(np.einsum("ijc,a,b->iajbc", bands[b], *ORTHOGONAL[b]) for b in bands)
        height, width = bands["ll"].shape[:2]
        added = squares.reshape(2 * height, 2 * width, -1)[: size[0], : size[1]]
    return result + added


@pytest.mark.parametrize(
    ("size", "kernel_size", "levels", "strides"),
    [((16, 16), 5, 3, 1), ((13, 10), 3, 2, 1), ((7, 9), 5, 4, 1), ((11, 8), 5, 2, 2), ((8, 8), 7, 1, 2)],
)
def test_it_computes_what_the_paper_says(size, kernel_size, levels, strides):
    model = _model(size, kernel_size=kernel_size, levels=levels, strides=strides)
    for layer in model.layers:
        if layer.name.endswith("_scale"):
            layer.set_weights([np.random.default_rng(1).uniform(0.5, 1.5, layer.weights[0].shape)])
    image = np.random.default_rng(0).normal(size=(*size, 3)).astype(np.float32)
    found = np.asarray(model(image[None]))[0]
    expected = _expected(model, image, levels)[::strides, ::strides]
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_an_open_input_size_gives_the_same():
    known, free = _model((11, 14), levels=3), _model((None, None), levels=3)
    free.set_weights(known.get_weights())
    image = np.random.default_rng(0).normal(size=(2, 11, 14, 3)).astype(np.float32)
    np.testing.assert_allclose(free(image), known(image), atol=1e-5)


def test_the_transform_is_not_trained_and_survives_its_configuration():
    model = _model((8, 8), levels=1)
    again = keras.models.clone_model(model)
    for name in ("wt_1_ll_haar", "wt_1_hh_haar"):
        assert not model.get_layer(name).trainable_weights
        assert not again.get_layer(name).trainable_weights
        np.testing.assert_array_equal(model.get_layer(name).get_weights(), again.get_layer(name).get_weights())
    # Equation 7 and the reference: a kernel and a scale for each of four bands, and those of the base with its bias.
    assert sum(w.shape.num_elements() for w in model.trainable_weights) == 3 * (25 + 1 + 1 + 4 * (25 + 1))


@pytest.mark.parametrize(("kernel_size", "levels"), [(5, 1), (5, 2), (3, 3), (3, 4)])
def test_the_receptive_field_is_the_kernel_times_two_to_the_levels(kernel_size, levels):
    """Section 3.3: the last level's kernel sees 2^levels times its side. What of the image changes one pixel?"""
    import tensorflow as tf

    side = kernel_size * 2**levels
    model = _model((2 * side, 2 * side), channels=1, kernel_size=kernel_size, levels=levels)
    for layer in model.layers:
        if "haar" not in layer.name and layer.weights:  # nothing may cancel
            layer.set_weights([np.abs(w) + 0.01 for w in layer.get_weights()])
    image = tf.constant(np.random.default_rng(0).random((1, 2 * side, 2 * side, 1), np.float32))
    with tf.GradientTape() as tape:
        tape.watch(image)
        pixel = model(image)[0, side, side, 0]
    rows, columns = np.nonzero(np.abs(tape.gradient(pixel, image)[0, :, :, 0]) > 1e-9)
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (side, side)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"kernel_size": 4}, "odd kernel"),
        ({"levels": 6}, "from 1 to 5"),
        ({"levels": 0}, "1 to 5"),
        ({"strides": 3}, "2"),
    ],
)
def test_arguments_out_of_range_are_one_line(arguments, says):
    with pytest.raises(UserError, match=says):
        blocks.wavelet_conv(keras.Input((8, 8, 3)), name="wt", **arguments)
