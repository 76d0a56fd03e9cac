"""The real GPU delegate on a software Vulkan driver: what it computes, and the mistake that only it finds."""

import keras
import numpy as np
import pytest

import keras_mobilenets as km
from keras_mobilenets import cli, tflite
from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.targets.accelerators import gpu
from keras_mobilenets.tflite.targets.accelerators.environments import ENVIRONMENTS
from keras_mobilenets.training.engine.batch_normalization import estimate_statistics

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not ENVIRONMENTS["gpu"].is_ready(), reason=ENVIRONMENTS["gpu"].missing()),
]


@pytest.fixture(scope="module")
def model(images):
    keras.utils.set_random_seed(0)
    model = km.MobileNetV3Small((64, 64, 3), 0.35, classes=10)
    estimate_statistics(model, km.preprocess_input(images))  # or all images would get one answer
    return model


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    tones = rng.normal(128, 60, (32, 1, 1, 3)) + rng.normal(0, 40, (32, 64, 64, 3))
    return np.clip(tones, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def right(model, images, tmp_path_factory):
    path = tmp_path_factory.mktemp("right") / "right.tflite"
    return tflite.convert(model, path, quantize="int8", effort="low", calibration=images, target="xnnpack")


@pytest.fixture(scope="module")
def wrong(model, images, rank_bug, tmp_path_factory):
    with rank_bug():
        path = tmp_path_factory.mktemp("wrong") / "wrong.tflite"
        return tflite.convert(model, path, quantize="int8", effort="low", calibration=images, target="xnnpack")


def test_a_right_model_is_delegated_whole_and_answers_as_the_cpu_does(right, images):
    check = tflite.check(right, "gpu")
    assert check.ok and (check.evidence, check.macs_share) == ("run", 1.0)
    assert "SwiftShader" in str(check)
    found = tflite.evaluate(right, images, on="gpu")
    assert found.on == "gpu" and found.agreement > 0.95
    assert found.max_difference < 0.02  # five steps of a probability
    assert len(np.unique(found.predictions, axis=0)) > 16


def test_a_float_model_answers_as_the_cpu_does(model, images, tmp_path):
    path = tflite.convert(model, tmp_path / "m.tflite", target="gpu")
    assert tflite.check(path, "gpu").ok
    found = tflite.evaluate(path, images, on="gpu")
    assert found.agreement == 1.0 and found.max_difference < 1e-3


def test_a_wrong_rank_is_caught_with_the_delegates_own_message(wrong, right, images, capsys):
    here, there = (tflite.evaluate(path, images).predictions for path in (wrong, right))
    np.testing.assert_array_equal(here, there)  # the CPU computes both alike
    said = r"Error while parsing WGSL: .* cannot assign 'vec4<f32>' to 'vec4<i32>'"
    with pytest.raises(UserError, match=rf"^.*wrong.tflite fails on the GPU delegate: .*{said}.*$"):
        tflite.evaluate(wrong, images, on="gpu")
    check = tflite.check(wrong, "gpu")
    assert not check.ok and check.delegated == 0 and "Error while parsing WGSL" in check.blocked
    assert cli.main(["evaluate", str(wrong), "--data", "shapes", "--limit", "2", "--on", "gpu"]) == 2
    assert "Error while parsing WGSL" in capsys.readouterr().err


def test_what_it_leaves_to_the_cpu_is_said_in_its_own_words(tmp_path):
    """Two pairs of convolutions with tensors of six dimensions between."""
    import tensorflow as tf

    kernel = tf.constant(np.random.default_rng(0).normal(size=(3, 3, 4, 4)), tf.float32)

    @tf.function(input_signature=[tf.TensorSpec((1, 8, 8, 4))])
    def network(x):
        x = tf.nn.conv2d(tf.nn.conv2d(tf.reshape(x, (1, 8, 8, 4)), kernel, 1, "SAME"), kernel, 1, "SAME")
        x = tf.transpose(tf.reshape(tf.nn.tanh(x), (1, 2, 2, 2, 2, 4, 4)), (0, 1, 3, 2, 4, 5, 6))
        return tf.nn.conv2d(tf.reshape(x, (1, 8, 8, 4)), kernel, 1, "SAME")

    path = tmp_path / "m.tflite"
    path.write_bytes(
        tf.lite.TFLiteConverter.from_concrete_functions([network.get_concrete_function()], network).convert()
    )
    check = tflite.check(path, "gpu")
    assert [op.name for op in check.operators if op.delegated] == ["CONV_2D", "CONV_2D", "TANH"]
    assert (check.partitions, check.blocked, check.ok) == (2, "", False)
    assert {op.name for op in check.refused if "bad input dims size: 6" in op.reason} == {"RESHAPE", "TRANSPOSE"}
    assert "small partition" in check.refused[-1].reason and check.refused[-1].name == "CONV_2D"
    assert round(check.macs_share, 3) == round(2 / 3, 3)
    image = np.random.default_rng(0).normal(size=(1, 8, 8, 4)).astype(np.float32)
    with pytest.warns(
        tflite.TargetWarning, match="^m.tflite is not fully delegated: .* leaves 4 of its operators to the CPU"
    ):
        shared = gpu.run(path, image, "")
    np.testing.assert_allclose(shared, network(image), atol=1e-2)
