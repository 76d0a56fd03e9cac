"""Grad-CAM: by hand where that can be done, and on images of which it is known where the evidence lies."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

import keras_mobilenets as km
from keras_mobilenets import UserError, training


def network(head="softmax", **of_conv):
    """Convolution, mean, dense: what class activation maps (Zhou et al. 2016) were made for."""
    keras.utils.set_random_seed(3)
    image = keras.Input((16, 16, 3))
    maps = layers.Conv2D(6, 3, strides=2, activation="relu", name="maps", **of_conv)(image)
    x = layers.Dense(4, activation="softmax" if head == "softmax" else None, name="predictions")(
        layers.GlobalAveragePooling2D(name="pool")(maps)
    )
    x = layers.Softmax()(x) if head == "layer" else x
    model = keras.Model(image, x)
    model.get_layer("predictions").bias.assign([0.3, -0.2, 0.1, 0.0])
    return model


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)


def class_activation_maps(model, images, classes):
    """The maps weighted by the dense layer's weights of the class: equal to Grad-CAM up to a factor (section 3)."""
    maps = np.asarray(model.get_layer("maps")(km.preprocess_input(images)))
    weights = np.asarray(model.get_layer("predictions").kernel)
    found = np.maximum(np.einsum("nhwc,cn->nhw", maps, weights[:, classes]), 0)
    large = [np.asarray(Image.fromarray(one).resize((16, 16), Image.Resampling.BILINEAR)) for one in found]
    return np.stack([one / (one.max() or 1) for one in large])


@pytest.mark.parametrize("head", ["softmax", "logits", "layer"])
def test_heat_is_the_class_activation_map_where_a_mean_and_a_dense_layer_follow(images, head):
    model = network(head)
    predicted = model.predict(km.preprocess_input(images), verbose=0).argmax(axis=1)
    heat = training.grad_cam(model, images)
    assert heat.dtype == np.float32 and heat.shape == (5, 16, 16)
    np.testing.assert_allclose(heat, class_activation_maps(model, images, predicted), atol=1e-5)
    np.testing.assert_allclose(training.grad_cam(model, km.preprocess_input(images)), heat, atol=1e-5)
    for classes in (2, [3, 0, 1, 2, 2]):
        expected = class_activation_maps(model, images, np.broadcast_to(classes, 5))
        np.testing.assert_allclose(training.grad_cam(model, images, classes), expected, atol=1e-5)


def test_tf_keras_model_gives_the_same_heat(images):
    model = network()
    heat = training.grad_cam(training.to_tf_keras(model), images)
    np.testing.assert_allclose(heat, training.grad_cam(model, images), atol=1e-5)


def test_heat_lies_where_the_object_is():
    """A detector of red: whatever corner a red square is in, that is where the heat is."""
    model = network(use_bias=False)
    kernel = np.zeros((3, 3, 3, 6), np.float32)
    kernel[..., 0, 0], kernel[..., 1:, 0] = 1, -1
    model.get_layer("maps").kernel.assign(kernel)
    model.get_layer("predictions").kernel.assign(np.eye(6, 4, dtype=np.float32))
    images = np.full((4, 16, 16, 3), 128, np.uint8)
    corners = [np.s_[:6, :6], np.s_[:6, 10:], np.s_[10:, :6], np.s_[10:, 10:]]
    for image, corner in zip(images, corners, strict=True):
        image[corner] = [255, 0, 0]
    for heat, corner in zip(training.grad_cam(model, images, 0), corners, strict=True):
        assert heat[corner].sum() > 0.7 * heat.sum() and heat[corner].max() == 1
    assert training.grad_cam(model, images, 3).max() == 0  # nothing speaks for a class without weights


@pytest.mark.parametrize(
    ("name", "size", "side"),
    [("MobileNetV2", 64, 4), ("MobileNetV2", 32, 4), ("MobileNetV3Small", 128, 4), ("MobileNetV4ConvSmall", 64, 4)],
)
def test_default_map_is_the_last_that_says_where(name, size, side):
    from keras_mobilenets.training.evaluation.saliency import _before_softmax, _calls, _cut

    model = km.create_model(name, input_shape=(size, size, 3), classes=3)
    parts = _calls(model)
    tensor, _ = _cut(model, parts, keras, _before_softmax(model, parts)[0], None)
    assert min(tensor.shape[1:3]) == side


def _base_and_head(base, separate):
    image = keras.Input((64, 64, 3))
    x = layers.GlobalAveragePooling2D()(base(image, training=False))
    x = layers.Dense(3, name="predictions", activation=None if separate else "softmax")(x)
    return keras.Model(image, layers.Softmax()(x) if separate else x)


def _in_sequential(base, separate):
    head = [layers.GlobalAveragePooling2D(), layers.Dense(3, name="predictions", activation="softmax")]
    return keras.Sequential([keras.Input((64, 64, 3)), keras.Sequential([base]), *head])


class _Subclassed(keras.Model):
    def __init__(self, base):
        super().__init__()
        self.head = layers.Dense(3, name="predictions", activation="softmax")
        self.base, self.pool = base, layers.GlobalAveragePooling2D()

    def call(self, x):
        return self.head(self.pool(self.base(x)))


def _subclassed(base, separate):
    model = _Subclassed(base)
    model(np.zeros((1, 64, 64, 3), np.float32))
    return model


@pytest.mark.parametrize(
    ("make", "separate"),
    [(_base_and_head, False), (_base_and_head, True), (_in_sequential, False), (_subclassed, False)],
)
def test_a_base_inside_a_model_gives_the_heat_of_the_flat_network(make, separate):
    keras.utils.set_random_seed(0)
    base = km.MobileNetV2((64, 64, 3), alpha=0.35, include_top=False)
    nested = make(base, separate)
    dense = nested.head if make is _subclassed else nested.get_layer("predictions")
    x = layers.GlobalAveragePooling2D()(base.output)
    flat_head = layers.Dense(3, activation="softmax", name="predictions")
    flat = keras.Model(base.input, flat_head(x))
    flat_head.set_weights(dense.get_weights())
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    for layer in (None, "block_2_add"):
        heat = training.grad_cam(flat, images, [0, 2], layer=layer)
        assert heat.max() == 1
        np.testing.assert_allclose(training.grad_cam(nested, images, [0, 2], layer=layer), heat, atol=1e-4)


def test_any_layer_that_no_shortcut_leads_around_can_be_chosen():
    model = km.MobileNetV2((32, 32, 3), alpha=0.35, classes=3)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    assert training.grad_cam(model, images, layer="block_2_add").shape == (2, 32, 32)
    for layer, says in {
        "block_2_expand": "a skip connection bypasses layer 'block_2_expand'; choose the last layer of a block",
        "block_2_ad": "unknown layer 'block_2_ad': did you mean block_2_add",
        "predictions": "layer 'predictions' gives no feature map larger than 1×1",
    }.items():
        with pytest.raises(UserError, match=says):
            training.grad_cam(model, images, layer=layer)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"classes": 4}, "classes 4 to 4 are given; the model has 0 to 3"),
        ({"classes": [0, 1]}, "give one class number, or one for each image"),
        ({"classes": 0.5}, "give one class number"),
        ({"images": np.zeros((0, 16, 16, 3), np.uint8)}, "give N×height×width×channels"),
        ({"images": np.zeros((2, 8, 8, 3), np.uint8)}, "images are 8×8×3 but the model takes 16×16×3"),
    ],
)
def test_bad_arguments_are_answered_by_one_line(images, given, says):
    with pytest.raises(UserError, match=says) as caught:
        training.grad_cam(network(), **{"images": images} | given)
    assert "\n" not in str(caught.value)


def test_a_model_without_a_feature_map_is_named():
    flat = keras.Sequential([keras.Input((16, 16, 3)), layers.Flatten(), layers.Dense(2)], name="flat")
    with pytest.raises(UserError, match="flat has no feature map larger than 1×1"):
        training.grad_cam(flat, np.zeros((1, 16, 16, 3), np.uint8))


def test_overlay_leaves_the_image_where_there_is_no_heat(images):
    heat = np.zeros((16, 16), np.uint8)
    heat[:8] = 255
    painted = training.overlay(images[0], heat)
    np.testing.assert_array_equal(painted[8:], images[0, 8:])
    assert painted.dtype == np.uint8 and (painted[:8].astype(int).sum(axis=-1) != images[0, :8].sum(axis=-1)).any()


@pytest.mark.slow
def test_jax_gives_the_heat_that_tensorflow_gives(images, tmp_path):
    model = network()
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "images.npy", images)
    code = (
        "import sys, numpy as np; from keras_mobilenets import training; folder = sys.argv[1]; "
        "model = training.load_model(folder + '/model.keras'); images = np.load(folder + '/images.npy'); "
        "np.save(folder + '/heat.npy', training.grad_cam(model, images))"
    )
    environment = os.environ | {"KERAS_BACKEND": "jax"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, env=environment)
    np.testing.assert_allclose(np.load(tmp_path / "heat.npy"), training.grad_cam(model, images), atol=1e-4)
