"""Recipes by name and what they do in training: mixed labels, averages, precision, accumulation, stochastic depth."""

import dataclasses
import inspect
import json
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_mobilenets as km
from keras_mobilenets import UserError, tflite, training
from keras_mobilenets.cli import main
from keras_mobilenets.models.catalog import builder_named
from keras_mobilenets.training.engine import model_transforms
from keras_mobilenets.training.engine.optimizer import make_optimizer
from keras_mobilenets.training.engine.precision import mixed_precision
from keras_mobilenets.training.recipe import RECIPES, usual_recipe

SIZE = 32
OLD_FIELDS = (  # of a recipe in the first version that trained
    "epochs", "optimizer", "learning_rate", "warmup_epochs", "schedule", "weight_decay", "label_smoothing",
    "augmentation", "bn_momentum", "seed",
)  # fmt: skip


def network(classes=3, batch_norm=True):
    """A stem, two residual blocks, a classifier."""
    keras.utils.set_random_seed(1)
    image = keras.Input((SIZE, SIZE, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(image)
    for block in range(2):
        y = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
        y = layers.BatchNormalization(momentum=0.8)(y) if batch_norm else y
        x = layers.Add(name=f"block_{block}_add")([x, layers.ReLU(6.0)(y)])
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(0.5)(x) if batch_norm else x
    return keras.Model(image, layers.Dense(classes, activation="softmax", name="predictions")(x), name="small")


@pytest.mark.parametrize("name", list(RECIPES))
def test_every_named_recipe_is_one(name):
    recipe = training.Recipe.named(name)
    assert {field: getattr(recipe, field) for field in RECIPES[name].recipe} == RECIPES[name].recipe


def test_figures_of_the_papers():
    assert training.Recipe.named("mobilenet").learning_rate == 0.05
    assert training.Recipe.named("efficientnet").learning_rate == 0.01
    cifar = training.Recipe.named("cifar")
    assert (cifar.optimizer, cifar.learning_rate, cifar.schedule, cifar.epochs) == ("sgd", 0.1, "cosine", 200)
    assert RECIPES["cifar"].batch_size == 128 and RECIPES["cifar"].arguments == {"stem_strides": 1}


def test_a_named_recipe_takes_changes():
    recipe = training.Recipe.named("modern", epochs=30, label_smoothing=0.0)
    assert (recipe.epochs, recipe.label_smoothing, recipe.optimizer) == (30, 0.0, "adamw")
    assert recipe.warmup_epochs == pytest.approx(0.5) and recipe.ema_epochs == pytest.approx(0.5)
    assert training.Recipe.named("modern", epochs=30, warmup_epochs=2).warmup_epochs == 2
    with pytest.raises(UserError, match="unknown recipe 'moderne'; give one of default, "):
        training.Recipe.named("moderne")


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"dropout": 1.0}, "dropout must be"),
        ({"stochastic_depth": -0.1}, "stochastic_depth must be"),
        ({"ema_epochs": 30}, "ema_epochs must be between 0 and epochs"),
        ({"precision": "float8"}, "precision must be 'float32' or"),
        ({"accumulate": 0}, "accumulate must be"),
    ],
)
def test_values_out_of_range_are_one_line(bad, message):
    with pytest.raises(UserError, match=message):
        training.Recipe(**bad)


def test_a_modern_training_learns_and_keeps_a_plain_model(data, tmp_path):
    model = network()
    recipe = training.Recipe.named(
        "modern", epochs=6, learning_rate=0.02, augmentation="flip+mixup:0.2+cutmix", warmup_epochs=0.5, ema_epochs=0.5
    )
    history = training.fit(model, data, recipe, tmp_path, verbose=0)
    assert max(history.history["val_accuracy"]) >= 0.8
    accuracy = model.evaluate(data.validation, verbose=0, return_dict=True)["accuracy"]
    assert accuracy == pytest.approx(max(history.history["val_accuracy"]))
    saved = keras.models.load_model(tmp_path / "model.keras")
    assert [type(layer) for layer in saved.layers] == [type(layer) for layer in network().layers]
    asked = json.loads((tmp_path / "run.json").read_text())["recipe"]
    assert asked["augmentation"] == "flip+mixup:0.2+cutmix" and asked["stochastic_depth"] == 0.1


@pytest.fixture(scope="module")
def modern(folder, tmp_path_factory):
    """The run folder of a recipe by its name with changes, from the command line, and the command."""
    run = tmp_path_factory.mktemp("runs") / "modern"
    command = ["train", "MobileNetV1", "--alpha", "0.25", "--size", "32", "--data", str(folder), "--run", str(run)]
    command += ["--recipe", "modern", "--epochs", "2", "--augmentation", "flip+mixup:0.4", "--dropout", "0.1"]
    assert main([*command, "--batch-size", "48"]) == 0
    return run, [*command, "--batch-size", "48"]


@pytest.mark.slow
def test_run_json_tells_the_recipe_of_the_command_line_with_its_changes(modern):
    told = json.loads((modern[0] / "run.json").read_text())
    expected = training.Recipe.named("modern", epochs=2, augmentation="flip+mixup:0.4", dropout=0.1)
    assert told["recipe"] == told["train"]["recipe"] == dataclasses.asdict(expected)
    assert (expected.warmup_epochs, expected.stochastic_depth) == (pytest.approx(5 * 2 / 300), 0.1)
    assert told["data"]["batch_size"] == 48 and told["train"]["builder"] == "MobileNetV1"


def test_a_command_of_before_the_newer_fields_is_over_when_it_is_given_again(modern, capsys):
    """run.json of an earlier version lacks what a recipe did not have then."""
    run, command = modern
    before = (run / "model.keras").stat().st_mtime_ns
    told = json.loads((run / "run.json").read_text())
    for recipe in (told["recipe"], told["train"]["recipe"]):
        for field in [field for field in recipe if recipe[field] == getattr(training.Recipe(), field)]:
            if field not in OLD_FIELDS:
                del recipe[field]
    (run / "run.json").write_text(json.dumps(told))
    assert main(command) == 0
    assert (run / "model.keras").stat().st_mtime_ns == before and "Epoch" not in capsys.readouterr().out
    assert set(json.loads((run / "run.json").read_text())["train"]["recipe"]) == {
        field.name for field in dataclasses.fields(training.Recipe)
    }


class Interrupt(keras.callbacks.Callback):
    """Stops the program, as Ctrl-C does, in the middle of the third epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == 2 and batch == 3:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_a_modern_training_ends_after_a_break_as_without_one(data, tmp_path):
    recipe = training.Recipe(
        epochs=4, augmentation="flip+mixup+cutmix", stochastic_depth=0.3, ema_epochs=1, accumulate=2, learning_rate=0.01
    )
    with pytest.raises(KeyboardInterrupt):
        training.fit(
            network(), data, recipe, tmp_path / "broken", callbacks=[Interrupt()], checkpoint_seconds=0, verbose=0
        )
    models = {run: network() for run in ("broken", "whole")}
    histories = [training.fit(model, data, recipe, tmp_path / run, verbose=0) for run, model in models.items()]
    assert histories[0].history == histories[1].history
    for ours, theirs in zip(*(model.get_weights() for model in models.values()), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_what_is_validated_and_kept_is_the_average(data, tmp_path):
    """The average is followed outside: after the first step it is the weights, then momentum·average + rest·weights."""
    steps, kernels = data.steps_per_epoch(), []

    class Follow(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            kernels.append(np.array(self.model.layers[-1].kernel))

    model = network()
    recipe = training.Recipe(epochs=1, ema_epochs=1, learning_rate=0.02, warmup_epochs=0.2)
    training.fit(model, data, recipe, tmp_path, callbacks=[Follow()], verbose=0)
    average, momentum = kernels[0], 1 - 1 / steps
    for kernel in kernels[1:]:
        average = momentum * average + (1 - momentum) * kernel
    saved = keras.models.load_model(tmp_path / "model.keras").layers[-1].kernel
    np.testing.assert_allclose(saved, average, rtol=1e-4, atol=1e-6)
    assert np.abs(average - kernels[-1]).max() > 1e-3


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_accumulated_gradients_change_weights_as_one_large_batch(optimizer):
    rng = np.random.default_rng(0)
    images, labels = rng.uniform(-1, 1, (32, SIZE, SIZE, 3)).astype(np.float32), np.arange(32) % 3
    trained = []
    for accumulate, batch in ((4, 8), (1, 32)):
        model = network(batch_norm=False)
        recipe = training.Recipe(
            epochs=1,
            optimizer=optimizer,
            learning_rate=0.01,
            schedule="constant",
            warmup_epochs=0,
            accumulate=accumulate,
        )
        model.compile(make_optimizer(recipe, model, 32 // batch), "sparse_categorical_crossentropy", jit_compile=False)
        model.fit(images, labels, batch_size=batch, shuffle=False, verbose=0)
        trained.append(model.get_weights())
    for ours, theirs in zip(*trained, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_stochastic_depth_leaves_out_whole_branches_in_training_only():
    model = network()
    random = model_transforms.with_stochastic_depth(model, 0.8, seed=1)
    images = np.random.default_rng(0).uniform(-1, 1, (64, SIZE, SIZE, 3)).astype(np.float32)
    np.testing.assert_array_equal(random(images), model(images))
    drop = random.get_layer("block_1_add_drop")
    assert drop.rate == pytest.approx(0.8) and random.get_layer("block_0_add_drop").rate == pytest.approx(0.4)
    ones = np.asarray(drop(np.ones((500, 4, 4, 8), np.float32), training=True))
    assert set(np.unique(ones.round(3))) == {0.0, 5.0}
    assert (ones.std(axis=(1, 2, 3)) == 0).all() and 0.7 < (ones[:, 0, 0, 0] == 0).mean() < 0.9
    assert model_transforms.with_stochastic_depth(model, 0.0) is model


def test_dropout_of_the_recipe_reaches_the_layers(data):
    model = network()
    model_transforms.apply(model, training.Recipe(dropout=0.1))
    assert [layer.rate for layer in model.layers if isinstance(layer, layers.Dropout)] == [0.1]


def test_bfloat16_trains_and_the_kept_model_is_float32(data, tmp_path):
    model, seen = network(), set()

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.update(layer.compute_dtype for layer in self.model.layers if layer.weights)
            seen.update(str(variable.dtype) for variable in self.model.trainable_variables)

    with warnings.catch_warnings(action="ignore"):
        recipe = training.Recipe(epochs=4, learning_rate=0.02, precision="bfloat16")
        history = training.fit(model, data, recipe, tmp_path, callbacks=[Look()], verbose=0)
    assert seen == {"bfloat16", "float32"} and max(history.history["val_accuracy"]) >= 0.8
    saved = keras.models.load_model(tmp_path / "model.keras")
    assert {layer.compute_dtype for layer in [*saved.layers, *model.layers]} == {"float32"}
    path = tflite.convert(saved, tmp_path / "model.tflite")
    assert {str(np.dtype(tensor.dtype)) for op in tflite.inspect(path).operators for tensor in op.outputs} == {
        "float32"
    }


@pytest.mark.filterwarnings("ignore:precision")
def test_in_mixed_precision_heads_compute_in_float32():
    detector = km.SSDLiteMobileNetV2((64, 64, 3), alpha=0.35, classes=3)
    x = inputs = keras.Input((8,))
    x = keras.layers.Dense(8, name="hidden")(x)
    distilled = keras.Model(inputs, km.blocks.distilled_classifier(x, 3, normalized=True, name="predictions"))
    nested = keras.Sequential([inputs, keras.Model(inputs, x), layers.Dense(3, name="last"), layers.Activation("relu")])
    for model, heads in (
        (detector, {f"{kind}_{place}" for kind in ("boxes", "scores") for place in range(6)}),
        (distilled, {"predictions_labels", "predictions_teacher"}),
        (nested, {"last"}),
    ):
        with mixed_precision(model, "bfloat16"):
            weighted = [layer for layer in model._flatten_layers(recursive=True) if layer.weights]
            alone = [layer for layer in weighted if not hasattr(layer, "layers")]
            assert {layer.name for layer in alone if layer.compute_dtype == "float32"} == heads
            said = np.asarray(model(np.ones((1, *model.input_shape[1:]), np.float32)))
        assert said.dtype == np.float32 and (said != tf.cast(tf.cast(said, tf.bfloat16), tf.float32)).numpy().any()


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="a GPU is there")
def test_float16_without_a_gpu_is_refused_and_bfloat16_warned_of(data):
    with pytest.raises(UserError, match="float16 is for GPUs"):
        training.fit(network(), data, training.Recipe(epochs=1, precision="float16"), verbose=0)
    with pytest.warns(UserWarning, match="slower in bfloat16"), mixed_precision(network(), "bfloat16"):
        pass


def test_what_tf_keras_cannot_do_is_said(data):
    model = training.to_tf_keras(network())
    for recipe in (training.Recipe(accumulate=2), training.Recipe(precision="bfloat16")):
        with pytest.raises(UserError, match="are tf_keras"):
            training.fit(model, data, recipe, verbose=0)


@pytest.mark.parametrize(
    ("network", "recipe"),
    [
        ("MobileNetV2", "default"),
        ("DSCNNSmall", "default"),
        ("MobileNetV2Video", "clips"),
        ("SSDLiteMobileNetV2", "detection"),
        ("SeparableSequenceNet", "next_item"),
    ],
)
def test_a_network_has_the_recipe_of_its_task_and_of_what_it_takes(network, recipe):
    builder = builder_named(network)
    assert usual_recipe(builder.task, builder.kind) == recipe
    assert set(RECIPES[recipe].arguments) <= set(inspect.signature(builder).parameters)
