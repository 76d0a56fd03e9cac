"""Nearest-neighbour upsampling and pooling between convolutions: the answers of Keras, operators that targets take."""

import keras
import numpy as np
import pytest
from keras import layers
from networks import answers, randomize

from keras_mobilenets import tflite, training

IMAGES = np.random.default_rng(0).integers(0, 256, (16, 12, 10, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def model():
    image = keras.Input((12, 10, 3), name="image")
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="stem")(image)
    x = layers.UpSampling2D((2, 3), name="wide")(layers.AveragePooling2D(2, name="half")(x))
    gate = layers.Conv2D(8, 1, activation="sigmoid", name="gate")(x)
    x, gate = (layers.UpSampling2D((4, 1), name=name)(y) for name, y in (("high", x), ("gate_high", gate)))
    x = layers.Multiply(name="gated")([x, gate])
    answer = layers.Flatten(name="flatten")(layers.Conv2D(5, 1, name="answer")(x))
    return randomize(keras.Model(image, answer), kernels=True)


@pytest.mark.parametrize("kind", ["none", "int8", "quantization-aware"])
def test_copies_are_made_by_concatenation_and_every_target_takes_all(model, kind, tmp_path):
    scaled = IMAGES / np.float32(127.5) - 1
    source = training.quantize_aware(model, IMAGES) if kind == "quantization-aware" else model
    how = {} if kind == "quantization-aware" else {"quantize": kind}
    how |= {"effort": "low"} if kind == "int8" else {}
    paths = {
        target: tflite.convert(
            source, tmp_path / f"{target}.tflite", pixels="-1..1", calibration=IMAGES, target=target, **how
        )
        for target in ("litert", "nnapi")
    }
    found = tflite.inspect(paths["litert"])
    assert set(found.operator_counts) <= {
        "CONV_2D", "DEPTHWISE_CONV_2D", "AVERAGE_POOL_2D", "LOGISTIC", "CONCATENATION", "RESHAPE", "MUL",
    }  # fmt: skip
    assert (found.nodes_delegated, found.partitions) == (found.nodes, 1)
    nnapi = tflite.check_nnapi(paths["nnapi"], 31)
    assert (nnapi.delegated, nnapi.partitions) == (nnapi.total, 1)
    assert tflite.check_gpu(paths["nnapi"]).ok
    expected = answers(model, scaled)
    for path in paths.values():
        result = tflite.evaluate(path, IMAGES).predictions
        error = np.linalg.norm(result.ravel() - expected.ravel()) / np.linalg.norm(expected)
        assert error < (1e-5 if kind == "none" else 0.05)
