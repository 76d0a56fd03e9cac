"""Taps for detectors and segmenters, held to the feature maps that the papers and their implementations tap."""

import numpy as np
import pytest

import keras_mobilenets as km
from keras_mobilenets.errors import UserError

# The channels of the last block at strides 4, 8 and 16, and of the last feature map: the papers' tables.
CHANNELS = [
    ("MobileNetV1", {}, [128, 256, 512, 1024]),
    ("MobileNetV2", {}, [24, 32, 96, 1280]),
    ("MobileNetV3Large", {}, [24, 40, 112, 960]),
    ("MobileNetV4ConvSmall", {}, [32, 64, 96, 960]),
    ("EfficientNetB0", {}, [24, 40, 112, 1280]),
    ("EfficientNetV2B0", {}, [32, 48, 112, 1280]),
    ("ResNet18", {}, [64, 128, 256, 512]),
]


def shapes(model):
    return {name: tuple(tensor.shape[1:]) for name, tensor in model.output.items()}


QUICK = ("MobileNetV2", "MobileNetV3Large", "MobileNetV4ConvSmall", "ResNet18")


@pytest.mark.parametrize(
    ("name", "arguments", "channels"),
    [pytest.param(*row, id=row[0], marks=[] if row[0] in QUICK else pytest.mark.slow) for row in CHANNELS],
)
def test_taps_are_the_last_blocks_at_their_strides(name, arguments, channels):
    model = km.features(km.create_model(name, include_top=False, input_shape=(64, 96, 3), **arguments))
    strides = (4, 8, 16, 32)
    wanted = {f"stride_{s}": (64 // s, 96 // s, c) for s, c in zip(strides, channels, strict=True)}
    assert shapes(model) == wanted


def test_expanded_taps_are_those_of_ssdlite():
    """MobileNetV2, section 6.2: the expansion of layer 15 (stride 16, 576 channels) and the last layer (stride 32)."""
    model = km.features(km.MobileNetV2(include_top=False, input_shape=(320, 320, 3)), expanded=True)
    assert shapes(model)["stride_16"] == (20, 20, 576)
    assert shapes(model)["stride_32"] == (10, 10, 1280)


def test_taps_share_the_weights_and_the_last_is_the_feature_map():
    model = km.MobileNetV2(alpha=0.35, include_top=False)
    images = np.random.default_rng(0).uniform(-1, 1, (1, 64, 64, 3)).astype(np.float32)
    taps = km.features(model)(images)
    np.testing.assert_array_equal(np.asarray(taps["stride_32"]), np.asarray(model(images)))


def test_a_stem_without_stride_moves_the_taps():
    model = km.features(km.MobileNetV2(alpha=0.35, stem_strides=1, input_shape=(32, 32, 3), classes=10))
    assert {name: shape[0] for name, shape in shapes(model).items()} == {"stride_4": 8, "stride_8": 4, "stride_16": 2}


def test_other_models_are_refused_in_one_line():
    import keras

    with pytest.raises(UserError, match="builders"):
        km.features(keras.Sequential([keras.Input((8,)), keras.layers.Dense(2)]))
