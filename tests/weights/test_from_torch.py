"""from_torch against the outputs of timm's models (tests/golden), and what it says of weights that do not fit."""

import base64
import json
import zlib
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from networks import answers

import keras_mobilenets as km
from keras_mobilenets.errors import UserError
from keras_mobilenets.models import torch_names
from keras_mobilenets.pixels.preprocessing_layers import scaling_of_layers
from keras_mobilenets.weights import pytorch, torch_models, towers
from keras_mobilenets.weights.adaptation import adapted
from keras_mobilenets.weights.checkpoints import state_dict
from keras_mobilenets.weights.dialects import dialect_of
from keras_mobilenets.weights.dialects.families import convnext, mobileone

GOLDEN = Path(__file__).parents[1] / "golden"


def weight_of(name, shape, gain):
    """The weight that the golden models have: a function of the tensor's name and shape."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "running_var" or (leaf not in ("running_mean", "bias") and (len(shape) <= 1 or leaf != "weight")):
        value = rng.uniform(0.5, 1.5, shape)
    elif leaf in ("running_mean", "bias"):
        value = 0.1 * rng.standard_normal(shape)
    else:
        value = rng.standard_normal(shape) * np.sqrt(gain / np.prod(shape[1:]))
    return value.astype(np.float32)


def golden(name):
    return json.loads((GOLDEN / f"{name}.json").read_text())


def weights_of(reference):
    return {name: weight_of(name, shape, reference["gain"]) for name, shape in reference["state"]}


@pytest.mark.parametrize("size", [(9, 9), (8, 8), (9, 8), (None, None)], ids=str)
def test_max_pooling_is_padded_alike_as_pytorch_does_it(size):
    """Of negative numbers too: PyTorch pads with −∞."""
    import keras

    image = keras.Input((*size, 3))
    pooled = keras.layers.MaxPooling2D(3, strides=2, padding="same", name="pool")
    model = keras.Model(image, pooled(keras.layers.Activation("linear")(image)))
    model.variant = ("", {})
    height, width = (side or 10 for side in size)
    x = np.random.default_rng(0).normal(-2, 1, (2, height, width, 3)).astype(np.float32)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))[:, ::2, ::2]
    assert np.array_equal(np.asarray(adapted(model, symmetric=True)(x)), windows.max((-1, -2)))


@pytest.mark.parametrize("builder", ["MobileOneS0", "FastViTT8", "MobileNetV2"])
def test_every_branch_of_the_first_block_reads_scaled_images(builder):
    model = km.create_model(builder, input_shape=(32, 32, 3), alpha=0.25, classes=3)
    factors, offsets = [2.0, 3.0, 4.0], [0.5, -0.5, 1.0]
    scaled = adapted(model, scaling=(factors, offsets))
    scaled.set_weights(model.get_weights())
    x = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32)
    expected = answers(model, (x * factors + offsets).astype(np.float32))
    np.testing.assert_allclose(answers(scaled, x), expected, atol=1e-5)


@pytest.fixture(scope="module")
def small():
    """The smallest model's name and weights."""
    reference = golden("mobilenetv2_050")
    return reference["model"], weights_of(reference)


# Of many layers, or much like another.
SLOW = (
    *("convnext_tiny", "wtconvnext_tiny", "ghostnetv2_100", "mobileone_s0", "repvit_m0_9", "repvit_m1"),
    *("efficientformer_l1", "poolformer_s12", "fastvit_mci0"),
)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else [])
        for n in sorted(p.stem for p in GOLDEN.glob("*.json"))
    ],
)
def test_outputs_are_those_of_the_pytorch_model(name):
    reference = golden(name)
    known = {"input_shape": (reference["input_size"],) * 2 + (3,)} if reference["model"] == "fastvit_mci0" else {}
    model = km.from_torch(reference["model"], weights_of(reference), **known)
    side = reference.get("input_size")
    given = (
        np.random.default_rng(0).uniform(-1, 1, (2, side, side, 3)).astype(np.float32)
        if side
        else np.array(reference["tokens"], np.int32)
    )
    expected = np.frombuffer(base64.b64decode(reference["logits_f32le_base64"]), "<f4").astype(np.float64)
    actual = np.asarray(model(given, training=False), np.float64)[
        :, :: reference.get("every", 1)
    ]  # some logits' squares are beyond float32
    assert actual.shape == tuple(reference["logits_shape"])
    assert np.linalg.norm(actual.ravel() - expected) / np.linalg.norm(expected) < reference.get("tolerance", 1e-4)
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == reference["trainable_parameters"]


@pytest.mark.slow
@pytest.mark.parametrize("row", {row.name: row for row in torch_models.published()}.values(), ids=lambda row: row.name)
def test_the_builder_of_every_name_has_its_parameters(row):
    if row.parameters > 60e6 or row.name.startswith("ssdlite"):
        pytest.skip("large, or of other classes")
    names = {"torchvision": {"features.0": None}, "megvii": {"features.0.branch_main.0": None}}
    arguments = torch_names._arguments(row.name, names.get(row.library, {}))
    model = km.create_model(arguments.pop("builder"), **arguments)
    zeros = 1000 if row.library == "megvii" and "v2" in row.name else 0  # in the place of a bias that it has not
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == row.parameters + zeros


def folded(state):
    """As timm's `reparameterize_model` leaves them: one convolution, `reparam_conv`, in the place of branches."""
    result = dict(state)

    def normalization(module):
        leaves = ("weight", "bias", "running_mean", "running_var")
        gamma, beta, mean, variance = (result.pop(f"{module}.{leaf}") for leaf in leaves)
        factor = gamma / np.sqrt(variance + 1e-5)
        return factor[:, None, None, None], beta - mean * factor

    def branch(module, side):
        kernel, (factor, bias) = result.pop(f"{module}.conv.weight"), normalization(f"{module}.bn")
        pad = (side - kernel.shape[-1]) // 2
        return np.pad(kernel * factor, ((0, 0), (0, 0), (pad, pad), (pad, pad))), bias

    def identity(shape):
        kernel = np.zeros(shape, np.float32)
        for channel in range(shape[0]):
            kernel[channel, channel % shape[1], shape[2] // 2, shape[3] // 2] = 1
        return kernel

    for module in {name.split(".conv_kxk.")[0] for name in state if ".conv_kxk." in name}:
        shape = state[f"{module}.conv_kxk.0.conv.weight"].shape
        names = (*(f"{module}.conv_kxk.{index}" for index in range(4)), f"{module}.conv_scale")
        parts = [branch(name, shape[-1]) for name in names if f"{name}.conv.weight" in state]
        if f"{module}.identity.weight" in state:
            factor, bias = normalization(f"{module}.identity")
            parts.append((factor * identity(shape), bias))
        kernel, bias = (sum(part) for part in zip(*parts, strict=True))
        if module.endswith(".mixer"):
            module = module.removesuffix(".mixer")
            factor, shift = normalization(f"{module}.norm.identity")
            gamma = result.pop(f"{module}.layer_scale.gamma").reshape(-1)
            kernel = identity(shape) + gamma[:, None, None, None] * (kernel - factor * identity(shape))
            bias = gamma * (bias - shift)
        result |= {f"{module}.reparam_conv.weight": kernel, f"{module}.reparam_conv.bias": bias}
    for module in [name.removesuffix(".large_conv.conv.weight") for name in state if ".large_conv.conv." in name]:
        (kernel, bias), (small, shift) = (branch(f"{module}.{size}_conv", 7) for size in ("large", "small"))
        result |= {f"{module}.reparam_conv.weight": kernel + small, f"{module}.reparam_conv.bias": bias + shift}
    for module in [name.removesuffix(".pos_enc.weight") for name in state if name.endswith(".pos_enc.weight")]:
        kernel = result.pop(f"{module}.pos_enc.weight")
        result[f"{module}.reparam_conv.weight"] = kernel + identity(kernel.shape)
        result[f"{module}.reparam_conv.bias"] = result.pop(f"{module}.pos_enc.bias")
    return result


def test_branches_that_were_folded_before_they_were_saved_are_plain_layers():
    small = {"alpha": 0.25, "input_shape": (64, 64, 3)}
    network = km.MobileOneS1(classifier_activation=None, **small)
    modules = dict(mobileone.modules(network, {}))
    state = {
        name: weight_of(name, pytorch._torch_shape(layer, weight), 1.0)
        for layer in network.layers
        for leaf, weight in zip(pytorch._leaves(layer), layer.weights, strict=True)
        for name in [f"{modules[layer.name]}.{leaf}"]
    }
    model, plain = (km.from_torch("mobileone_s1", arrays, **small) for arrays in (state, folded(state)))
    images = np.random.default_rng(0).uniform(-1, 1, (1, 64, 64, 3)).astype(np.float32)
    expected = np.asarray(model(images, training=False))
    assert np.linalg.norm(plain(images, training=False) - expected) < 1e-4 * np.linalg.norm(expected)
    assert not any(layer.name.endswith("_point") for layer in plain.layers)


@pytest.mark.slow
def test_a_folded_fastvit_gives_the_outputs_of_timm():
    reference = golden("fastvit_mci0")
    state = folded(weights_of(reference))
    assert len(state) < 0.6 * len(reference["state"])
    model = km.from_torch("fastvit_mci0", state, input_shape=(64, 64, 3))
    images = np.random.default_rng(0).uniform(-1, 1, (2, 64, 64, 3)).astype(np.float32)
    expected = np.frombuffer(base64.b64decode(reference["logits_f32le_base64"]), "<f4").reshape(2, -1)
    assert np.linalg.norm(model(images, training=False) - expected) < 1e-3 * np.linalg.norm(expected)


def renamed(state, rename):
    return {rename(name): value for name, value in state.items()}


def test_torchvision_names_give_the_same_model(small):
    """torchvision's MobileNetV2 is timm's under other names: its modules are numbered in their order."""
    _, state = small
    blocks = list(dict.fromkeys(name.rsplit(".", 2)[0] for name in state if name.startswith("blocks.")))

    def rename(name):
        module, leaf = name.rsplit(".", 1)
        if module in ("conv_stem", "bn1", "conv_head", "bn2"):
            return f"features.{0 if module in ('conv_stem', 'bn1') else 18}.{int(module.startswith('bn'))}.{leaf}"
        if module == "classifier":
            return f"classifier.1.{leaf}"
        block, part = module.rsplit(".", 1)
        index = blocks.index(block)
        if index == 0:
            place = {"conv_dw": "0.0", "bn1": "0.1", "conv_pw": "1", "bn2": "2"}[part]
        else:
            order = {"conv_pw": "0.0", "bn1": "0.1", "conv_dw": "1.0", "bn2": "1.1", "conv_pwl": "2", "bn3": "3"}
            place = order[part]
        return f"features.{index + 1}.conv.{place}.{leaf}"

    images = np.random.default_rng(0).uniform(-1, 1, (1, 64, 64, 3)).astype(np.float32)
    ours = km.from_torch("mobilenetv2_050", state)
    other = km.from_torch("mobilenet_v2", renamed(state, rename), alpha=0.5)
    np.testing.assert_allclose(np.asarray(other(images)), np.asarray(ours(images)), rtol=1e-5)


def _convnext(words):
    """Tensors of a small ConvNeXt, called as timm does, torchvision, or the authors."""
    rng, dims, depths = np.random.default_rng(0), (16, 32, 64, 128), (2, 2, 6, 2)
    shapes = {"stem.0": (16, 3, 4, 4), "stem.1": (16,), "head.norm": (128,), "head.fc": (5, 128)}
    for stage, (width, depth) in enumerate(zip(dims, depths, strict=True)):
        if stage:
            shapes |= {
                f"stages.{stage}.downsample.0": (width // 2,),
                f"stages.{stage}.downsample.1": (width, width // 2, 2, 2),
            }
        for block in range(depth):
            prefix = f"stages.{stage}.blocks.{block}"
            shapes |= {
                f"{prefix}.conv_dw": (width, 1, 7, 7),
                f"{prefix}.norm": (width,),
                f"{prefix}.mlp.fc1": (4 * width, width),
                f"{prefix}.mlp.fc2": (width, 4 * width),
                f"{prefix}.gamma": (width,),
            }
    state = {}
    for module, shape in shapes.items():
        names = [module] if module.endswith("gamma") else [f"{module}.weight", f"{module}.bias"]
        state |= {
            name: rng.normal(0, 0.2, shape if name == names[0] else shape[:1]).astype(np.float32) for name in names
        }
    return {
        words(name): array.reshape(-1, 1, 1) if "layer_scale" in words(name) else array for name, array in state.items()
    }


def _of_torchvision(name):
    """Its stages and the downsampling between them are numbered together, a block is one sequence."""
    place = {
        "conv_dw": "block.0",
        "norm": "block.2",
        "mlp.fc1": "block.3",
        "mlp.fc2": "block.5",
        "gamma": "layer_scale",
    }
    if name.startswith("stem"):
        return name.replace("stem", "features.0")
    if name.startswith("head"):
        return name.replace("head.norm", "classifier.0").replace("head.fc", "classifier.2")
    _, stage, kind, index, *rest = name.split(".")
    if kind == "downsample":
        return f"features.{2 * int(stage)}.{index}.{rest[0]}"
    *module, leaf = rest if rest != ["gamma"] else ["gamma", ""]
    return f"features.{2 * int(stage) + 1}.{index}.{place['.'.join(module)]}.{leaf}".rstrip(".")


def _of_the_authors(name):
    for ours, theirs in (
        ("stem.", "downsample_layers.0."),
        ("head.norm", "norm"),
        ("head.fc", "head"),
        (".blocks", ""),
        ("conv_dw", "dwconv"),
        ("mlp.fc", "pwconv"),
    ):
        name = name.replace(ours, theirs)
    parts = name.split(".")
    return f"downsample_layers.{parts[1]}.{'.'.join(parts[3:])}" if "downsample" in parts else name


def test_convnext_of_torchvision_and_of_its_authors_is_that_of_timm():
    expected = convnext.tensors(_convnext(str))
    for words in (_of_torchvision, _of_the_authors):
        state = _convnext(words)
        assert dialect_of(state) is convnext
        found = convnext.tensors(state)
        assert found.keys() == expected.keys()
        assert all(np.array_equal(found[name], expected[name]) for name in expected)
    km.from_torch("convnext_atto", state, alpha=0.4)  # every tensor has its layer


@pytest.mark.slow
def test_names_of_efficientnet_pytorch_give_the_same_model():
    reference = golden("efficientnet_b0")
    state = weights_of(reference)
    blocks = sorted({name.split(".conv_dw.")[0] for name in state if ".conv_dw." in name})
    places = {block: number for number, block in enumerate(sorted(blocks, key=lambda b: [*map(int, b.split(".")[1:])]))}
    inside = {"conv_pw": "_expand_conv", "bn1": "_bn0", "conv_dw": "_depthwise_conv", "bn2": "_bn1"}
    inside |= {
        "conv_pwl": "_project_conv",
        "bn3": "_bn2",
        "se.conv_reduce": "_se_reduce",
        "se.conv_expand": "_se_expand",
    }
    separable = {"conv_pw": "_project_conv", "bn1": "_bn1", "bn2": "_bn2"}  # of the first block, which does not expand
    outside = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1", "classifier": "_fc"}

    def rename(name):
        module, leaf = name.rsplit(".", 1)
        block = next((block for block in blocks if module.startswith(f"{block}.")), None)
        if block is None:
            return f"{outside[module]}.{leaf}"
        role = module.removeprefix(f"{block}.")
        names = inside if f"{block}.conv_pwl.weight" in state else inside | separable
        return f"_blocks.{places[block]}.{names[role]}.{leaf}"

    images = np.random.default_rng(0).uniform(-1, 1, (1, 64, 64, 3)).astype(np.float32)
    first, second = (km.from_torch(reference["model"], arrays) for arrays in (state, renamed(state, rename)))
    assert np.array_equal(first(images, training=False), second(images, training=False))


def test_strided_convolutions_are_padded_alike_on_both_sides(small):
    model = km.from_torch(*small)
    assert model.get_layer("stem_pad").padding == ((1, 1), (1, 1))
    assert model.get_layer("stem").padding == "valid"
    assert {layer.epsilon for layer in model.layers if hasattr(layer, "epsilon")} == {1e-5}


def test_safetensors_are_read_and_batch_counters_ignored(small, tmp_path):
    from safetensors.numpy import save_file

    name, state = small
    save_file(state | {"bn1.num_batches_tracked": np.array(1)}, tmp_path / "model.safetensors")
    model = km.from_torch(name, tmp_path / "model.safetensors")
    assert np.array_equal(np.asarray(model.get_layer("stem_bn").gamma), state["bn1.weight"])


def test_weights_of_gray_images_say_what_to_give(small, tmp_path):
    import keras
    from safetensors.numpy import save_file

    name, state = small
    gray = state | {"conv_stem.weight": state["conv_stem.weight"].sum(1, keepdims=True)}
    with pytest.raises(UserError, match=r"its images have 1 channels: give input_tensor=keras\.Input\(\(96, 96, 1\)\)"):
        km.from_torch(name, gray)
    model = km.from_torch(name, gray, input_tensor=keras.Input((64, 64, 1)))
    images = np.random.default_rng(0).uniform(-1, 1, (1, 64, 64, 1)).astype(np.float32)
    expected = np.asarray(km.from_torch(name, state)(np.repeat(images, 3, -1), training=False))
    np.testing.assert_allclose(model(images, training=False), expected, rtol=1e-3, atol=1e-4 * abs(expected).max())
    save_file(gray, tmp_path / "gray.safetensors")
    with pytest.raises(UserError, match="is of 3 channels, the model's images have 1: say pixels="):
        km.from_torch(name, tmp_path / "gray.safetensors", input_tensor=keras.Input((64, 64, 1)))


def test_the_model_has_as_many_classes_as_the_weights(small):
    name, state = small
    few = state | {"classifier.weight": state["classifier.weight"][:7], "classifier.bias": state["classifier.bias"][:7]}
    assert km.from_torch(name, few).output_shape == (None, 7)


def test_overrides_go_to_the_builder(small):
    name, state = small
    model = km.from_torch(name, state, input_shape=(64, 96, 3), include_top=False, pooling="avg")
    assert (model.input_shape, model.output_shape) == ((None, 64, 96, 3), (None, 1280))


def test_missing_extra_and_misshapen_tensors_are_named_in_one_line(small):
    name, state = small
    damaged = state | {"blocks.1.0.conv_dw.weight": np.zeros((3, 3)), "stranger.weight": np.zeros(3)}
    del damaged["conv_stem.weight"]
    with pytest.raises(UserError) as caught:
        km.from_torch(name, damaged)
    message = str(caught.value)
    assert "missing: conv_stem.weight;" in message
    assert "extra: stranger.weight;" in message
    assert "of another shape: blocks.1.0.conv_dw.weight (3, 3) for (48, 1, 3, 3)" in message
    assert "\n" not in message


def test_long_lists_of_names_are_shortened(small):
    name, state = small
    with pytest.raises(UserError) as caught:
        km.from_torch(name, {key: value for key, value in state.items() if not key.startswith("blocks.5.2.")})
    assert len(str(caught.value)) < 2000
    with pytest.raises(UserError, match=r"no names of timm or torchvision: encoder\.weight"):
        km.from_torch(name, {"encoder.weight": np.zeros(3)})


WRAPPED = {
    "DataParallel": lambda state: prefixed("module.", state),
    "torch.compile of DDP": lambda state: prefixed("_orig_mod.module.", state),
    "AveragedModel": lambda state: prefixed("module.", state) | {"n_averaged": np.array(3)},
    "indices of EfficientFormer's biases": lambda state: (
        state | {"token_mixer.attention_bias_idxs": np.eye(2, dtype=int)}
    ),
    "people's own": lambda state: prefixed("model.backbone.", state),
    "timm's features_only": lambda state: renamed(state, lambda name: name.replace("blocks.", "blocks_")),
    "a head beside the backbone": lambda state: {
        name if name.startswith("classifier") else f"backbone.{name}": value for name, value in state.items()
    },
    "timm's train.py": lambda state: {"epoch": 1, "arch": "x", "args": object(), "state_dict": state, "optimizer": {}},
    "torchvision's references": lambda state: {"model": prefixed("module.", state), "optimizer": {"state": {}}},
    "Lightning": lambda state: {"epoch": 1, "state_dict": prefixed("model.", state), "hyper_parameters": {"lr": 0.1}},
    "a module": lambda state: Module(state),
    "a module in a checkpoint": lambda state: {"epoch": 1, "model": Module(state)},
    "bfloat16": lambda state: {name: value.astype(ml_dtypes.bfloat16) for name, value in state.items()},
    "float16": lambda state: {name: value.astype(np.float16) for name, value in state.items()},
}


def prefixed(prefix, state):
    return renamed(state, lambda name: prefix + name)


class Module:
    """What a PyTorch module is here: something with a state_dict."""

    def __init__(self, state):
        self.state_dict = lambda: state


@pytest.mark.parametrize("kind", WRAPPED)
def test_wrappers_and_checkpoints_are_taken_off(small, kind):
    _, state = small
    found = state_dict.read(WRAPPED[kind](state))
    assert found.keys() == state.keys()
    rounding = 0.01 if "float" in kind else 0
    for key, value in state.items():
        np.testing.assert_allclose(found[key], value, rtol=rounding, atol=1e-4 * rounding)
        assert found[key].dtype == np.float32


def test_of_several_networks_one_is_taken_and_named(small):
    _, state = small
    averaged = {name: 2 * value for name, value in state.items()}
    with pytest.warns(UserWarning, match=r"holds state_dict_ema, state_dict: state_dict_ema is taken"):
        found = state_dict.read({"state_dict": state, "state_dict_ema": averaged})
    assert np.array_equal(found["bn1.weight"], averaged["bn1.weight"])
    distilled = prefixed("student.", state) | prefixed("teacher.", averaged) | {"criterion.weight": np.ones(3)}
    with pytest.warns(UserWarning, match=r"of student\.\* are taken, criterion\.\*, teacher\.\* left out"):
        found = state_dict.read({"state_dict": distilled})
    assert np.array_equal(found["bn1.weight"], state["bn1.weight"]) and found.keys() == state.keys()


def test_a_checkpoint_without_a_network_is_one_line():
    with pytest.raises(UserError, match=r"holds optimizer, and no network: give model\.state_dict"):
        state_dict.read({"epoch": 3, "optimizer": {"state": {"momentum": np.zeros(3)}}})


def test_bfloat16_safetensors_are_read(tmp_path):
    from safetensors.numpy import save_file

    save_file({"conv.weight": np.arange(4).astype(ml_dtypes.bfloat16)}, tmp_path / "model.safetensors")
    assert state_dict.read(tmp_path / "model.safetensors")["conv.weight"].tolist() == [0, 1, 2, 3]


def test_a_file_of_pytorch_is_read():
    found = state_dict.read(Path(__file__).parent / "torch_files" / "archive.pth")
    assert found["bfloat16"].tolist() == [0, 0.5, 1, 1.5]


def test_damaged_and_missing_files_are_one_line(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"not one")
    for path in (tmp_path / "model.safetensors", tmp_path / "none.safetensors", tmp_path / "none.pth"):
        with pytest.raises(UserError, match=str(path)):
            km.from_torch("mobilenetv2_100", path)


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("mobilenetv9_100", "mobilenetv1_100"),
        ("mobilenetv2_10", "mobilenetv2_100"),
        ("mobilenet_v3", "mobilenet_v3_small"),
        ("resnet50d", "resnet50"),
        ("regnet_x_64gf", "regnet_x_16gf"),
        ("xception41", "legacy_xception"),
        ("mobilenetv2_100_ols", "mobilenetv2_100"),
        ("", "help"),
    ],
)
def test_unknown_names_are_one_line_with_names_that_exist(name, suggestion, small):
    with pytest.raises(UserError, match=suggestion) as caught:
        km.from_torch(name, small[1])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "hf-hub:timm/MobileNetV2_050.lamb_in1k",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("timm/mobilenetv2_050", "mobilenetv2_050.pth")),
    ],
)
def test_names_as_people_write_them(name, small):
    assert km.from_torch(name, small[1]).variant == km.from_torch(*small).variant


def test_weights_of_another_model_are_recognized(small):
    few = {name: value[:7] if name.startswith("classifier") else value for name, value in small[1].items()}
    for state in (small[1], few):
        with pytest.raises(UserError, match="as many parameters as mobilenetv2_050: give that name"):
            km.from_torch("mobilenetv3_large_100", state)


@pytest.mark.parametrize(
    "name",
    [
        "shufflenet_v2_x0_5",
        "mobileone_s1",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("convnext_atto", "regnety_002", "ghostnet_050", "vgg16")),
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("legacy_xception", "repvit_m0_9", "poolformer_s12")),
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("mobilevit_xxs", "efficientformer_l1", "fastvit_t8")),
    ],
)
def test_weights_of_another_family_are_recognized(name, small):
    with pytest.raises(UserError, match="as many parameters as mobilenetv2_050: give that name") as caught:
        km.from_torch(name, small[1])
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 2000


@pytest.mark.parametrize(
    "other",
    [
        "convnext_atto_ols",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("repvit_m1", "regnety_002", "shufflenet_v2_x1_0")),
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("legacy_xception", "fastvit_mci0", "mobileone_s0")),
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("poolformer_s12", "mobilevit_xxs", "resnet18")),
    ],
)
def test_weights_of_every_family_are_recognized(other):
    with pytest.raises(UserError, match=f"as many parameters as .*{other}") as caught:
        km.from_torch("mobilenetv2_050", weights_of(golden(other)))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 2000


def test_weights_without_a_classifier_say_what_to_give(small):
    name, state = small
    bare = {key: value for key, value in state.items() if not key.startswith("classifier")}
    with pytest.raises(UserError, match="they have no classifier: give include_top=False"):
        km.from_torch(name, bare)
    assert km.from_torch(name, bare, include_top=False, pooling="avg").output_shape == (None, 1280)


def test_weights_of_another_distilled_network_of_few_classes_are_recognized():
    assert torch_models.fitting(weights_of(golden("repvit_m1")), "repvit_m0_9").endswith("repvit_m1: give that name")


def images_of_pixels():
    return np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("tag", "mean", "std"),
    [
        pytest.param("mobilenetv2_050", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), marks=pytest.mark.slow),
        ("mobilenetv2_050.lamb_in1k", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ],
)
def test_from_a_file_the_model_takes_images_of_minus_one_to_one(small, tmp_path, tag, mean, std):
    from safetensors.numpy import save_file

    save_file(small[1], tmp_path / "model.safetensors")
    pixels = images_of_pixels()
    network, model = km.from_torch(tag, small[1]), km.from_torch(tag, tmp_path / "model.safetensors")
    expected = np.asarray(network(((pixels / 255 - mean) / std).astype(np.float32), training=False))
    found = np.asarray(model(km.preprocess_input(pixels), training=False))
    assert np.linalg.norm(found - expected) / np.linalg.norm(expected) < 1e-5
    assert (str(scaling_of_layers(network)), str(scaling_of_layers(model))) == ("imagenet", "-1..1")


def test_shufflenet_of_a_file_takes_rgb_images_of_minus_one_to_one(tmp_path):
    """megvii trains on pixels 0 to 255 with blue first."""
    from safetensors.numpy import save_file

    reference = golden("shufflenet_v1_g3_x1_0")
    save_file(weights_of(reference), tmp_path / "model.safetensors")
    network = km.from_torch(reference["model"], weights_of(reference))
    model = km.from_torch(reference["model"], tmp_path / "model.safetensors")
    pixels = images_of_pixels()
    expected = np.asarray(network(pixels[..., ::-1], training=False))
    found = np.asarray(model(km.preprocess_input(pixels), training=False))
    assert np.linalg.norm(found - expected) / np.linalg.norm(expected) < 1e-5


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        pytest.param("shufflenetv2_x0.5-f707e7126e.pth", ("ShuffleNetV2", {"width": 0.5}), marks=pytest.mark.slow),
        pytest.param("shufflenetv2_x1-5666bf0f80.pth", ("ShuffleNetV2", {"width": 1.0}), marks=pytest.mark.slow),
        ("shufflenetv2_x1_5-3c479a10.pth", ("ShuffleNetV2", {"width": 1.5})),
        ("ShuffleNet_V2_X1_0_Weights", ("ShuffleNetV2", {"width": 1.0})),
    ],
)
def test_torchvision_names_of_files_say_the_width(name, variant):
    state = weights_of(golden("shufflenet_v2_x1_0"))
    if variant[1] == {"width": 1.0}:
        family, arguments = km.from_torch(name, state, input_shape=(32, 32, 3)).variant
        assert (family, arguments | variant[1]) == (variant[0], arguments)
    else:
        with pytest.raises(UserError, match="as many parameters as shufflenet_v2_x1_0: give that name"):
            km.from_torch(name, state, input_shape=(32, 32, 3))


@pytest.mark.parametrize(
    ("pixels", "mean", "std"),
    [
        pytest.param("0..1", 0, 1, marks=pytest.mark.slow),
        ("imagenet", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ((0.4, 0.2), 0.4, 0.2),
        pytest.param("-1..1", 0.5, 0.5, marks=pytest.mark.slow),
    ],
)
def test_what_is_said_of_pixels_is_inside(small, pixels, mean, std):
    images = images_of_pixels()
    network, model = km.from_torch(*small), km.from_torch(*small, pixels=pixels)
    expected = np.asarray(network(((images / 255 - mean) / std).astype(np.float32), training=False))
    found = np.asarray(model(km.preprocess_input(images), training=False))
    assert np.linalg.norm(found - expected) / np.linalg.norm(expected) < 1e-5


def test_the_network_alone_says_what_it_takes_also_from_its_file_and_inside_another(small, tmp_path):
    import keras

    network = km.from_torch(*small, input_shape=(64, 64, 3))
    network.save(tmp_path / "network.keras")
    image = keras.Input((64, 64, 3))
    for model in (keras.models.load_model(tmp_path / "network.keras"), keras.Model(image, network(image))):
        assert str(scaling_of_layers(model)) == "imagenet"


@pytest.mark.parametrize(
    ("name", "tag", "library", "pixels", "ambiguous"),
    [
        ("mobilenet_v2", "", "torchvision", "imagenet", False),
        ("efficientnet_v2_l", "", "torchvision", "-1..1", False),
        ("mobilenetv3_large_100", "miil_in21k", "timm", "0..1", False),
        ("mobilenetv1_100", "", "timm", "-1..1", False),
        ("tf_efficientnetv2_s", "in21k", "timm", "-1..1", False),
        ("efficientnet_b0", "ra4_e3600_r224_in1k", "timm", "-1..1", False),
        ("efficientnet_b0", "", "torchvision", "imagenet", False),
        ("efficientnet_b0", "", "timm", "imagenet", True),
        ("another", "", "timm", "imagenet", False),
    ],
)
def test_published_pixels(name, tag, library, pixels, ambiguous):
    found, line = torch_models.published_pixels(name, tag, library)
    assert (found, bool(line)) == (pixels, ambiguous)


@pytest.mark.parametrize("state", [None, 3, {}, {"conv_stem.weight": "text"}], ids=str)
def test_weights_of_another_kind_are_one_line(state):
    with pytest.raises(UserError) as caught:
        km.from_torch("mobilenetv2_050", state)
    assert "\n" not in str(caught.value)


def _of_apple(name):
    """What Apple's own checkpoints call the tensors of timm's `fastvit_mci0`, whose modules stand in one list."""
    places = {"0.blocks": 0, "1.downsample": 1, "1.blocks": 2, "2.downsample": 3, "2.blocks": 4}
    places |= {"3.downsample": 5, "3.pos_emb": 6, "3.blocks": 7}
    for theirs, ours in (
        ("stem.", "patch_embed."),
        ("final_conv.", "conv_exp."),
        ("conv_kxk", "rbr_conv"),
        ("conv_scale", "rbr_scale"),
        (".identity", ".rbr_skip"),
        ("large_conv", "lkb_origin"),
        (".mlp.", ".convffn."),
        ("se.fc1", "se.reduce"),
        ("se.fc2", "se.expand"),
        (".gamma", ""),
    ):
        name = name.replace(theirs, ours)
    for module, place in places.items():
        name = name.replace(f"stages.{module}.", f"network.{place}.").replace("pos_enc", "pe")
    return f"image_encoder.model.{name}"


def test_the_image_tower_of_a_clip_is_that_of_timm():
    state = weights_of(golden("fastvit_mci0"))
    bare = {name: array for name, array in state.items() if not name.startswith("head.")}
    apple = renamed(bare, _of_apple) | {"image_encoder.model.head.proj": state["head.fc.weight"].T}
    both = {"logit_scale": np.ones(()), "text_encoder.projection_layer": np.zeros((4, 4))}
    found = towers.image_tower(apple | both)
    assert found.keys() == state.keys()
    assert all(np.array_equal(found[name], state[name]) for name in state if name != "head.fc.bias")
    alone = renamed(apple, lambda name: name.removeprefix("image_encoder.model."))
    assert towers.image_tower(state_dict.read(alone)).keys() == state.keys()
    of_open_clip = towers.image_tower(prefixed("visual.trunk.", state) | {"text.positional_embedding": np.zeros(3)})
    assert of_open_clip.keys() == state.keys()
    assert towers.image_tower(state) is state
    with pytest.raises(UserError, match="they have no text tower"):
        km.from_torch("mobileclip_s0_text", state)
    with pytest.raises(UserError, match="do not fit mobileclip_s0_text: missing: text_projection"):
        km.from_torch("mobileclip_s0_text", {"token_embedding.weight": np.zeros((5, 64))})
