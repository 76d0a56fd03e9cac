"""Training in stages: sizes and regularization grow as in the paper, and neither the kept model nor a kill shows it."""

import dataclasses
import itertools
import json

import keras
import numpy as np
import pytest
from keras import layers

from keras_mobilenets import UserError, training
from keras_mobilenets.training.engine import progressive_learning
from keras_mobilenets.training.recipe import augmentation_parts

SIZE = 32
STAGES = training.Recipe(epochs=5, stages=3, learning_rate=0.02, dropout=0.6)


@keras.saving.register_keras_serializable("test_progressive")
class Watch(layers.Layer):
    """Notes the size of a step's images, and how often a step is traced."""

    traced = 0

    def build(self, shape):
        self.side = self.add_weight(name="side", shape=(), trainable=False)

    def call(self, x, training=None):
        if training:
            Watch.traced += 1
            self.side.assign(keras.ops.cast(keras.ops.shape(x)[1], "float32"))
        return x


def network(head=layers.GlobalAveragePooling2D):
    keras.utils.set_random_seed(1)
    image = keras.Input((SIZE, SIZE, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(Watch()(image))
    y = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
    x = layers.Add(name="block_0_add")([x, layers.ReLU(6.0)(layers.BatchNormalization(momentum=0.8)(y))])
    x = layers.Dropout(0.2)(head()(x))
    return keras.Model(image, layers.Dense(3, activation="softmax")(x), name="small")


def test_stages_are_those_of_the_paper():
    """EfficientNetV2-S, table 6: 128 to 300 px, RandAugment 5 to 15 (its scale ends at 10 here), dropout 0.1 to 0.3."""
    recipe = training.Recipe(
        epochs=350, stages=4, initial_size=128 / 300, augmentation="flip+randaugment:9+mixup:0.3", dropout=0.3
    )
    stages = progressive_learning.stages(recipe, 300)
    assert [stage.image_size for stage in stages] == [128, 184, 240, 300]  # 128, 185.3, 242.7 and 300
    np.testing.assert_allclose([0.3 * stage.regularization for stage in stages], [0.1, 0.5 / 3, 0.7 / 3, 0.3])
    assert [stage.last - stage.first for stage in stages] == [87, 88, 87, 88]  # about 87 each, section 5.1
    assert stages[0].augmentation == "flip+randaugment:3+mixup:0.1"
    assert stages[-1].augmentation == "flip+randaugment:9+mixup:0.3"


def test_the_recipe_of_that_name_grows_images_and_every_regularization():
    stages = progressive_learning.stages(training.Recipe.named("progressive", epochs=20), 128)
    assert [(stage.last, stage.image_size) for stage in stages] == [(5, 64), (10, 88), (15, 104), (20, 128)]
    strengths = [augmentation_parts(stage.augmentation) for stage in stages]
    for name in ("randaugment", "mixup", "cutmix"):
        grown = [parts[name] for parts in strengths]
        assert grown == sorted(set(grown)) and grown[0] == pytest.approx(grown[-1] / 3, rel=1e-3)
    modern = training.Recipe.named("modern", epochs=20)
    assert dataclasses.replace(training.Recipe.named("progressive", epochs=20), stages=1) == modern


@pytest.mark.parametrize(("epochs", "count", "size"), [(1, 1, 64), (7, 4, 64), (4, 4, 20), (30, 7, 224), (3, 2, 5)])
def test_stages_cover_every_epoch_and_end_at_the_size_of_the_data(epochs, count, size):
    recipe = training.Recipe(epochs=epochs, stages=count, augmentation="light+cutmix", initial_regularization=0)
    stages = progressive_learning.stages(recipe, size)
    assert [epoch for stage in stages for epoch in range(stage.first, stage.last)] == list(range(epochs))
    sizes = [stage.image_size for stage in stages]
    assert sizes == sorted(sizes) and sizes[-1] == size and all(side % 8 == 0 for side in sizes if side != size)
    assert progressive_learning.stage_of(epochs - 1, recipe, size) == stages[-1]
    assert stages[-1].regularization == 1 and stages[-1].augmentation == "light+cutmix:1"
    assert count == 1 or stages[0].augmentation == "light"


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"stages": 0}, "stages must be a whole number between 1 and epochs, not 0"),
        ({"stages": 4, "epochs": 3}, "stages must be a whole number between 1 and epochs, not 4"),
        ({"initial_size": 0}, "initial_size must be above 0, at most 1"),
        ({"initial_regularization": 1.5}, "initial_regularization must be between 0 and 1"),
    ],
)
def test_values_out_of_range_are_one_line(bad, message):
    with pytest.raises(UserError, match=message):
        training.Recipe(**bad)


def test_smaller_images_are_the_same_images(data):
    """Each pixel is the mean of the area it stands for: of 2×2 pixels, and of 4×4 thirds of pixels."""
    images, labels = next(iter(data.epochs(0, 1)))
    for size, fine in ((16, images), (24, np.repeat(np.repeat(images, 3, axis=1), 3, axis=2))):
        small, same_labels = next(iter(data.epochs(0, 1, image_size=size)))
        np.testing.assert_array_equal(labels, same_labels)
        cell = fine.shape[1] // size
        expected = np.reshape(fine, (-1, size, cell, size, cell, 3)).mean(axis=(2, 4))
        np.testing.assert_allclose(small, expected, atol=0.51 / 127.5)


class Follow(keras.callbacks.Callback):
    """The size of the images and the share of the values that dropout leaves out, in every epoch."""

    def __init__(self):
        super().__init__()
        self.sizes, self.rates, self.traced = [], [], set()

    def on_epoch_end(self, epoch, logs=None):
        layer = {type(layer): layer for layer in self.model.layers}
        self.traced.add(Watch.traced)
        self.sizes.append(int(layer[Watch].side))
        ones = np.asarray(layer[progressive_learning.GrowingDropout](np.ones((200, 200), np.float32), training=True))
        self.rates.append(np.mean(ones == 0))
        assert ones.mean() == pytest.approx(1, abs=0.03)


@pytest.mark.slow
def test_a_training_in_stages_learns_and_keeps_a_plain_model(data, tmp_path, capsys):
    model, follow, before = network(), Follow(), Watch.traced
    history = training.fit(model, data, STAGES, tmp_path, callbacks=[follow], verbose=2)
    assert follow.sizes == [16, 24, 24, 32, 32]
    np.testing.assert_allclose(follow.rates, [0.2, 0.4, 0.4, 0.6, 0.6], atol=0.02)
    assert follow.traced == {before + 1}  # for all sizes
    assert "epochs 2 to 3 on images of 24×24" in "".join(capsys.readouterr())
    assert len(history.history["loss"]) == 5 and max(history.history["val_accuracy"]) >= 0.8
    saved = keras.models.load_model(tmp_path / "model.keras")
    for kept in (model, saved):
        assert kept.input_shape == (None, SIZE, SIZE, 3)
        assert [layer.rate for layer in kept.layers if isinstance(layer, layers.Dropout)] == [0.6]
        accuracy = kept.evaluate(data.validation, verbose=0, return_dict=True)["accuracy"] if kept is model else None
        assert accuracy in (None, pytest.approx(max(history.history["val_accuracy"])))
    assert json.loads((tmp_path / "run.json").read_text())["recipe"]["stages"] == 3


class StopError(Exception):
    """Ends a training as a kill does."""


def stop_at(step):
    steps = itertools.count(1)

    def end_of_step(batch, logs=None):
        if next(steps) == step:
            raise StopError

    return keras.callbacks.LambdaCallback(on_train_batch_end=end_of_step)


@pytest.mark.slow
def test_training_that_stops_anywhere_ends_as_an_undisturbed_one(data, tmp_path):
    """Within the first stage, at its end, within the second: each part goes on at the right size and strength."""
    recipe = training.Recipe(epochs=3, stages=2, dropout=0.5, stochastic_depth=0.3, ema_epochs=0.5, learning_rate=0.02)
    steps = data.steps_per_epoch()
    how = {"checkpoint_seconds": 0, "verbose": 0}
    for step in (3, steps - 2, steps // 2):  # of what is left each time
        with pytest.raises(StopError):
            training.fit(network(), data, recipe, tmp_path / "stopped", callbacks=[stop_at(step)], **how)
    models = {run_dir: network() for run_dir in ("stopped", "whole")}
    histories = [training.fit(model, data, recipe, tmp_path / run, verbose=0) for run, model in models.items()]
    assert histories[0].history == histories[1].history
    for ours, theirs in zip(*(model.get_weights() for model in models.values()), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    last = f"checkpoint-{3 * steps}.npz"
    with np.load(tmp_path / "stopped" / last) as ours, np.load(tmp_path / "whole" / last) as theirs:
        for name in theirs.files:
            assert name == "about" or np.array_equal(ours[name], theirs[name])


def test_stages_in_which_nothing_grows_are_one_training(data):
    """Optimizer, schedule and averages go on from stage to stage; averages do not take the place of the weights."""
    recipe = training.Recipe(epochs=2, ema_epochs=1, dropout=0.0, initial_size=1, initial_regularization=1)
    histories = [
        training.fit(network(), data, dataclasses.replace(recipe, stages=stages), verbose=0).history
        for stages in (1, 2)
    ]
    for name, values in histories[0].items():
        np.testing.assert_allclose(histories[1][name], values, rtol=1e-5, err_msg=name)


def test_model_for_one_size_is_refused_in_one_line(data):
    with pytest.raises(
        UserError, match=r"small cannot take images of 16×16, .* give initial_size=1 or stages=1"
    ) as caught:
        training.fit(network(layers.Flatten), data, STAGES, verbose=0)
    assert "\n" not in str(caught.value)
    only_stronger = training.Recipe(epochs=2, stages=2, initial_size=1)
    assert training.fit(network(layers.Flatten), data, only_stronger, verbose=0)


def test_what_has_no_stages_says_so(data):
    model = training.to_tf_keras(keras.Sequential([keras.Input((SIZE, SIZE, 3)), layers.Flatten(), layers.Dense(3)]))
    with pytest.raises(UserError, match="stages are for Keras 3 models"):
        training.fit(model, data, STAGES, verbose=0)
    with pytest.raises(UserError, match="distil with stages=1 or initial_size=1"):
        training.distill(network(), network(), data, STAGES, verbose=0)
