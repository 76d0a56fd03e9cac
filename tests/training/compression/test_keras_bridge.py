"""The way from Keras 3 to tf_keras and back: same names, same weights, same answers; what has no way is named."""

import keras
import numpy as np
import pytest
import tf_keras
from keras import layers
from networks import answers, randomize

import keras_mobilenets as km
from keras_mobilenets import UserError, blocks, training

ONE_OF_EACH = {
    "MobileNetV1": {"alpha": 0.35},
    "MobileNetV2": {"alpha": 0.35},
    "MobileNetV3Large": {"alpha": 0.35},
    "MobileNetV3Small": {"alpha": 0.35, "minimalistic": True},
    "MobileNetV4ConvSmall": {"alpha": 0.35},
    "MobileNetV4HybridMedium": {"alpha": 0.35},
    "EfficientNetB0": {"alpha": 0.35},
    "EfficientNetLite0": {"alpha": 0.35},
    "EfficientNetV2B0": {"alpha": 0.35},
    "ResNet18": {"alpha": 0.25},
    "VGG16": {"alpha": 0.125},
    "StandardConvNet": {"alpha": 0.25},
    "RegNetY200MF": {"alpha": 0.35},
    "Xception": {"alpha": 0.25},
    "GhostNetV2": {"width": 0.35},
}


def images(size=32, count=2):
    return np.random.default_rng(1).uniform(-1, 1, (count, size, size, 3)).astype(np.float32)


def same(model, other, x):
    expected, got = answers(model, x), answers(other, x)
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(got, expected, atol=1e-5 * max(1.0, np.abs(expected).max()))


QUICK = ("MobileNetV3Large",)


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in QUICK else pytest.mark.slow) for n in ONE_OF_EACH])
def test_every_family_goes_to_tf_keras_and_back(name):
    model = km.create_model(name, input_shape=(32, 32, 3), classes=5, classifier_activation=None, **ONE_OF_EACH[name])
    randomize(model, biases=0.3)
    there = training.to_tf_keras(model)
    back = training.to_keras(there)
    assert isinstance(there, tf_keras.Model) and isinstance(back, keras.Model)
    names = [layer.name for layer in model.layers]
    assert [layer.name for layer in there.layers] == names == [layer.name for layer in back.layers]
    same(model, there, images())
    same(model, back, images())
    for ours, theirs in zip(model.get_weights(), back.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_layers_beside_the_families_go_there_and_back():
    image = keras.Input((16, 16, 3), name="photo")
    x = layers.Rescaling([1.0, 2.0, 0.5], [0.1, 0.0, -0.1])(image)
    x = layers.ZeroPadding2D(((0, 1), (2, 1)))(x)
    x = layers.Cropping2D(((0, 1), (2, 1)))(x)
    x = layers.Conv2D(16, 3, padding="same", groups=1, activation="hard_silu")(x)
    x = layers.Conv2D(16, 3, padding="same", groups=4, dilation_rate=2, activation="silu")(x)
    x = blocks.channel_shuffle(x, 4, name="shuffle")
    left, right = blocks.channel_split(x, name="split")
    right = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, activation="relu6")(right)
    x = layers.Concatenate()([left, layers.Activation("hard_sigmoid")(right)])
    x = layers.AveragePooling2D(3, 2, padding="same")(x)
    x = layers.UpSampling2D(2)(x)
    y = layers.MaxPooling2D(3, 1, padding="same")(x)
    x = layers.Add()([layers.Maximum()([x, y]), layers.Subtract()([x, y]), layers.Average()([x, y])])
    x = layers.Permute((2, 1, 3))(layers.ReLU(negative_slope=0.1)(x))
    x = layers.Concatenate()([layers.GlobalMaxPooling2D()(x), layers.Flatten()(layers.Conv2D(1, 1)(x))])
    x = layers.Dense(8, activation="tanh")(layers.Dropout(0.5)(x))
    model = keras.Model(image, layers.Softmax()(layers.Identity()(x)))
    randomize(model, biases=0.3)
    there = training.to_tf_keras(model)
    same(model, there, images(16))
    same(model, training.to_keras(there), images(16))
    assert there.input_names == ["photo"]


def test_a_backbone_inside_a_model_is_taken_apart():
    backbone = km.MobileNetV1((32, 32, 3), 0.35, include_top=False, pooling="avg")
    sequential = keras.Sequential([keras.Input((32, 32, 3)), backbone, layers.Dense(4)])
    image = keras.Input((32, 32, 3))
    functional = keras.Model(image, layers.Dense(4)(backbone(image)))
    for model in (sequential, functional):
        randomize(model, biases=0.3)
        there = training.to_tf_keras(model)
        assert not any(isinstance(layer, tf_keras.Model) for layer in there.layers)
        same(model, there, images())


def _backbone(name=None):
    return km.MobileNetV2((32, 32, 3), alpha=0.35, include_top=False, pooling="avg", name=name)


def _used_twice():
    one, image, conv = _backbone(), keras.Input((32, 32, 3)), layers.Conv2D(3, 3, padding="same")
    return keras.Model(image, layers.Concatenate()([one(image), one(conv(conv(image)))]))


def _two_of_one_name():
    image = keras.Input((32, 32, 3))
    return keras.Model(image, layers.Concatenate()([_backbone("left")(image), _backbone("right")(image)]))


class _OwnModel(keras.Model):
    """What people write: operators on tensors, a model inside the model."""

    def __init__(self):
        super().__init__()
        self.one, self.two = layers.Conv2D(8, 3, 2, "same"), layers.Conv2D(8, 3, padding="same")
        self.head = keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dense(3)])

    def call(self, x):
        x = keras.ops.relu(self.one((x - 0.5) / 0.25))
        x = x * keras.ops.sigmoid(2.0 * x)
        return keras.ops.softmax(self.head(x + self.two(x)))


def _subclassed():
    model = _OwnModel()
    model(images())
    return model


def _mixed_precision():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        return _backbone()
    finally:
        keras.mixed_precision.set_global_policy("float32")


@pytest.mark.parametrize("make", [_used_twice, _two_of_one_name, _subclassed])
def test_layers_used_twice_models_of_one_name_and_operators_go_there_and_back(make):
    keras.utils.set_random_seed(0)
    model = randomize(make(), biases=0.3)
    there = training.to_tf_keras(model)
    same(model, there, images())
    same(model, training.to_keras(there), images())
    assert sum(np.prod(w.shape) for w in there.weights) == sum(np.prod(w.shape) for w in model.weights)


def test_a_model_of_mixed_precision_is_one_of_float32():
    model = randomize(_mixed_precision(), biases=0.3)
    there = training.to_tf_keras(model)
    assert {str(layer.compute_dtype) for layer in there.layers} == {"float32"}
    expected = answers(model, images()).astype(np.float32)
    np.testing.assert_allclose(answers(there, images()), expected, atol=0.05 * np.abs(expected).max())


def test_several_inputs_and_outputs_keep_their_order():
    left, right = keras.Input((8,), name="left"), keras.Input((8,), name="right")
    dense = layers.Dense(3)
    model = keras.Model([left, right], [layers.Subtract()([dense(left), dense(right)]), dense(right)])
    x = [np.random.default_rng(n).uniform(-1, 1, (2, 8)).astype(np.float32) for n in (0, 1)]
    for other in (training.to_tf_keras(model), training.to_keras(training.to_tf_keras(model))):
        for ours, theirs in zip(model(x), other(x), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_frozen_layers_stay_frozen():
    model = km.MobileNetV2((32, 32, 3), 0.35, classes=3)
    model.get_layer("stem").trainable = False
    there = training.to_tf_keras(model)
    assert not there.get_layer("stem").trainable
    assert len(there.trainable_variables) == len(model.trainable_variables)


def _image():
    return keras.Input((8, 8, 3))


class Subclassed(keras.Model):
    def call(self, x):
        return x


def _operator():
    image = _image()
    return keras.Model(image, keras.ops.cumsum(layers.Conv2D(3, 1, name="conv")(image), axis=-1))


def _layer(layer):
    image = _image()
    return keras.Model(image, layer(image))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (_operator, "cumsum"),
        (lambda: _layer(layers.UnitNormalization(name="norm")), "layer norm"),
        (lambda: _layer(layers.Activation("mish", name="odd")), "layer odd .*mish"),
        (lambda: _layer(layers.Conv2D(3, 1, data_format="channels_first", name="first")), "layer first"),
        (Subclassed, "not built"),
        (lambda: training.to_tf_keras(_layer(layers.ReLU())), "takes a Keras 3 model"),
    ],
)
def test_what_has_no_counterpart_is_named_in_one_line(make, says):
    model = make()
    with pytest.raises(UserError, match=says) as raised:
        training.to_tf_keras(model)
    assert "\n" not in str(raised.value)


def test_a_model_that_tfmot_has_wrapped_is_not_taken_for_a_float_one():
    quantized = training.quantize_aware(km.MobileNetV1((32, 32, 3), 0.35, classes=3))
    with pytest.raises(UserError, match="QuantizeWrapper"):
        training.to_keras(quantized)
