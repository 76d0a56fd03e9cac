"""Networks that are trained with parallel branches: their files have one convolution for each sum of branches."""

import keras
import numpy as np
import pytest
import tf_keras
from networks import answers, one_step, randomize

import keras_mobilenets as km
from keras_mobilenets import tflite, training

PIXELS = np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3), dtype=np.uint8)
SCALED = PIXELS / np.float32(127.5) - 1
PLAIN = {"CONV_2D", "DEPTHWISE_CONV_2D", "MEAN", "FULLY_CONNECTED", "SOFTMAX", "RESHAPE"}


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return randomize(km.MobileOneS1((32, 32, 3), 0.125, classes=5), scales=(0.8, 1.2))


@pytest.mark.parametrize(
    "kind",
    ["int8", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("none", "quantization-aware", "open size"))],
)
def test_the_file_has_plain_convolutions_and_the_answers_of_the_branches(model, kind, tmp_path):
    source, how = model, {"quantize": kind, "calibration": PIXELS, "effort": "low" if kind == "int8" else "default"}
    if kind == "quantization-aware":
        source, how = training.quantize_aware(model, PIXELS), {}
    elif kind == "open size":
        source, how = km.MobileOneS1((None, None, 3), 0.125, classes=5), {"input_shape": (32, 32, 3)}
        source.set_weights(model.get_weights())
    path = tflite.convert(source, tmp_path / "m.tflite", target="litert", **how)
    found = tflite.inspect(path)
    assert set(found.operator_counts) <= PLAIN
    assert found.operator_counts["CONV_2D"] == 22 and found.operator_counts["DEPTHWISE_CONV_2D"] == 21
    assert found.partitions == 1
    assert found.nodes_delegated >= found.nodes - 1  # but the SOFTMAX
    error = np.abs(tflite.evaluate(path, PIXELS).predictions - answers(model, SCALED)).max()
    assert error < (0.05 if how.get("quantize") == "int8" or kind == "quantization-aware" else 1e-5)


@pytest.mark.slow
def test_what_was_folded_trains_and_is_pruned_and_quantized(model):
    folded = km.reparameterized(model)
    pruned = training.prune_channels(folded, 0.5)
    assert km.cost(pruned).macs == pytest.approx(0.5 * km.cost(folded).macs, rel=0.03)
    before = pruned.get_weights()
    one_step(pruned, keras.optimizers.SGD(1e-2), SCALED, np.arange(16) % 5)
    assert np.mean([np.any(old != new) for old, new in zip(before, pruned.get_weights(), strict=True)]) > 0.9
    quantized = training.quantize_aware(pruned, PIXELS)
    assert not any(layer.in_float for layer in training.quantized_layers(quantized))
    one_step(quantized, tf_keras.optimizers.SGD(1e-3), SCALED, np.arange(16) % 5)
