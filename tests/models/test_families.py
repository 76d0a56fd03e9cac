"""Every family but MobileNetV1 and V2 against the published figures and against keras.applications, and what every
builder has in common.
"""

import functools
import importlib.util
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from networks import randomize

import keras_mobilenets as km
from keras_mobilenets.costs.published_figures import table
from keras_mobilenets.models.convnets import regnet
from keras_mobilenets.models.light import efficientnet, shufflenet_v1, shufflenet_v2

ELSEWHERE = ("MobileNetV1", "MobileNetV2", "DSCNN", "SSDLite", "SeparableSequenceNet", "DenseSequenceNet")
NAMES = [name for name in km.list_models() if not name.startswith(ELSEWHERE)]
SPEC = {
    "stem_filters": 8,
    "head_filters": 64,
    "activation": "hard_silu",
    "stages": [
        {"filters": 8, "expansion": 1},
        {"filters": 12, "repeats": 2, "strides": 2, "expansion": 3, "kernel_size": 5, "excite": True},
        {"filters": 24, "repeats": 2, "strides": 2, "activation": "hard_silu"},
        {"filters": 32, "strides": 2, "activation": "relu"},
        {"filters": 48, "strides": 2, "kernel_size": 5},
    ],
}
ONE_OF_EACH = {
    "MobileNetV3Small": {"alpha": 0.35},
    "MobileNetV4ConvSmall": {"alpha": 0.35},
    "MobileNetV4HybridMedium": {"alpha": 0.35},
    "Searched": {"spec": SPEC},
    "EfficientNetB0": {"alpha": 0.35},
    "EfficientNetLite0": {"alpha": 0.35},
    "EfficientNetV2B0": {"alpha": 0.35},
    "ResNet18": {"alpha": 0.25},
    "StandardConvNet": {"alpha": 0.25},
    "VGG16": {"alpha": 0.125},
    "ShuffleNetV1": {"width": 0.25},
    "ShuffleNetV2": {"width": 0.25},
    "RegNetX200MF": {"alpha": 0.35},
    "RegNetY200MF": {"alpha": 0.35},
    "Xception": {"alpha": 0.25},
    "GhostNet": {"width": 0.35},
    "GhostNetV2": {"width": 0.35},
    "ConvNeXtAtto": {"alpha": 0.35},
    "WTConvNeXtTiny": {"alpha": 0.25, "levels": (2, 1, 1, 1)},
    "MobileOneS1": {"alpha": 0.25},
    "RepViTM0_9": {"alpha": 0.35},
    "MobileViTXXS": {"alpha": 0.5},
    "EfficientFormerL1": {"alpha": 0.25, "layer_scale": 0.1},
    "PoolFormerS12": {"alpha": 0.25, "layer_scale": 0.1},
    "FastViTSA12": {"alpha": 0.25, "layer_scale": 0.1},
}
# VGG's poolings and ConvNeXt's patches drop the odd row, Xception's stem drops the border.
UNPADDED = ("VGG16", "Xception", "ConvNeXtAtto", "WTConvNeXtTiny")
DEEP = ("EfficientFormerL1", "FastViTSA12", "GhostNetV2", "MobileOneS1", "RegNetX200MF", "RepViTM0_9", "WTConvNeXtTiny")
QUICK = ("MobileNetV3Small", "MobileNetV4HybridMedium")  # squeeze-and-excite; attention


@functools.cache
def _network(name):
    """One of each family, built once for the tests that only look at it."""
    return km.create_model(name, input_shape=(64, 48, 3), classes=5, **ONE_OF_EACH[name])


def _images(size, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (2, *size, 3)).astype(np.float32)


def _published():
    """The figures of these families; building the larger networks takes long."""
    for row in table():
        if row.builder in NAMES:
            slow = row.parameters > 7.5e6 or (row.builder.startswith("Shuffle") and row.arguments["width"] > 1)
            slow |= row.builder in ("MobileViTXS", "MobileViTS", "RegNetX600MF", "RegNetX800MF", "RegNetY600MF")
            yield pytest.param(row, id=row.label, marks=[pytest.mark.slow] if slow else [])


@pytest.mark.parametrize("row", _published())
def test_parameters_and_multiply_adds_are_the_published_ones(row):
    shape = (row.input_size, row.input_size, 3)
    cost = km.cost(km.create_model(row.builder, input_shape=shape, **row.arguments))
    assert cost.parameters == row.parameters
    assert cost.macs / 1e6 == pytest.approx(row.macs_millions, rel=0.005)


@pytest.mark.parametrize(
    ("name", "arguments", "millions"),
    [  # as the model cards of timm and the papers print them
        ("MobileNetV4HybridMedium", {}, 11.07),
        pytest.param("MobileNetV4HybridLarge", {}, 37.76, marks=pytest.mark.slow),
        ("MobileNetV4ConvSmall", {"alpha": 0.5}, 2.24),
        ("EfficientNetLite0", {}, 4.65),
        pytest.param("EfficientNetLite1", {}, 5.42, marks=pytest.mark.slow),
        pytest.param("EfficientNetLite2", {}, 6.09, marks=pytest.mark.slow),
        pytest.param("EfficientNetLite3", {}, 8.20, marks=pytest.mark.slow),
        ("EfficientNetLite4", {}, 13.01),
        ("RegNetX400MF", {"torchvision_widths": True}, 5.496),  # torchvision's own documentation
        pytest.param("RegNetY800MF", {"torchvision_widths": True}, 6.433, marks=pytest.mark.slow),
        ("StandardConvNet", {}, 29.3),
        pytest.param("VGG16", {}, 138.36, marks=pytest.mark.slow),
    ],
)
def test_parameters_agree_with_the_published_millions(name, arguments, millions):
    shape = (224, 224, 3) if name == "VGG16" else (64, 64, 3)
    model = km.create_model(name, input_shape=shape, **arguments)
    parameters = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    assert parameters / 1e6 == pytest.approx(millions, abs=0.051 if millions == 29.3 else 0.0051)


def test_mobilenet_v1_with_standard_convolutions_costs_what_its_paper_says():
    assert km.cost(km.StandardConvNet()).macs / 1e6 == pytest.approx(4866, rel=0.001)


@pytest.mark.parametrize(
    ("name", "millions", "macs"),
    [  # as the papers print them, rounded or cut off, of the form without branches
        pytest.param("MobileOneS0", 2.1, 275, marks=pytest.mark.slow),
        pytest.param("MobileOneS1", 4.8, 825, marks=pytest.mark.slow),
        pytest.param("MobileOneS2", 7.8, 1299, marks=pytest.mark.slow),
        pytest.param("MobileOneS3", 10.1, 1896, marks=pytest.mark.slow),
        pytest.param("MobileOneS4", 14.8, 2978, marks=pytest.mark.slow),
        pytest.param("RepViTM0_9", 5.1, 800, marks=pytest.mark.slow),
        pytest.param("RepViTM1_1", 8.2, 1300, marks=pytest.mark.slow),
    ],
)
def test_networks_with_branches_cost_what_their_papers_say_once_folded(name, millions, macs):
    cost = km.cost(km.reparameterized(km.create_model(name, input_shape=(224, 224, 3))))
    assert millions - 0.051 < cost.parameters / 1e6 < millions + 0.1
    assert cost.macs / 1e6 == pytest.approx(macs, abs=51 if macs % 100 == 0 else 0.01 * macs)


@pytest.fixture
def float64():
    """Deep networks of random weights amplify float32's rounding: EfficientNetB7's to 0.4% of its largest logit."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    keras.utils.set_random_seed(0)  # some kernels amplify float64's rounding too far
    yield
    keras.config.set_dtype_policy(before)


@pytest.mark.parametrize(
    ("name", "arguments", "size"),
    [
        ("MobileNetV3Large", {}, 96),
        pytest.param("MobileNetV3Large", {"alpha": 0.75}, 97, marks=pytest.mark.slow),
        pytest.param("MobileNetV3Large", {"alpha": 1.25}, 64, marks=pytest.mark.slow),
        pytest.param("MobileNetV3Large", {"minimalistic": True}, 65, marks=pytest.mark.slow),
        pytest.param("MobileNetV3Small", {}, 97, marks=pytest.mark.slow),
        pytest.param("MobileNetV3Small", {"alpha": 0.75}, 97, marks=pytest.mark.slow),
        pytest.param("MobileNetV3Small", {"minimalistic": True}, 96, marks=pytest.mark.slow),
        ("EfficientNetB0", {}, 97),
        pytest.param("EfficientNetB2", {}, 64, marks=pytest.mark.slow),
        ("EfficientNetV2B0", {}, 96),
        pytest.param("EfficientNetV2B3", {}, 65, marks=pytest.mark.slow),
        pytest.param("EfficientNetB7", {}, 64, marks=pytest.mark.slow),
        pytest.param("EfficientNetV2S", {}, 64, marks=pytest.mark.slow),
        pytest.param("EfficientNetV2M", {}, 64, marks=pytest.mark.slow),
        pytest.param("EfficientNetV2L", {}, 64, marks=pytest.mark.slow),
    ],
)
def test_same_weights_give_the_outputs_of_keras_applications(name, arguments, size, float64):
    logits = {"input_shape": (size, size, 3), "classifier_activation": None, **arguments}
    bare = {} if "EfficientNetB" in name else {"include_preprocessing": False}
    theirs = getattr(keras.applications, name)(weights=None, **logits, **bare)
    randomize(theirs)
    ours = km.create_model(name, **logits)
    weights = [w for layer in theirs.layers if not isinstance(layer, keras.layers.Normalization) for w in layer.weights]
    for mine, other in zip(ours.weights, weights, strict=True):
        mine.assign(np.reshape(other.numpy(), mine.shape))  # their dense layers may be 1×1 convolutions
    images = _images((size, size))
    # EfficientNetB rescales by 1/255 and, before ImageNet's statistics are loaded, normalizes by nothing.
    expected = np.asarray(theirs(255 * images if "EfficientNetB" in name else images))
    difference = abs(np.asarray(ours(images)) - expected).max()
    assert difference < 1e-5 * abs(expected).max()
    assert expected.std() > 0.1  # else all would be equal


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n in DEEP else []) for n in ONE_OF_EACH])
def test_odd_sizes_give_feature_maps_of_stride_32(name):
    image = keras.Input((65, 97, 3))
    model = km.create_model(name, input_tensor=image, include_top=False, pooling="avg", **ONE_OF_EACH[name])
    features = model.get_layer("pool").input.shape
    assert features[1:3] == ((2, 3) if name in UNPADDED else (3, 4))
    assert model.output_shape == (None, features[-1])


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in QUICK else pytest.mark.slow) for n in ONE_OF_EACH])
def test_saved_and_loaded_without_custom_objects_is_the_same(name, tmp_path):
    model = randomize(_network(name))
    model.save(tmp_path / "m.keras")
    images = _images((64, 48))
    loaded = keras.models.load_model(tmp_path / "m.keras")(images)
    np.testing.assert_allclose(model(images), loaded, atol=1e-6)


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_networks_are_of_plain_layers_that_exporters_know(name):
    """But for the products of attention with several heads, which no layer of Keras computes at rank 4."""
    for layer in _network(name).layers:
        own = ("AttentionBias", "BilinearResizing", "MatrixProduct")
        if type(layer).__name__ in own and name.startswith(("MobileViT", "EfficientF", "FastViT")):
            continue
        assert getattr(keras.layers, type(layer).__name__) is type(layer), layer.name
        assert not isinstance(layer, keras.layers.Lambda)


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("MobileNetV3Small", "stem block_3_expand block_3_se_reduce block_3_project_bn head hidden predictions"),
        ("MobileNetV4ConvSmall", "stem block_0_conv block_4_start_depthwise block_4_depthwise head hidden predictions"),
        ("MobileNetV4HybridMedium", "block_0_fused block_7_query block_7_key_depthwise block_7_scale hidden_bn"),
        ("EfficientNetB0", "stem_silu block_0_depthwise block_0_se_expand_sigmoid block_2_add head predictions"),
        ("EfficientNetV2B0", "block_0_fused block_1_project block_6_se_scale head_bn"),
        ("ResNet18", "stem_pool block_2_shortcut_bn block_2_conv_2 block_7_add"),
        ("RegNetY200MF", "stem block_2_conv_1 block_2_conv_2_bn block_2_se_reduce block_2_shortcut block_2_add"),
        (
            "Xception",
            "stem stem_2 block_0_shortcut block_1_input_relu block_3_conv_3_pointwise_bn head_2_pointwise",
        ),
        ("ConvNeXtAtto", "stem_norm block_3_norm block_3_expand_gelu block_3_scale downsample_3 head_norm predictions"),
        (
            "WTConvNeXtTiny",
            "block_0_depthwise_2_hl_haar block_0_depthwise_1_ll_scale block_0_depthwise_base block_0_add",
        ),
        ("MobileViTXXS", "block_5_local block_5_embed block_5_1_query block_5_0_attended block_5_fuse_bn head"),
        ("EfficientFormerL1", "stem_2_bn block_2_pool_scale block_14_query block_14_scale predictions_teacher"),
        ("PoolFormerS12", "downsample_2 block_4_pool_norm block_4_pool_scale block_4_norm block_4_expand head_norm"),
        (
            "FastViTSA12",
            "stem_2_point block_0_mixer_norm_bn block_3_mixer downsample_2_large position block_11_query head",
        ),
        ("VGG16", "stem block_4_conv_3 block_4_pool hidden_1 hidden_2_relu predictions"),
        ("ShuffleNetV1", "block_0_shortcut_pool block_0_reduce block_1_shuffle_map block_1_expand_bn block_1_add"),
        ("ShuffleNetV2", "block_0_shortcut_depthwise block_1_split_first block_1_conv_2_relu block_1_concat head"),
        ("GhostNet", "stem block_0_expand_primary block_1_project_cheap_bn block_3_shortcut block_3_se_scale hidden"),
        (
            "MobileOneS1",
            "stem stem_point block_0_depthwise_branch_0 block_1_pointwise_identity_bn predictions",
        ),
        ("RepViTM0_9", "stem_2_bn block_0_depthwise_point block_0_se_scale block_2_before_depthwise block_2_pointwise"),
        ("GhostNetV2", "block_2_gate_pool block_2_gate_horizontal_bn block_3_gate_upsample block_15_gate head"),
    ],
)
def test_layer_names_are_stable(name, layers):
    names = {layer.name for layer in _network(name).layers}
    assert set(layers.split()) <= names


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in QUICK else pytest.mark.slow) for n in ONE_OF_EACH])
def test_stem_strides_1_keeps_the_resolution_of_small_images(name):
    arguments = {"input_shape": (32, 32, 3), "include_top": False, "stem_strides": 1, **ONE_OF_EACH[name]}
    assert km.create_model(name, **arguments).output_shape[1] == (1 if name == "VGG16" else 2)  # VGG's always keeps it


def test_the_stages_of_regnets_follow_from_their_four_parameters():
    from tf_keras.src.applications.regnet import MODEL_CONFIGS

    for kind, designs in (("x", regnet.X), ("y", regnet.Y)):
        published = ("002", "004", "006", "008", "016", "032", "040", "064", "080", "120", "160", "320")
        for code, design in zip(published, designs.values(), strict=True):
            theirs, found = MODEL_CONFIGS[kind + code], regnet.stages(design)
            assert [stage.repeats for stage in found] == theirs["depths"]
            assert [stage.width for stage in found] == theirs["widths"]
            assert all(stage.group_width == min(theirs["group_width"], stage.width) for stage in found)


@pytest.mark.parametrize("alpha", [0.125, 0.35, 0.5, 0.75, 1.5, 2.0])
def test_a_width_multiplier_keeps_a_regnets_depths_and_whole_groups(alpha):
    for design in (*regnet.X.values(), *regnet.Y.values()):
        published, found = regnet.stages(design), regnet.stages(design, alpha)
        assert [stage.repeats for stage in found] == [stage.repeats for stage in published]
        for stage, full in zip(found, published, strict=True):
            assert stage.width % stage.group_width == 0
            # rounded twice: to a multiple of 8 and to one of the group width
            assert abs(stage.width - alpha * full.width) <= 4 + stage.group_width / 2 + alpha * design.group_width / 2


def test_attention_takes_images_of_any_size():
    known = km.MobileNetV4HybridMedium((64, 96, 3), 0.25, include_top=False)
    randomize(known)
    anysize = km.MobileNetV4HybridMedium(alpha=0.25, include_top=False)
    assert anysize.input_shape == (None, None, None, 3)
    anysize.set_weights(known.get_weights())
    image = np.random.default_rng(0).uniform(-1, 1, (1, 64, 96, 3)).astype(np.float32)
    expected = known(image)
    assert np.std(expected) > 0.01
    np.testing.assert_allclose(anysize(image), expected, rtol=1e-4, atol=1e-5)


def test_a_flattened_classifier_wants_a_known_size():
    assert km.VGG16(alpha=0.0625, include_top=False).input_shape == (None, None, None, 3)
    with pytest.raises(km.UserError, match="VGG16 must know its input size"):
        km.VGG16((None, None, 3), 0.0625)


@pytest.mark.parametrize("name", ["MobileViTXXS", "EfficientFormerL1"])
def test_attention_between_patches_wants_a_known_size(name):
    assert km.create_model(name, include_top=False).input_shape == (None, *(getattr(km, name).default_size,) * 2, 3)
    with pytest.raises(km.UserError, match=f"{name} must know its input size"):
        km.create_model(name, input_shape=(None, 64, 3), include_top=False)


def test_patches_that_do_not_fill_the_map_are_resized_in_inference():
    """Keras' own Resizing would put the layers behind it into training mode."""
    model = randomize(km.MobileViTXXS((96, 96, 3), 0.5))
    assert any("resize_back" in layer.name for layer in model.layers)
    images = _images((96, 96))
    np.testing.assert_allclose(model(images), model(images, training=False), atol=1e-6)


def test_names_say_what_differs_from_the_defaults():
    assert km.MobileNetV3Small((32, 32, 3), 0.5, minimalistic=True).name == "mobilenetv3small_0.5_minimalistic"
    assert km.EfficientNetLite0((32, 32, 3), include_top=False).name == "efficientnetlite0"


@pytest.mark.parametrize(
    ("groups", "millions"),
    [(2, 140), *(pytest.param(*row, marks=pytest.mark.slow) for row in ((1, 143), (3, 137), (4, 133), (8, 137)))],
)
def test_shufflenet_of_every_number_of_groups_costs_what_its_paper_says(groups, millions):
    assert km.cost(km.ShuffleNetV1(groups=groups)).macs / 1e6 == pytest.approx(millions, rel=0.0101)  # table 1


def test_either_word_for_the_width_multiplier_is_understood():
    for name, theirs, other in (("ShuffleNetV2", "width", "alpha"), ("MobileNetV2", "alpha", "width")):
        models = [km.create_model(name, input_shape=(32, 32, 3), classes=2, **{word: 0.5}) for word in (theirs, other)]
        assert models[0].name == models[1].name and models[0].count_params() == models[1].count_params()
    with pytest.raises(km.UserError, match="takes no 'alpha'"):
        km.create_model("ShuffleNetV2", width=0.5, alpha=0.5)


def test_shufflenets_have_the_widths_between_the_published_ones():
    for groups, width in ((2, 0.25), (4, 0.35), (8, 0.75)):
        model = km.ShuffleNetV1((32, 32, 3), width, groups=groups, include_top=False)
        assert abs(model.output_shape[-1] - 4 * shufflenet_v1.CHANNELS[groups] * width) < 16 * groups
    found = [shufflenet_v2.channels(width) for width in (0.01, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 3.0)]
    assert found == [4, 24, 48, 80, 116, 144, 176, 208, 244, 368]
    with pytest.raises(km.UserError, match="groups=5: ShuffleNetV1 has 1, 2, 3, 4, 8 groups"):
        km.ShuffleNetV1((32, 32, 3), groups=5)


def test_compound_scaling_keeps_its_rule_and_is_near_the_published_coefficients():
    baseline = efficientnet.compound_scaling(0)
    assert (baseline.width, baseline.depth, baseline.size) == (1, 1, 224)
    one = efficientnet.compound_scaling(1)
    growth = one.depth * one.width**2 * (one.size / 224) ** 2
    assert growth == pytest.approx(2, rel=0.05)  # section 3.3: α · β² · γ² ≈ 2
    for variant, phi in {"B1": 0.5, "B2": 1, "B3": 2, "B4": 3.5, "B5": 5, "B6": 6, "B7": 7}.items():
        published, rule = efficientnet.SCALINGS[variant], efficientnet.compound_scaling(phi)
        assert published.width == pytest.approx(rule.width, rel=0.05)
        assert published.size == pytest.approx(rule.size, rel=0.05)
        assert 0.85 * rule.depth < published.depth <= 1.01 * rule.depth


def test_multi_query_attention_computes_what_its_formula_says():
    """softmax(q kᵀ / √d) v with one key and value for all heads, written out with NumPy."""
    image = keras.Input((3, 4, 8))
    model = keras.Model(image, km.blocks.multi_query_attention(image, 2, 5, layer_scale=0.7, name="a"))
    randomize(model)
    kernel = {layer.name: np.squeeze(layer.kernel) for layer in model.layers if hasattr(layer, "kernel")}
    x = np.random.default_rng(1).normal(size=(1, 3, 4, 8)).astype(np.float32)
    rows = np.asarray(model.get_layer("a_input_bn")(x)).reshape(12, 8)
    key, value = rows @ kernel["a_key"], rows @ kernel["a_value"]
    heads = []
    for head in range(2):
        scores = rows @ kernel["a_query"][:, 5 * head : 5 * head + 5] @ key.T / np.sqrt(5)
        weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
        heads.append(weights @ value)
    expected = x + 0.7 * (np.concatenate(heads, -1) @ kernel["a_project"]).reshape(1, 3, 4, 8)
    np.testing.assert_allclose(model(x), expected, atol=1e-5)


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed")
@pytest.mark.parametrize(
    "names", [["StandardConvNet"], pytest.param(list(ONE_OF_EACH), marks=pytest.mark.slow)], ids=len
)
def test_the_jax_backend_gives_the_same_outputs(names, tmp_path):
    images, networks = _images((64, 64)), {name: ONE_OF_EACH[name] for name in names}
    np.save(tmp_path / "images.npy", images)
    expected = {}
    for name, arguments in networks.items():
        model = km.create_model(name, input_shape=(64, 64, 3), **arguments)
        randomize(model)
        model.save_weights(tmp_path / f"{name}.weights.h5")
        expected[name] = np.asarray(model(images))
    code = """
import json, sys, pathlib, numpy as np, keras_mobilenets as km
folder = pathlib.Path(sys.argv[1])
images = np.load(folder / "images.npy")
for name, arguments in json.loads(sys.argv[2]).items():
    model = km.create_model(name, input_shape=(64, 64, 3), **arguments)
    model.load_weights(folder / f"{name}.weights.h5")
    np.save(folder / f"{name}.npy", model.predict(images, verbose=0))
assert "tensorflow" not in sys.modules
"""
    hasty = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"  # a quarter of the time
    environment = os.environ | {"KERAS_BACKEND": "jax", "XLA_FLAGS": hasty}
    command = [sys.executable, "-c", code, str(tmp_path), json.dumps(networks)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in networks:
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), expected[name], atol=1e-4, err_msg=name)
