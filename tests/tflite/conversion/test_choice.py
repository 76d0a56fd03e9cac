"""What the default does to find the best int8 file: segments, corrections of layers, the choice by measurement."""

import keras
import numpy as np
import pytest
from networks import answers, randomize

import keras_mobilenets as km
from keras_mobilenets import tflite
from keras_mobilenets.tflite.conversion.float_graph import float_graph
from keras_mobilenets.tflite.conversion.quantization.correction.layer_correction import rounded
from keras_mobilenets.tflite.conversion.quantization.correction.layer_rows import layer_rows
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.graph.weights import WeightedGraph
from keras_mobilenets.tflite.runtime.activations import Activations
from keras_mobilenets.tflite.runtime.segments import Segments

SIZE = 32
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def images():
    """Noise of many tones over gradients, 96 images."""
    tone = RNG.uniform(0, 255, (96, 1, 1, 3))
    slope = np.linspace(-60, 60, SIZE)[:, None, None] * RNG.choice([-1, 1], (96, 1, 1, 3))
    return np.clip(tone + slope + RNG.normal(0, 40, (96, SIZE, SIZE, 3)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def uneven():
    """Inverted residuals with channels whose ranges differ by a factor of 30; the weights that read them undo it."""
    keras.utils.set_random_seed(0)
    stages = [{"filters": filters, "repeats": 2, "strides": 2} for filters in (8, 16, 24, 48)]
    spec = {"stem_filters": 16, "head_filters": 256, "stages": stages}
    form = {"input_shape": (SIZE, SIZE, 3), "classes": 10, "classifier_activation": None}
    model = randomize(km.create_model("Searched", spec=spec, **form))
    rng = np.random.default_rng(1)
    for given, read in (("expand", "depthwise"), ("depthwise", "project")):
        for block in range(8):
            norm = model.get_layer(f"block_{block}_{given}_bn")
            kernel = model.get_layer(f"block_{block}_{read}").kernel
            factors = np.exp(rng.uniform(np.log(1 / 30), 0, norm.gamma.shape))
            norm.gamma.assign(norm.gamma * factors)
            norm.beta.assign(norm.beta * factors)
            kernel.assign(kernel / factors[:, None])
    return model


def sqnr_db(model, path, images):
    expected, said = answers(model, km.preprocess_input(images)), tflite.evaluate(path, images).predictions
    return 10 * np.log10((expected**2).sum() / ((said - expected) ** 2).sum())


def test_the_default_is_what_does_best_on_images_kept_back(uneven, images, tmp_path):
    path = tflite.convert(uneven, tmp_path / "auto.tflite", quantize="int8", calibration=images)
    said = flatbuffer.description(path.read_bytes())
    kept = images[3::4]
    lost = sqnr_db(uneven, path, kept)
    assert f"SQNR {lost:.1f} dB" in said and "on 24 images kept back" in said
    for method in ("minmax", "percentile"):
        other = tflite.convert(
            uneven, tmp_path / "m.tflite", quantize="int8", calibration=images[:72], calibration_method=method
        )
        assert lost > sqnr_db(uneven, other, kept) + 3
    other = tflite.inspect(tmp_path / "m.tflite").operators
    assert [op.name for op in tflite.inspect(path).operators] == [op.name for op in other]


def test_a_few_images_choose_and_are_all_used(uneven, images, tmp_path):
    auto, plain = (
        tflite.convert(uneven, tmp_path / effort, quantize="int8", calibration=images[:8], effort=effort)
        for effort in ("default", "low")
    )
    said = [flatbuffer.description(path.read_bytes()) for path in (auto, plain)]
    assert said[0].endswith("on 2 images kept back, then made of all")
    assert said[1] == "int8, ranges by 99.99% of the values"
    assert sqnr_db(uneven, auto, images[8:]) > sqnr_db(uneven, plain, images[8:]) + 3


def test_three_images_are_not_divided(uneven, images, tmp_path):
    paths = [
        tflite.convert(uneven, tmp_path / f"{method}.tflite", quantize="int8", calibration=images[:3], **how)
        for method, how in (("auto", {}), ("percentile", {"calibration_method": "percentile"}))
    ]
    says = [flatbuffer.description(path.read_bytes()) for path in paths]
    assert says[0] == f"{says[1]}; with 4 calibration images or more the choice would be measured"
    assert flatbuffer.described(paths[0].read_bytes(), "") == flatbuffer.described(paths[1].read_bytes(), "")


def test_errors_of_layers_see_through_equalization(uneven, images, tmp_path):
    """The factors of channels are not in the file; the errors must come out as without equalization, or smaller."""
    found = []
    for equalize in (False, True):
        path = tflite.convert(
            uneven, tmp_path / "m.tflite", quantize="int8", calibration=images[:40], equalize=equalize
        )
        found.append({row.layer: row for row in tflite.layer_errors(uneven, path, images[:8]).errors})
    plain, equalized = found
    assert plain.keys() == equalized.keys()
    assert np.mean([equalized[layer].sqnr_db - row.sqnr_db for layer, row in plain.items()]) > 1
    assert all(0.3 < row.used < 3 for row in equalized.values())


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("kind", ["Conv2D", "DepthwiseConv2D"])
def test_rows_times_weights_are_the_convolution(kind, padding, strides):
    layer = {
        "Conv2D": keras.layers.Conv2D(5, (3, 2), strides, padding, use_bias=False),
        "DepthwiseConv2D": keras.layers.DepthwiseConv2D((3, 3), strides, padding, use_bias=False),
    }[kind]
    model = keras.Sequential([keras.Input((9, 11, 4)), layer])
    values = RNG.normal(size=(2, 9, 11, 4)).astype(np.float32)
    graph = WeightedGraph(float_graph(model).content)
    (operator,) = (op for op in graph.operators if graph.name(op) in ("CONV_2D", "DEPTHWISE_CONV_2D"))
    weights = graph.constant(int(operator.inputs[1]))
    rows = layer_rows(operator, weights.shape, values, 10_000, seed=0)
    of_one_clip = layer_rows(operator, weights.shape, values[None], 10_000, seed=0)
    np.testing.assert_array_equal(of_one_clip, rows)
    if kind == "Conv2D":
        found = rows.reshape(len(rows), -1) @ weights.reshape(5, -1).T
    else:
        found = np.einsum("rtc,tc->rc", rows, weights.reshape(-1, 4))
    expected = answers(model, values)
    np.testing.assert_allclose(found.reshape(expected.shape), expected, atol=1e-5)


def test_rounding_makes_up_for_its_errors():
    """On correlated inputs, against rounding each weight to the nearest integer."""
    inputs = RNG.normal(size=(4000, 24)) @ RNG.normal(size=(24, 96)) + 0.1 * RNG.normal(size=(4000, 96))
    weights = RNG.normal(size=(20, 96))
    steps = np.abs(weights).max(axis=1) / 15  # coarse, as of four bits
    products = inputs.T @ inputs / len(inputs)
    nearest = np.rint(weights / steps[:, None])
    found = rounded(weights, steps, products)
    assert (found == np.rint(found)).all() and np.abs(found).max() <= 127
    errors = [((inputs @ (weights - q * steps[:, None]).T) ** 2).mean() for q in (nearest, found)]
    assert errors[1] < 0.5 * errors[0]


@pytest.mark.parametrize("kind", ["negative", "no number"])
def test_rounding_takes_products_that_are_not_positive(kind):
    """Sums of float32 over inputs that differ by orders of magnitude are not; weights are rounded all the same."""
    weights, steps = RNG.normal(size=(4, 6)), np.full(4, 0.02)
    products = np.full((6, 6), np.nan) if kind == "no number" else np.diag([1e6, 1, 1, 1, 1, -30.0])
    found = rounded(weights, steps, products)
    assert np.isfinite(found).all() and np.abs(found).max() <= 127
    if kind == "no number":
        assert np.array_equal(found, np.clip(np.rint(weights / 0.02), -127, 127))


def test_segments_compute_what_the_whole_computes(uneven, images):
    content = float_graph(uneven).content
    scaled = km.preprocess_input(images[:3]).astype(np.float32)
    segments, whole = Segments(flatbuffer.read(content), [scaled]), Activations(content)
    expected = [dict(zip(whole.tensors, whole.run([image[None]]), strict=True)) for image in scaled]
    for end in (1, 5, 6, len(segments.operators)):
        segments.run_to(end)
        assert segments.values
        for tensor, values in segments.values.items():
            if tensor in expected[0]:
                np.testing.assert_allclose(values, np.concatenate([e[tensor] for e in expected]), atol=1e-5)
