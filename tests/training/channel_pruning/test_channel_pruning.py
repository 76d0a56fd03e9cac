"""training.prune_channels: what is left computes what the whole network does without the removed channels."""

import math
import random

import keras
import numpy as np
import pytest
from keras import layers
from networks import answers, randomize

import keras_mobilenets as km
from keras_mobilenets import UserError, blocks, tflite, training
from keras_mobilenets.graphs.plain_layers import plain_model
from keras_mobilenets.training.channel_pruning.groups import Channels

SIZE = 32
QUICK = training.Recipe(epochs=1, warmup_epochs=0, learning_rate=0.01)


def _squeeze(reduced, **kinds):
    return lambda x, name: blocks.squeeze_excite(x, reduced, name=name, **kinds)


def _shuffle_unit(x, rng, name):
    """ShuffleNetV2, figure 3 (c)."""
    kept, x = blocks.channel_split(x, name=f"{name}_split")
    x = blocks.depthwise_separable(
        x, kept.shape[-1] + rng.choice([0, 8]), activation=rng.choice(["relu", None]), name=f"{name}_unit"
    )
    x = layers.Concatenate(name=f"{name}_concat")([kept, x])
    return blocks.channel_shuffle(x, 2, name=f"{name}_shuffle")


def _branches(x, rng, name):
    """Two convolutions, concatenated, cut elsewhere than they were joined, and added."""
    parts = [blocks.conv_bn(x, 16, rng.choice([1, 3]), name=f"{name}_branch_{i}") for i in range(3)]
    x = layers.Concatenate(name=f"{name}_concat")(parts)
    first, second = blocks.channel_split(x, name=f"{name}_split")
    return layers.Add(name=f"{name}_add")([first, second]) if rng.random() < 0.5 else x


def _grouped(x, rng, name):
    groups = rng.choice([2, 4])
    x = blocks.conv_bn(x, 32, 1, name=f"{name}_in")
    x = blocks.conv_bn(x, rng.choice([16, 32]), 3, groups=groups, activation="relu", name=f"{name}_grouped")
    return blocks.channel_shuffle(x, groups, name=f"{name}_shuffle") if rng.random() < 0.5 else x


def _residual(x, rng, name):
    x = blocks.conv_bn(x, rng.choice([16, 24]), activation="silu", name=f"{name}_conv_1")
    y = blocks.conv_bn(x, x.shape[-1], activation=None, name=f"{name}_conv_2")
    return blocks.activation(layers.Add(name=f"{name}_add")([y, x]), "hard_silu", name)


BLOCKS = (
    lambda x, rng, name: blocks.conv_bn(x, rng.choice([16, 24]), strides=rng.choice([1, 2]), name=name),
    lambda x, rng, name: blocks.depthwise_separable(x, 24, activation="relu", name=name),
    lambda x, rng, name: blocks.inverted_residual(x, rng.choice([16, x.shape[-1]]), rng.choice([1, 2, 3]), name=name),
    lambda x, rng, name: blocks.inverted_residual(
        x, x.shape[-1], 2, activation="hard_silu", excite=_squeeze(rng.choice([6, 16])), name=name
    ),
    lambda x, rng, name: blocks.inverted_residual(
        x, 16, 2, activation="silu", excite=_squeeze(8, activation="silu", gate="sigmoid"), strides=2, name=name
    ),
    lambda x, rng, name: blocks.fused_inverted_residual(x, rng.choice([16, x.shape[-1]]), 2, name=name),
    lambda x, rng, name: blocks.universal_inverted_bottleneck(
        x, x.shape[-1], 2, start=rng.choice([0, 3]), middle=rng.choice([0, 5]), layer_scale=0.5, name=name
    ),
    lambda x, rng, name: layers.MaxPooling2D(2, padding="same", name=name)(x),
    lambda x, rng, name: blocks.ghost_bottleneck(
        x, rng.choice([16, x.shape[-1]]), 32, strides=rng.choice([1, 2]), attention=True, excite=_squeeze(8), name=name
    ),
    _shuffle_unit,
    _branches,
    _grouped,
    _residual,
)


def _random_network(seed):
    rng = random.Random(seed)
    image = keras.Input((SIZE, SIZE, 3), name="image")
    x = layers.Rescaling(0.5, name="scaling")(image)
    x = blocks.conv_bn(x, 16, strides=2, name="stem")
    for index, block in enumerate(rng.sample(BLOCKS, 5)):
        x = block(x, rng, f"block_{index}")
    pool = rng.choice([layers.Flatten, layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D])
    x = layers.AveragePooling2D(4, padding="same", name="smaller")(x) if pool is layers.Flatten else x
    x = layers.Dropout(0.2, name="dropout")(pool(name="pool")(x))
    x = blocks.activation(layers.Dense(32, name="hidden")(x), "relu6", "hidden")
    model = keras.Model(image, layers.Dense(5, activation="softmax", name="predictions")(x), name=f"random_{seed}")
    randomize(model, seed, biases=0.3, kernels=True)
    return model


def _images(count=4, size=SIZE):
    return np.random.default_rng(1).uniform(-1, 1, (count, size, size, 3)).astype(np.float32)


def _silenced(model, pruned):
    """The model with the channels that `pruned` lacks at zero: found by their γ or bias, whose values are unique."""
    silenced = keras.models.clone_model(model)
    silenced.set_weights(model.get_weights())
    for layer in silenced.layers:
        if isinstance(layer, layers.BatchNormalization):
            gone = ~np.isin(layer.gamma, pruned.get_layer(layer.name).gamma)
            layer.gamma.assign(np.where(gone, 0, layer.gamma))
            layer.beta.assign(np.where(gone, 0, layer.beta))
        elif getattr(layer, "bias", None) is not None:
            gone = ~np.isin(layer.bias, pruned.get_layer(layer.name).bias)
            layer.bias.assign(np.where(gone, 0, layer.bias))
            layer.kernel.assign(np.where(gone, 0, layer.kernel))
    return silenced


def _assert_equal_without_the_removed(model, pruned, images):
    outputs, expected = answers(pruned, images), answers(_silenced(model, pruned), images)
    assert np.abs(expected - answers(model, images)).max() > 1e-3, "what was removed mattered"
    np.testing.assert_allclose(outputs, expected, atol=1e-5)


def _channel_counts(model):
    convolutions = [layer for layer in model.layers if isinstance(layer, layers.Conv2D | layers.Dense)]
    return {layer.name: layer.output.shape[-1] for layer in convolutions}


def _slow_but(quick, every):
    """Parameters, of which all but some are marked slow."""
    return [pytest.param(one, marks=() if one in quick else pytest.mark.slow) for one in every]


@pytest.mark.parametrize("seed", _slow_but(range(6), range(20)))
def test_pruned_random_network_equals_the_original_with_the_removed_channels_at_zero(seed):
    model, divisor = _random_network(seed), (2, 4, 8)[seed % 3]
    share = 0.9 if divisor == 8 else 0.6  # layers of 12 and 20 channels give none or all of 8
    pruned = training.prune_channels(model, share, ("bn_scale", "l1")[seed % 2], divisor=divisor)
    assert km.cost(pruned).macs == pytest.approx(share * km.cost(model).macs, rel=0.03)
    whole, counts = _channel_counts(model), _channel_counts(pruned)
    assert list(counts) == list(whole) and counts["predictions"] == 5
    for name, count in counts.items():
        assert count == whole[name] or count % divisor == 0, name
    _assert_equal_without_the_removed(model, pruned, _images())


FAMILIES = {
    "MobileNetV1": 0.35,
    "MobileNetV2": 0.35,
    "MobileNetV3Small": 0.35,
    "MobileNetV4ConvSmall": 0.35,
    "EfficientNetB0": 0.35,
    "ResNet18": 0.25,
}


@pytest.mark.parametrize("name", _slow_but(("MobileNetV3Small",), FAMILIES))
def test_every_family_shrinks_trains_and_saves(name, tmp_path):
    model = km.create_model(name, alpha=FAMILIES[name], input_shape=(SIZE, SIZE, 3), classes=7)
    randomize(model, biases=0.3, kernels=True)
    pruned = training.prune_channels(model, 0.5)
    assert [layer.name for layer in pruned.layers] == [layer.name for layer in model.layers]
    assert km.cost(pruned).macs == pytest.approx(0.5 * km.cost(model).macs, rel=0.03)
    whole = _channel_counts(model)
    odd = {layer: n for layer, n in _channel_counts(pruned).items() if n % 8 and whole[layer] >= 8}
    assert odd == {}
    _assert_equal_without_the_removed(model, pruned, _images())

    pruned.save(tmp_path / "pruned.keras")
    again = keras.models.load_model(tmp_path / "pruned.keras", safe_mode=True)
    np.testing.assert_allclose(answers(again, _images()), answers(pruned, _images()), atol=1e-6)
    before = [weight.numpy() for weight in pruned.trainable_weights]
    assert len(before) == len(model.trainable_weights)
    pruned.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True, jit_compile=False)
    pruned.train_on_batch(_images(4), np.arange(4))
    changed = [(weight.numpy() != old).any() for weight, old in zip(pruned.trainable_weights, before, strict=True)]
    assert np.mean(changed) > 0.9  # random ReLU6 networks have some dead ends


@pytest.mark.parametrize("name", _slow_but(("MobileNetV3Small",), FAMILIES))
def test_the_int8_file_of_a_pruned_network_has_its_multiply_adds(name, tmp_path):
    model = km.create_model(name, alpha=FAMILIES[name], input_shape=(SIZE, SIZE, 3), classes=7)
    pruned = training.prune_channels(model, 0.5)
    tflite.convert(pruned, tmp_path / "pruned.tflite", quantize="int8", effort="low", calibration=_images(8))
    assert _multiply_adds(tmp_path / "pruned.tflite") == km.cost(pruned).macs


def _multiply_adds(path):
    """Of a .tflite: each weight of a convolution or dense layer once for each position of the output."""
    total = 0
    for operator in tflite.inspect(path).operators:
        if operator.name in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            total += math.prod(operator.inputs[1].shape) * math.prod(operator.outputs[0].shape[1:-1])
    return total


def test_residual_stages_share_their_channels_and_blocks_do_not():
    model = km.ResNet18((SIZE, SIZE, 3), 0.25, classes=5)
    channels = Channels(model)
    numbers = {name: frozenset(channels.writes[name].tolist()) for name in _channel_counts(model)}
    stage = {"stem", "block_0_conv_2", "block_1_conv_2"}  # conv2_x has no shortcut convolution
    assert {name for name in numbers if numbers[name] == numbers["stem"]} == stage
    assert numbers["block_2_shortcut"] == numbers["block_2_conv_2"] == numbers["block_3_conv_2"]
    assert [name for name in numbers if numbers[name] == numbers["block_2_conv_1"]] == ["block_2_conv_1"]
    assert numbers["predictions"] == {0}


class Unknown(layers.Layer):
    def call(self, x):
        return keras.ops.cumsum(x, axis=-1)


class ScaledConv(layers.Conv2D):
    """A subclass may compute what it likes."""


def _with_strangers():
    """Channels that reach an unknown layer, or a layer used twice that has other channels each time."""
    image = keras.Input((SIZE, SIZE, 3), name="image")
    x = blocks.conv_bn(image, 16, strides=2, name="free")
    x = Unknown(name="unknown")(blocks.conv_bn(x, 16, 1, name="to_unknown"))
    x = ScaledConv(16, 1, name="subclass")(blocks.conv_bn(x, 16, 1, name="to_subclass"))
    twice = layers.ReLU(name="twice")
    y = twice(layers.Conv2D(24, 1, name="to_twice_again")(x))
    x = layers.Concatenate(name="both")([y, twice(blocks.conv_bn(x, 16, 1, name="to_twice"))])
    x = layers.Softmax(name="mixes")(blocks.conv_bn(x, 16, 1, name="to_softmax"))
    x = blocks.conv_bn(x, 32, 1, name="also_free")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    model = keras.Model(image, [layers.Dense(5, name="one")(x), layers.Softmax(name="two")(x)])
    randomize(model, biases=0.3, kernels=True)
    return model


def test_channels_that_reach_what_is_not_known_stay_whole():
    model = _with_strangers()
    pruned = training.prune_channels(model, 0.89)
    before, after = _channel_counts(model), _channel_counts(pruned)
    assert [name for name in before if after[name] != before[name]] == ["free"]
    for ours, whole in zip(pruned(_images()), _silenced(model, pruned)(_images()), strict=True):
        np.testing.assert_allclose(ours, whole, atol=1e-5)


def _backbone(name=None):
    return km.MobileNetV2((SIZE, SIZE, 3), alpha=0.35, include_top=False, pooling="avg", name=name)


def _base_and_head():
    image = keras.Input((SIZE, SIZE, 3))
    x = _backbone()(layers.Rescaling(0.5)(image), training=False)
    return keras.Model(image, layers.Dense(3, activation="softmax")(layers.Dense(32, activation="relu")(x)))


def _in_sequential():
    return keras.Sequential([keras.Input((SIZE, SIZE, 3)), keras.Sequential([_backbone()]), layers.Dense(3)])


def _one_backbone_twice():
    one, image = _backbone(), keras.Input((SIZE, SIZE, 3))
    return keras.Model(image, layers.Dense(3)(layers.Concatenate()([one(image), one(layers.Rescaling(-1.0)(image))])))


def _two_backbones():
    image = keras.Input((SIZE, SIZE, 3))
    both = [_backbone(name)(image) for name in ("left", "right")]
    return keras.Model(image, layers.Dense(3)(layers.Concatenate()(both)))


def _convolution_twice():
    image, conv = keras.Input((SIZE, SIZE, 3)), layers.Conv2D(96, 3, padding="same", name="twice")
    x = blocks.conv_bn(image, 96, strides=4, name="stem")
    return keras.Model(image, layers.Dense(3)(layers.GlobalMaxPooling2D()(conv(conv(x)))))


def _with_operations():
    base = keras.applications.MobileNetV3Small(
        (SIZE, SIZE, 3), 0.35, include_top=False, weights=None, minimalistic=False
    )
    image = keras.Input((SIZE, SIZE, 3))
    return keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(base(image))))


class _OwnModel(keras.Model):
    def __init__(self):
        super().__init__()
        self.one, self.two = layers.Conv2D(96, 3, 4, "same"), layers.Conv2D(96, 3, padding="same")
        self.pool, self.head = layers.GlobalAveragePooling2D(), layers.Dense(3)

    def call(self, x):
        x = keras.ops.relu(self.one(x))
        return self.head(self.pool(x + self.two(x)))


def _subclassed():
    model = _OwnModel()
    model(np.zeros((1, SIZE, SIZE, 3), np.float32))
    return model


NESTED = [
    _base_and_head,
    _in_sequential,
    _one_backbone_twice,
    _two_backbones,
    _convolution_twice,
    _with_operations,
    _subclassed,
]


@pytest.mark.parametrize(
    "make", _slow_but((_base_and_head, _one_backbone_twice, _convolution_twice, _subclassed), NESTED)
)
def test_models_inside_a_model_and_layers_used_twice_are_pruned(make):
    keras.utils.set_random_seed(0)
    model = plain_model(make())
    randomize(model, biases=0.3, kernels=True)
    images = _images()
    pruned = training.prune_channels(model, 0.6, divisor=1)
    assert km.cost(pruned).macs == pytest.approx(0.6 * km.cost(model).macs, rel=0.03)
    assert not any(isinstance(layer, keras.Model) for layer in pruned.layers)
    _assert_equal_without_the_removed(model, pruned, images)


def test_a_nested_model_is_pruned_as_the_flat_one():
    keras.utils.set_random_seed(0)
    model = _base_and_head()
    flat = plain_model(model)
    randomize(flat, biases=0.3, kernels=True)  # the layers are the nested model's
    pruned, expected = training.prune_channels(model, 0.6), training.prune_channels(flat, 0.6)
    np.testing.assert_array_equal(answers(pruned, _images()), answers(expected, _images()))


def test_each_importance_removes_the_channels_it_names():
    """One convolution of 16 filters; half of them are made small, by γ or by their weights."""
    image = keras.Input((SIZE, SIZE, 3), name="image")
    x = blocks.conv_bn(image, 16, name="conv")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    model = keras.Model(image, layers.Dense(3, activation="softmax", name="predictions")(x))
    randomize(model, biases=0.3, kernels=True)
    small = {"bn_scale": slice(0, 8), "l1": slice(8, 16)}
    scale, kernel = np.ones(16), model.get_layer("conv").kernel.numpy()
    scale[small["bn_scale"]], kernel[..., small["l1"]] = 0.1, kernel[..., small["l1"]] * 1e-3
    scale *= np.linspace(1, 1.01, 16)  # all different
    model.get_layer("conv_bn").gamma.assign(scale)
    model.get_layer("conv").kernel.assign(kernel)
    for importance, places in small.items():
        pruned = training.prune_channels(model, 0.5, importance)
        gone = ~np.isin(model.get_layer("conv_bn").gamma, pruned.get_layer("conv_bn").gamma)
        assert gone.nonzero()[0].tolist() == list(range(16))[places], importance


def _small_classifier():
    keras.utils.set_random_seed(0)
    image = keras.Input((SIZE, SIZE, 3), name="image")
    x = blocks.conv_bn(image, 16, strides=2, name="stem")
    x = blocks.inverted_residual(x, 16, 3, name="block_0")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(image, layers.Dense(3, activation="softmax", name="predictions")(x), name="small")


def test_taylor_keeps_what_the_loss_needs(data):
    """A channel that no later weight reads changes nothing, however large its γ and its filter are."""
    model = _small_classifier()
    randomize(model, biases=0.3, kernels=True)
    project = model.get_layer("block_0_project")
    unread = np.arange(48) % 3 == 0
    project.kernel.assign(np.where(unread[:, None], 0, project.kernel))
    model.get_layer("block_0_depthwise_bn").gamma.assign(np.where(unread, 9, 1) + np.linspace(0, 0.1, 48))
    kept = {}
    for importance in ("bn_scale", "taylor"):
        pruned = training.prune_channels(model, 0.65, importance, data=data, divisor=4)
        name = "block_0_depthwise_bn"
        kept[importance] = np.isin(model.get_layer(name).gamma, pruned.get_layer(name).gamma)
        assert kept[importance].sum() < 48
    assert kept["bn_scale"][unread].mean() == 1
    assert kept["taylor"][unread].sum() < kept["taylor"][~unread].sum() / 2


@pytest.mark.slow
def test_gradual_pruning_resumes_where_it_was_killed(data, tmp_path, monkeypatch):
    model = _small_classifier()
    options = {"data": data, "steps": 2, "recipe": QUICK, "divisor": 2}
    whole = training.prune_channels(model, 0.5, run_dir=tmp_path / "whole", **options)
    ratios = [km.cost(keras.models.load_model(tmp_path / f"whole/step_{i}/model.keras")).macs for i in (1, 2)]
    assert np.array(ratios) / km.cost(model).macs == pytest.approx([0.5**0.5, 0.5], rel=0.06)
    assert km.cost(whole).macs == ratios[1]

    class KilledError(Exception):
        pass

    from keras_mobilenets.training.engine import trainer

    fit, calls = trainer.fit, []

    def killed_in_the_second_step(model, data, recipe, run_dir):
        calls.append(run_dir)
        if len(calls) == 2:
            raise KilledError
        return fit(model, data, recipe, run_dir)

    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(trainer, "fit", killed_in_the_second_step)
        training.prune_channels(model, 0.5, run_dir=tmp_path / "killed", **options)
    history = tmp_path / "killed/step_1/history.csv"
    written = history.stat().st_mtime_ns
    resumed = training.prune_channels(model, 0.5, run_dir=tmp_path / "killed", **options)
    assert history.stat().st_mtime_ns == written, "the finished step was trained again"
    for ours, theirs in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-3)
    saved = keras.models.load_model(tmp_path / "killed/model.keras")
    assert _channel_counts(saved) == _channel_counts(resumed)
    with pytest.raises(UserError, match=r"holds a pruning with macs 0\.5, not 0\.4"):
        training.prune_channels(model, 0.4, run_dir=tmp_path / "killed", **options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"macs": 1.5}, "macs=1.5: give the fraction of multiply-adds that stays, above 0 and below 1"),
        ({"macs": 1}, "macs=1:"),
        ({"macs": 0.0}, "macs=0.0:"),
        ({"macs": math.nan}, "macs=nan:"),
        ({"macs": "half"}, "macs='half':"),
        ({"importance": "bnscale"}, "unknown importance 'bnscale': did you mean bn_scale"),
        ({"importance": "taylor"}, "needs training images: give data="),
        ({"recipe": QUICK}, "needs images: give data="),
        ({"steps": 3}, "steps=3 fine-tunes between the steps: give recipe= and data="),
        ({"steps": 0}, "steps=0: give a whole number"),
        ({"divisor": 0}, "divisor=0: give a whole number"),
        ({"macs": 0.01}, r"macs=0.01 cannot be reached: the fewest multiply-adds that small can have are 0\.\d+ of"),
    ],
)
def test_what_cannot_work_is_said_in_one_line(arguments, message):
    with pytest.raises(UserError, match=message) as caught:
        training.prune_channels(_small_classifier(), **arguments)
    assert "\n" not in str(caught.value)


def test_a_model_that_cannot_be_pruned_is_said_in_one_line(tmp_path):
    class Subclassed(keras.Model):
        def call(self, x):
            return x

    image = keras.Input((SIZE, SIZE, 3))
    bound = keras.Model(image, layers.Dense(16)(layers.Flatten()(image)), name="bound")
    for model, message in (
        (tmp_path / "model.keras", "load the file with training.load_model first"),
        (Subclassed(), "not built"),
        (bound, "bound has no channels to prune"),
        (km.MobileNetV2((None, None, 3), 0.35), "build it with input_shape="),
    ):
        with pytest.raises(UserError, match=message) as caught:
            training.prune_channels(model)
        assert "\n" not in str(caught.value)


def test_a_sequential_model_is_pruned_too():
    model = keras.Sequential([keras.Input((SIZE, SIZE, 3)), layers.Conv2D(32, 3), layers.Flatten(), layers.Dense(4)])
    randomize(model, biases=0.3, kernels=True)
    pruned = training.prune_channels(model, 0.5, "l1")
    assert pruned.layers[1].filters == 16
    _assert_equal_without_the_removed(model, pruned, _images())
