"""Converted models in the runtime of the phone (TensorFlow Lite 2.16.1) and on 64-bit Arm, beside the one here.

The other runtimes are put together on first use (tests/compat/environments.py); where they cannot be, the tests skip.
"""

import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
from compat.environments import ANSWER, Unavailable, aarch64, tensorflow_2_16
from networks import coloured_noise, randomize

import keras_mobilenets as km
from keras_mobilenets import tflite
from keras_mobilenets.pixels.batches import to_input
from keras_mobilenets.pixels.scaling import MINUS_ONE_TO_ONE
from keras_mobilenets.tflite.runtime.interpreter import open_model

pytestmark = pytest.mark.slow

BUILDERS = ("MobileNetV1", "MobileNetV2", "MobileNetV3Small")
INT8 = ("nnapi", "xnnpack", "gpu", "qat")


def small(builder, size=32):
    """Logits out, which spread over all of int8 and show what a softmax would hide."""
    keras.utils.set_random_seed(0)
    alpha = 0.75 if builder == "MobileNetV3Small" else 0.35
    model = km.create_model(builder, input_shape=(size, size, 3), alpha=alpha, classes=10, classifier_activation=None)
    return randomize(model, kernels=True)


def trained_for_int8(model):
    from keras_mobilenets import training

    aware = training.quantize_aware(model)
    aware.compile("sgd", "mse")
    aware.fit(km.preprocess_input(coloured_noise(32)), np.eye(10)[np.arange(32) % 10], batch_size=8, verbose=0)
    return aware


def sparse_model():
    model = small("MobileNetV2", 33)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if len(weight.shape) == 4 and weight.shape[:2] == (1, 1):
            values = np.array(weight)
            weight.assign(values * (rng.random(values.shape) < 0.2))
    return model


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder of small models of every kind, NAME.tflite, with the same eight images for each, NAME.npy.

    Their ranges are not chosen by measurement: on noise and random weights, that makes networks in which the roundings
    of the runtimes grow.
    """
    folder = tmp_path_factory.mktemp("models")
    for builder in BUILDERS:
        model = small(builder)
        for quantize in ("none", "float16", "dynamic"):
            tflite.convert(model, folder / f"{builder}_{quantize}.tflite", quantize=quantize)
        for target in ("nnapi", "xnnpack", "gpu"):
            path = folder / f"{builder}_{target}.tflite"
            ranges = {"calibration": coloured_noise(64), "calibration_method": "percentile"}
            tflite.convert(model, path, quantize="int8", target=target, **ranges)
    tflite.convert(trained_for_int8(small("MobileNetV2")), folder / "MobileNetV2_qat.tflite")
    tflite.convert(sparse_model(), folder / "MobileNetV2_sparse.tflite", sparse=True)
    for path in folder.glob("*.tflite"):
        source = open_model(path).input
        pixels = coloured_noise(8, int(source["shape"][1]), seed=1)
        np.save(
            path.with_suffix(".npy"),
            to_input(pixels, MINUS_ONE_TO_ONE, source["dtype"], source["quantization"])[:, None],
        )
    return folder


def answers(models, command, folder):
    """What a runtime answers, by "NAME reference" and "NAME xnnpack", and "NAME delegates"."""
    shutil.copytree(models, folder)
    subprocess.run([*command, str(ANSWER), str(folder)], check=True, capture_output=True)
    return dict(np.load(folder / "answers.npz"))


@pytest.fixture(scope="module")
def here(models, tmp_path_factory):
    return answers(models, [sys.executable], tmp_path_factory.mktemp("here") / "models")


@pytest.fixture(scope="module", params=["TensorFlow Lite 2.16.1", "cortex-a72", "max,sme=off"])
def there(request, models, tmp_path_factory):
    """The other runtime's answers. QEMU 7.2 computes SME's outer products wrongly (10.0 does not)."""
    try:
        command = tensorflow_2_16() if request.param.startswith("TensorFlow") else aarch64(request.param)
    except Unavailable as reason:
        pytest.skip(str(reason))
    return answers(models, command, tmp_path_factory.mktemp("there") / "models")


def steps(one, other):
    return np.abs(one.astype(int) - other.astype(int))


def names(answers, *kinds):
    return [name for name in answers if name.split()[0].split("_")[1] in kinds and not name.endswith("delegates")]


def test_every_kind_of_model_loads_and_runs(models, there):
    stems = {path.stem for path in models.glob("*.tflite")}
    assert {name.split()[0] for name in there} == stems and len(stems) == 20
    assert all(there[f"{stem} delegates"] > 0 for stem in stems)


def test_int8_answers_are_those_given_here(here, there):
    """To the bit with native operators; for XNNPACK the older runtime rounds an operator of V3 otherwise."""
    for name in names(there, *INT8):
        apart = steps(here[name], there[name])
        assert here[name].std() > 10, name  # or there would be nothing to compare
        assert apart.max() <= ("V3Small_xnnpack" in name), name


def test_int8_kernels_of_xnnpack_agree_with_the_reference(here, there):
    for answers in (here, there):
        for name in names(answers, *INT8):
            apart = steps(answers[name], answers[f"{name.split()[0]} reference"])
            assert apart.max() <= 2 and np.mean(apart <= 1) > 0.9, name  # 1 step in an operator may grow on the way


def test_float_answers_are_those_given_here(here, there):
    for name in names(there, "none", "float16", "sparse"):
        np.testing.assert_allclose(there[name], here[name], atol=1e-5 * np.abs(here[name]).max(), err_msg=name)


def test_answers_of_int8_weights_alone_are_close_to_those_given_here(here, there):
    """Activations are rounded on the way, by each set of kernels in its own way."""
    for name in names(there, "dynamic"):
        assert np.abs(there[name] - here[name]).max() < 0.05 * here[name].std(), name
