"""MobileNetV1 and V2 against keras.applications, the published figures, and what a user can get wrong."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from networks import answers

import keras_mobilenets as km
from keras_mobilenets.costs.published_figures import table

QUICK = [
    ("MobileNetV1", 0.25, 96),
    ("MobileNetV1", 0.75, 97),
    ("MobileNetV2", 0.35, 96),
    ("MobileNetV2", 0.5, 97),
]
ALPHAS = {"MobileNetV1": (0.25, 0.5, 0.75, 1.0), "MobileNetV2": (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)}
ALL = [(name, alpha, size) for name in ALPHAS for alpha in ALPHAS[name] for size in (96, 97, 160, 193, 224)]
THEIRS = {"MobileNetV1": keras.applications.MobileNet, "MobileNetV2": keras.applications.MobileNetV2}


def _assert_equal_to_keras_applications(name, alpha, size):
    theirs = THEIRS[name]((size, size, 3), alpha=alpha, weights=None, classifier_activation=None)
    rng = np.random.default_rng(0)
    for weight in theirs.weights:
        if weight.path.endswith("moving_variance"):
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
        elif len(weight.shape) == 1:
            weight.assign(0.1 * rng.standard_normal(weight.shape) + weight.path.endswith("gamma"))
    ours = km.create_model(name, input_shape=(size, size, 3), alpha=alpha, classifier_activation=None)
    assert len(ours.weights) == len(theirs.weights)
    for mine, other in zip(ours.weights, theirs.weights, strict=True):
        mine.assign(np.reshape(other.numpy(), mine.shape))  # their classifier may be a 1×1 convolution
    images = rng.uniform(-1, 1, (2, size, size, 3)).astype(np.float32)
    expected = answers(theirs, images)
    difference = np.abs(answers(ours, images) - expected).max()
    assert difference < 1e-5 * np.abs(expected).max()  # of logits: probabilities of 1000 classes are small anyway


@pytest.mark.parametrize(("name", "alpha", "size"), QUICK)
def test_same_weights_give_the_outputs_of_keras_applications(name, alpha, size):
    _assert_equal_to_keras_applications(name, alpha, size)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "alpha", "size"), [case for case in ALL if case not in QUICK])
def test_same_weights_give_the_outputs_of_keras_applications_everywhere(name, alpha, size):
    _assert_equal_to_keras_applications(name, alpha, size)


@pytest.mark.parametrize("row", [row for row in table() if row.builder in ALPHAS], ids=lambda row: row.label)
def test_parameters_and_multiply_adds_are_the_published_ones(row):
    shape = (row.input_size, row.input_size, 3)
    cost = km.cost(km.create_model(row.builder, input_shape=shape, **row.arguments))
    assert cost.parameters == row.parameters
    assert cost.macs / 1e6 == pytest.approx(row.macs_millions, abs=0.051)  # published with one decimal


def test_stem_strides_1_keeps_the_resolution_of_small_images():
    for name in ALPHAS:
        halved = km.create_model(name, input_shape=(32, 32, 3), alpha=0.25, include_top=False)
        kept = km.create_model(name, input_shape=(32, 32, 3), alpha=0.25, include_top=False, stem_strides=1)
        assert (halved.output_shape[1], kept.output_shape[1]) == (1, 2)
        assert halved.count_params() == kept.count_params()


def test_without_top_the_output_is_the_feature_map_or_its_pool():
    features = km.MobileNetV2(alpha=0.35, include_top=False)
    assert features.output_shape == (None, None, None, 1280)
    image = np.zeros((1, 64, 96, 3), np.float32)
    assert features(image).shape == (1, 2, 3, 1280)
    for pooling, reduce in (("avg", np.mean), ("max", np.max)):
        pooled = km.MobileNetV2((64, 96, 3), 0.35, include_top=False, pooling=pooling)
        pooled.set_weights(features.get_weights())
        np.testing.assert_allclose(pooled(image), reduce(features(image), axis=(1, 2)), rtol=1e-5, atol=1e-6)


def test_builds_on_an_input_tensor_of_any_channels():
    spectrogram = keras.Input((64, 64, 1))
    model = km.MobileNetV1(alpha=0.25, input_tensor=keras.layers.Conv2D(3, 1)(spectrogram), classes=7)
    assert model.input_shape == (None, 64, 64, 1)
    assert model.output_shape == (None, 7)


def test_classifier_activation_and_classes():
    probabilities = km.MobileNetV2((32, 32, 3), 0.35, classes=5)
    logits = km.MobileNetV2((32, 32, 3), 0.35, classes=5, classifier_activation=None)
    logits.set_weights(probabilities.get_weights())
    image = np.random.default_rng(0).uniform(-1, 1, (1, 32, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(keras.ops.softmax(logits(image)), probabilities(image), atol=1e-6)


def test_layer_names_are_stable():
    names = [layer.name for layer in km.MobileNetV2((32, 32, 3), 0.35).layers]
    for name in ("stem", "block_3_expand", "block_3_expand_bn", "block_3_expand_relu6", "block_2_add", "predictions"):
        assert name in names


def test_saved_and_loaded_model_is_the_same(tmp_path):
    model = km.MobileNetV1((32, 32, 3), 0.25, classes=3)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    image = np.ones((1, 32, 32, 3), np.float32)
    np.testing.assert_array_equal(model(image), loaded(image))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"alpha": 0}, "alpha=0"),
        ({"alpha": -1.0}, "alpha=-1.0"),
        ({"alpha": "half"}, "alpha='half'"),
        ({"input_shape": (31, 64, 3)}, "32 or more"),
        ({"input_shape": (64, 64, 1)}, "3 channels"),
        ({"input_shape": (64, 64)}, "(height, width, 3)"),
        ({"classes": 0}, "classes=0"),
        ({"pooling": "mean"}, "pooling='mean'"),
        ({"stem_strides": 3}, "stem_strides=3"),
        ({"dropout_rate": 1.0}, "dropout_rate=1.0"),
        ({"classifier_activation": "softmex"}, "softmex"),
        ({"weights": "nowhere.keras"}, "nowhere.keras"),
        ({"width": 0.5}, "takes no 'width'"),
    ],
)
def test_a_bad_argument_is_refused_in_one_line(arguments, says):
    with pytest.raises(km.UserError) as refused:
        km.create_model("MobileNetV2", **{"input_shape": (32, 32, 3), "alpha": 0.35} | arguments)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_unknown_model_is_refused_with_the_closest_names():
    with pytest.raises(km.UserError, match="did you mean MobileNetV2"):
        km.create_model("mobilenet-v2")


def test_reference_names_the_published_figures():
    assert km.reference("MobileNetV2", alpha=0.5).imagenet_top1 == 65.4
    assert km.reference("mobilenetv1", alpha=1.0, input_size=160).parameters == 4_231_976
    with pytest.raises(km.UserError, match=r"alpha=0\.35"):
        km.reference("MobileNetV2", alpha=0.36)


def test_importing_the_package_imports_neither_keras_nor_tensorflow():
    code = """
import sys, keras_mobilenets as km, keras_mobilenets.training, keras_mobilenets.tflite
km.list_models()
print([name for name in ("keras", "tensorflow", "numpy") if name in sys.modules])
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
