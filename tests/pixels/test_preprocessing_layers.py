"""What a Keras model says of its pixels, in all the ways that people write it."""

import warnings

import keras
import numpy as np
import pytest
import tf_keras
from keras import layers

import keras_mobilenets as km
from keras_mobilenets.errors import UserError
from keras_mobilenets.pixels.assumption import known_or_assumed
from keras_mobilenets.pixels.preprocessing_layers import scaling_of
from keras_mobilenets.pixels.scaling import PixelWarning, said
from keras_mobilenets.weights.saved_model import load_model


class Scaled(layers.Layer):
    """A layer of somebody's own that scales."""

    def call(self, x):
        return x / 127.5 - 1


class Subclassed(keras.Model):
    """A model whose `call` scales."""

    def __init__(self):
        super().__init__()
        self.body, self.scaling = layers.Conv2D(4, 1), layers.Rescaling(1 / 255)

    def call(self, x):
        return self.body(self.scaling(x))


def subclassed():
    model = Subclassed()
    model(np.zeros((1, 32, 32, 3), np.float32))
    return model


def after(*first, dtype="float32", channels=3):
    """A model that begins in these layers or functions."""
    x = image = keras.Input((32, 32, channels), dtype=dtype)
    for layer in first:
        x = layer(x)
    return keras.Model(image, layers.Conv2D(4, 1)(x))


def nested(*first):
    """The same as a backbone inside a Sequential model, behind augmentation."""
    return keras.Sequential([keras.Input((32, 32, 3)), layers.RandomFlip(), layers.RandomRotation(0.1), after(*first)])


_as_map = layers.Reshape((1, 1, 4))

MODELS = {
    "Rescaling(1/255)": ("0..255", lambda: after(layers.Rescaling(1 / 255))),
    "Rescaling(1/127.5, -1)": ("0..255", lambda: after(layers.Rescaling(1 / 127.5, -1))),
    "two Rescaling": ("0..255", lambda: after(layers.Rescaling(1 / 255), layers.Rescaling(2, -1))),
    "Rescaling(2, -1)": ("0..1", lambda: after(layers.Rescaling(2, -1))),
    "Rescaling(0.5, 0.5)": ("-1..1", lambda: after(layers.Rescaling(0.5, 0.5))),
    "nested behind augmentation": ("0..255", lambda: nested(layers.Rescaling(1 / 255))),
    "Normalization of pixels": (
        "0..255",
        lambda: after(layers.Normalization(mean=[123.7, 116.3, 103.5], variance=[3410, 3263, 3292])),
    ),
    "Normalization of shares": (
        "0..1",
        lambda: after(layers.Normalization(mean=[0.485, 0.456, 0.406], variance=[0.0524, 0.0502, 0.0506])),
    ),
    "Normalization of -1..1": ("-1..1", lambda: after(layers.Normalization(mean=-0.1, variance=0.25))),
    "Rescaling, Normalization": (
        "0..255",
        lambda: after(layers.Rescaling(1 / 255), layers.Normalization(mean=[0.5] * 3, variance=[0.06] * 3)),
    ),
    "mobilenet_v2.preprocess_input": ("0..255", lambda: after(keras.applications.mobilenet_v2.preprocess_input)),
    "densenet.preprocess_input": ("0..255", lambda: after(keras.applications.densenet.preprocess_input)),
    "vgg16.preprocess_input": ("0..255", lambda: after(keras.applications.vgg16.preprocess_input)),
    "x / 255": ("0..255", lambda: after(lambda x: x / 255)),
    "1 - x / 255": ("0..255", lambda: after(lambda x: 1 - x / 255)),
    "uint8 input": ("0..255", lambda: after(lambda x: keras.ops.cast(x, "float32"), dtype="uint8")),
    "EfficientNetB0 of Keras": (
        "0..255",
        lambda: keras.applications.EfficientNetB0(weights=None, input_shape=(32, 32, 3), include_top=False),
    ),
    "MobileNetV3Small of Keras in a head": (
        "0..255",
        lambda: keras.Sequential(
            [
                keras.Input((32, 32, 3)),
                keras.applications.MobileNetV3Small(weights=None, input_shape=(32, 32, 3), include_top=False),
                layers.GlobalAveragePooling2D(),
            ]
        ),
    ),
    "MobileNetV3Small without": (
        None,
        lambda: keras.applications.MobileNetV3Small(
            weights=None, input_shape=(32, 32, 3), include_top=False, include_preprocessing=False
        ),
    ),
    "ResNet50 of Keras": (
        None,
        lambda: keras.applications.ResNet50(weights=None, input_shape=(32, 32, 3), include_top=False),
    ),
    "a subclassed model": ("0..255", subclassed),
    "Lambda of x / 255": ("0..255", lambda: after(layers.Lambda(lambda x: x / 255))),
    "Lambda of another order": (None, lambda: after(layers.Lambda(lambda x: x[..., ::-1] / 255))),
    "a layer of one's own": ("0..255", lambda: after(Scaled())),
    "grey made to colour": (
        "0..255",
        lambda: after(lambda x: layers.Concatenate()([x, x, x]), layers.Rescaling(1 / 255), channels=1),
    ),
    "two scalings of pixels": (
        "0..255",
        lambda: after(lambda x: layers.Concatenate()([layers.Rescaling(1 / 255)(x), layers.Rescaling(1 / 128, -1)(x)])),
    ),
    "no layer": (None, lambda: after()),
    "Rescaling(1)": (None, lambda: after(layers.Rescaling(1.0))),
    "Lambda": (None, lambda: after(layers.Lambda(lambda x: x / 3, output_shape=(32, 32, 3)))),
    "a builder": ("-1..1", lambda: km.MobileNetV2((32, 32, 3), 0.35, classes=3)),
    "a builder in a head": (
        "-1..1",
        lambda: keras.Sequential(
            [keras.Input((32, 32, 3)), km.MobileNetV1((32, 32, 3), 0.25, include_top=False), layers.Flatten()]
        ),
    ),
    "a builder behind Rescaling": (
        "0..255",
        lambda: after(layers.Rescaling(1 / 127.5, -1), km.MobileNetV1((32, 32, 3), 0.25, classes=4), _as_map),
    ),
    "tf_keras": (
        "0..255",
        lambda: tf_keras.Sequential([tf_keras.Input((32, 32, 3)), tf_keras.layers.Rescaling(1 / 255)]),
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_says_what_its_pixels_mean(name):
    expected, build = MODELS[name]
    with warnings.catch_warnings(record=True) as said_so:
        warnings.simplefilter("always", PixelWarning)
        found = scaling_of(build())
    assert str(found) == (expected or "-1..1")
    assert found.is_assumed == (expected is None) == bool(said_so)
    assert not said_so or ('pixels="0..255"' in str(said_so[0].message) and "\n" not in str(said_so[0].message))


def test_a_builder_is_known_from_its_file(tmp_path):
    km.MobileNetV2((32, 32, 3), 0.35, classes=3).save(tmp_path / "m.keras")
    found = scaling_of(load_model(tmp_path / "m.keras"))
    assert (str(found), found.is_assumed) == ("-1..1", False)


def test_an_adapted_normalization_says_the_range_of_its_data():
    pixels = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3))
    for scale, expected in ((1, "0..255"), (1 / 255, "0..1")):
        layer = layers.Normalization()
        layer.adapt((pixels * scale).astype(np.float32))
        assert str(scaling_of(after(layer))) == expected


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, "0..1"), (-1, 0.9, "-1..1"), (0, 255, "0..255"), (0, 9, "0..255"), (-2.1, 2.5, "imagenet")],
)
def test_floats_show_the_range_of_a_model_that_says_nothing(low, high, expected):
    images = np.linspace(low, high, 3072, dtype=np.float32).reshape(1, 32, 32, 3)
    with pytest.warns(PixelWarning, match="assumed, since its images run from"):
        assert str(scaling_of(after(), images=images)) == expected


def test_floats_of_no_usual_range_are_refused():
    with pytest.raises(UserError, match="-40 to 60, which is no usual range"):
        scaling_of(after(), images=np.linspace(-40, 60, 12, dtype=np.float32).reshape(1, 2, 2, 3))


@pytest.mark.parametrize(
    "text", ["-1..1", "−1..1", "−1…1", " -1 .. 1", "-1...1", "127.5/127.5", (127.5, 127.5), (0.5, 0.5)]
)
def test_minus_one_to_one_is_said_in_many_ways(text):
    assert said(text).range == (-1, 1)


def test_imagenet_is_pytorch_s_normalization():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), dtype=np.uint8)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    expected = (pixels / 255 - mean) / std
    for given in ("imagenet", (mean, std), "0.485,0.456,0.406/0.229,0.224,0.225"):
        np.testing.assert_allclose(said(given).values(pixels), expected, atol=1e-5)
        np.testing.assert_allclose(said(given).pixels(expected), pixels, atol=1e-3)


@pytest.mark.parametrize(
    "wrong", ["255", "0..2", (1, 0), (1, 2, 3), ([1, 2], [1, 2]), ((1,), (float("nan"),)), 5, "a/b"]
)
def test_what_cannot_be_is_refused_in_one_line(wrong):
    with pytest.raises(UserError, match=r"choose -1..1, 0..1, 0..255, imagenet, or give a pair"):
        said(wrong)


@pytest.mark.parametrize("pair", [(0, 1), ([0, 0, 0], [1, 1, 1]), "0/1"])
def test_what_may_be_pixels_or_shares_is_asked_about(pair):
    with pytest.raises(UserError, match=r"may be of pixels or of shares; say 0..255 or 0..1"):
        said(pair)


def test_grey_images_are_not_scaled_by_three_means():
    with pytest.raises(UserError, match="1 channels but mean and std are of 3"):
        said("imagenet").values(np.zeros((1, 2, 2, 1), np.uint8))


def test_images_that_may_be_of_0_to_1_are_asked_about():
    values = np.linspace(0, 1, 48, dtype=np.float32).reshape(4, 2, 2, 3)
    with pytest.warns(PixelWarning, match=r"0 to 1 and m takes -1 to 1: if they are of 0..1, pass uint8"):
        known_or_assumed(said("-1..1"), values, "m")


@pytest.mark.parametrize("value", [-1, 0, 0.5, 1])
def test_blank_images_show_no_range(value):
    with pytest.warns(PixelWarning, match=r"-1..1 is assumed; say it by"):
        assert str(known_or_assumed(None, np.full((4, 2, 2, 3), value, np.float32), "m")) == "-1..1"


def test_the_range_of_images_is_said_as_it_is():
    with pytest.warns(PixelWarning, match=r"0..1 is assumed, since its images run from 0.3 to 0.9;"):
        known_or_assumed(None, np.linspace(0.3, 0.9, 48, dtype=np.float32).reshape(4, 2, 2, 3), "m")


@pytest.mark.parametrize(
    ("takes", "low", "high"),
    [("0..255", -1, 1), ("0..255", 0.01, 0.9), ("0..255", -2.1, 2.6), ("0..1", -1, 1), ("-1..1", 0, 255)],
)
def test_values_of_another_scaling_are_refused(takes, low, high):
    with pytest.raises(UserError, match=f"run from {low} to {high} but m takes"):
        said(takes).check(np.linspace(low, high, 48, dtype=np.float32).reshape(4, 2, 2, 3), "m")


def test_dark_pixels_are_pixels():
    said("0..255").check(np.array([0, 1, 0, 1], np.float32), "m")
    said("0..255").check(np.array([0.2, 3.4, 9.1], np.float32), "m")
