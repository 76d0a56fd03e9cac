"""Taps for detectors and segmenters, held to the feature maps that the papers and their implementations tap."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_mobilenets as km
from keras_mobilenets.errors import UserError

# The channels of the last block at strides 4, 8 and 16, and of the last feature map: the papers' tables.
CHANNELS = [
    ("MobileNetV1", {}, [128, 256, 512, 1024]),
    ("MobileNetV2", {}, [24, 32, 96, 1280]),
    ("MobileNetV3Large", {}, [24, 40, 112, 960]),
    ("MobileNetV4ConvSmall", {}, [32, 64, 96, 960]),
    ("MobileNetV4HybridMedium", {}, [48, 80, 160, 960]),
    ("EfficientNetB0", {}, [24, 40, 112, 1280]),
    ("EfficientNetV2B0", {}, [32, 48, 112, 1280]),
    ("ResNet18", {}, [64, 128, 256, 512]),
    ("GhostNetV2", {}, [24, 40, 112, 960]),
]


def shapes(model):
    return {name: tuple(tensor.shape[1:]) for name, tensor in model.output.items()}


QUICK = ("MobileNetV2", "MobileNetV3Large", "MobileNetV4ConvSmall", "ResNet18", "GhostNetV2")


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


def test_maps_of_an_open_size_that_are_enlarged_to_another_keep_their_stride():
    model = km.features(km.GhostNetV2(width=0.35, include_top=False))
    channels = {"stride_4": 8, "stride_8": 16, "stride_16": 40, "stride_32": 336}  # of 24, 40, 112 and 960
    assert {name: shape[-1] for name, shape in shapes(model).items()} == channels


def test_a_stem_without_stride_moves_the_taps():
    model = km.features(km.MobileNetV2(alpha=0.35, stem_strides=1, input_shape=(32, 32, 3), classes=10))
    assert {name: shape[0] for name, shape in shapes(model).items()} == {"stride_4": 8, "stride_8": 4, "stride_16": 2}


# The layers that users of keras.applications tap (such as segmentation_models' and the Keras tutorials' U-Nets), or
# where they tap inside a block, the end of the block before.
APPLICATIONS = {
    "MobileNet": ("conv_pw_3_relu", "conv_pw_5_relu", "conv_pw_11_relu", "conv_pw_13_relu"),
    "MobileNetV2": ("block_2_add", "block_5_add", "block_12_add", "out_relu"),
    "MobileNetV3Small": ("expanded_conv_project_bn", "expanded_conv_2_add", "expanded_conv_7_add", None),
    "EfficientNetB0": ("block2b_add", "block3b_add", "block5c_add", "top_activation"),
    "ResNet50": ("conv2_block3_out", "conv3_block4_out", "conv4_block6_out", "conv5_block3_out"),
    "VGG16": ("block3_conv3", "block4_conv3", "block5_conv3", "block5_pool"),
    "Xception": (None, None, None, "block14_sepconv2_act"),
    "NASNetMobile": (None, "normal_concat_3", "normal_concat_8", None),
}


def _nested(base, size):
    image = keras.Input((size, size, 3))
    x = layers.GlobalAveragePooling2D()(base(layers.Rescaling(2.0)(image), training=False))
    return keras.Model(image, layers.Dense(3)(x))


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n == "MobileNetV2" else pytest.mark.slow) for n in APPLICATIONS]
)
def test_any_backbone_is_tapped_also_inside_a_model_with_a_head(name):
    size = 224 if name == "NASNetMobile" else 128
    base = getattr(keras.applications, name)(weights=None, include_top=False, input_shape=(size, size, 3))
    model = km.features(_nested(base, size))
    assert list(model.output) == ["stride_4", "stride_8", "stride_16", "stride_32"]
    for wanted, tensor in zip(APPLICATIONS[name], model.output.values(), strict=True):
        assert wanted in (None, tensor._keras_history.operation.name)
    images = np.random.default_rng(0).uniform(0, 1, (1, size, size, 3)).astype(np.float32)
    last = APPLICATIONS[name][-1]
    expected = base if last is None else keras.Model(base.input, base.get_layer(last).output)
    np.testing.assert_allclose(model(images)["stride_32"], expected(2 * images), atol=1e-5)


def test_a_sequential_network_of_ones_own_is_tapped_before_each_stride():
    convolutions = [
        layers.Conv2D(8 * n, 3, 1 + n % 2, "same", activation="relu", name=f"conv_{n}") for n in range(1, 7)
    ]
    model = keras.Sequential([keras.Input((64, 64, 3)), *convolutions, layers.Flatten(), layers.Dense(2)])
    assert shapes(km.features(model)) == {"stride_4": (16, 16, 32), "stride_8": (8, 8, 48)}


def test_other_models_are_refused_in_one_line():
    with pytest.raises(UserError, match="no feature map"):
        km.features(keras.Sequential([keras.Input((8,)), layers.Dense(2)]))


def test_the_rows_of_a_channel_shuffle_are_no_map():
    """At 64 pixels, 16 rows of 116 channels would be a map of stride 4 by their height alone."""
    model = km.features(km.create_model("ShuffleNetV2", include_top=False, input_shape=(64, 64, 3), alpha=0.5))
    assert [tensor.shape[1:3] for tensor in model.output.values()] == [(16, 16), (8, 8), (4, 4), (2, 2)]


# What timm 1.0.31 taps at strides 4, 8 and 16, by the layers that compute it here: compared with the same weights.
TIMM = {
    "RepViTM0_9": ("block_1_add", "block_4_add", "block_19_add"),
    "MobileViTXXS": ("block_3_add", "block_5_fuse_silu", "block_7_fuse_silu"),
    "ConvNeXtAtto": ("block_1_add", "block_3_add", "block_9_add"),
    "PoolFormerS12": ("block_1_add", "block_3_add", "block_9_add"),
}


@pytest.mark.parametrize("name", TIMM)
def test_stages_end_where_timm_taps_them(name):
    """What halves the image begins the next stage: RepViT's block before it, ConvNeXt's norm, MobileViT's expansion."""
    model = km.features(km.create_model(name, include_top=False, input_shape=(64, 96, 3), alpha=0.25))
    found = [model.output[f"stride_{stride}"]._keras_history.operation.name for stride in (4, 8, 16)]
    assert tuple(found) == TIMM[name]


def test_an_expansion_that_follows_an_activation_is_no_end_of_a_block():
    """Without this package's names: a 3×3 convolution with its activation, then an inverted residual of strides 2."""
    x = image = keras.Input((64, 64, 3))
    for filters in (16, 24):
        x = layers.Conv2D(filters, 3, strides=2, padding="same", activation="swish")(x)
    end = x
    x = layers.Activation("swish")(layers.BatchNormalization()(layers.Conv2D(96, 1)(x)))
    x = layers.DepthwiseConv2D(3, strides=2)(layers.ZeroPadding2D(1)(x))
    model = keras.Model(image, layers.Conv2D(32, 1)(x))
    taps = km.features(model).output
    assert taps["stride_4"] is end and taps["stride_8"].shape[-1] == 32
