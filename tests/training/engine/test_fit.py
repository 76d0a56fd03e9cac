"""training.fit: it learns, leaves what a run folder should hold, and says in one line what is wrong."""

import csv
import json
import time

import keras
import numpy as np
import pytest
from keras import layers

from keras_mobilenets import UserError, training
from keras_mobilenets.training.engine.optimizer import make_optimizer
from keras_mobilenets.training.tasks.classification import cross_entropy

SIZE = 32


def small_model(classes=3, activation="softmax", size=SIZE):
    keras.utils.set_random_seed(1)
    image = x = keras.Input((size, size, 3))
    x = layers.Conv2D(8, 3, strides=2, use_bias=False)(x)
    x = layers.BatchNormalization(momentum=0.8)(x)
    x = layers.ReLU(6.0)(x)
    x = layers.DepthwiseConv2D(3, name="depthwise")(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(0.2)(x)
    return keras.Model(image, layers.Dense(classes, activation=activation)(x), name="small")


QUICK = training.Recipe(epochs=2, warmup_epochs=0.5, learning_rate=0.02)


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("runs") / "whole"
    model = small_model()
    history = training.fit(model, data, training.Recipe(epochs=6, learning_rate=0.02), run_dir, verbose=0)
    return model, history, run_dir


def test_training_learns_and_leaves_the_model_ready_to_use(trained, data):
    model, history, run_dir = trained
    assert max(history.history["val_accuracy"]) >= 0.9
    accuracy = model.evaluate(data.validation, verbose=0, return_dict=True)["accuracy"]
    assert accuracy == pytest.approx(max(history.history["val_accuracy"]))
    saved = keras.models.load_model(run_dir / "model.keras", safe_mode=True)
    pixels = next(iter(data.test))[0]
    np.testing.assert_array_equal(saved.predict(pixels, verbose=0), model.predict(pixels, verbose=0))


def test_run_folder_tells_what_was_done(trained, data):
    _, history, run_dir = trained
    run = json.loads((run_dir / "run.json").read_text())
    assert run["recipe"]["learning_rate"] == 0.02 and run["model"]["name"] == "small"
    assert run["data"]["name"] == data.name and {"keras", "tensorflow", "keras_mobilenets"} <= set(run["versions"])
    with open(run_dir / "history.csv") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["val_accuracy"]) for row in rows] == history.history["val_accuracy"]
    assert float(rows[0]["learning_rate"]) == pytest.approx(0.02) and float(rows[-1]["learning_rate"]) < 1e-6
    assert all(float(row["seconds"]) > 0 for row in rows)
    assert list((run_dir / "logs").rglob("events.out.tfevents*"))


def test_early_stopping_ends_where_that_of_keras_does(data, tmp_path):
    """And a training that has ended so does not go on when it is started again."""
    recipe = training.Recipe(epochs=8, learning_rate=1e-9, schedule="constant", warmup_epochs=0, patience=2)
    history = training.fit(small_model(), data, recipe, tmp_path / "run", verbose=0)
    found = history.history["val_accuracy"]
    assert len(found) < 8
    stopping = keras.callbacks.EarlyStopping("val_accuracy", patience=2, mode="max")
    model = small_model()
    stopping.set_model(model)
    model.stop_training = False
    stopping.on_train_begin()
    for epoch, value in enumerate(found):
        assert not model.stop_training
        stopping.on_epoch_end(epoch, {"val_accuracy": value})
    assert model.stop_training
    again = training.fit(small_model(), data, recipe, tmp_path / "run", verbose=0)
    assert again.history == history.history


def test_finished_training_returns_at_once(trained, data):
    model, history, run_dir = trained
    fresh = small_model()
    start = time.perf_counter()
    again = training.fit(fresh, data, training.Recipe(epochs=6, learning_rate=0.02), run_dir, verbose=0)
    assert time.perf_counter() - start < 5
    assert again.history == history.history
    for ours, theirs in zip(fresh.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_run_folder_of_another_training_is_refused(trained, data):
    model, _, run_dir = trained
    with pytest.raises(UserError, match="recipe epochs 6, not 7"):
        training.fit(model, data, training.Recipe(epochs=7, learning_rate=0.02), run_dir)


def test_user_entries_of_run_json_are_kept(data, tmp_path):
    (tmp_path / "run.json").write_text('{"command": "train"}')
    training.fit(small_model(), data, training.Recipe(epochs=1), tmp_path, verbose=0)
    run = json.loads((tmp_path / "run.json").read_text())
    assert run["command"] == "train" and run["recipe"]["epochs"] == 1


def test_model_without_softmax_trains_as_well(data):
    history = training.fit(small_model(activation=None), data, training.Recipe(epochs=6, learning_rate=0.02), verbose=0)
    assert max(history.history["val_accuracy"]) >= 0.9


@pytest.mark.parametrize("activation", ["softmax", None])
def test_label_smoothing_is_that_of_keras_on_one_hot_labels(activation):
    outputs = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    if activation:
        outputs = np.exp(outputs) / np.exp(outputs).sum(axis=1, keepdims=True)
    labels = np.array([0, 2, 1, 1])
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, activation=activation)])
    ours = cross_entropy(model, 0.1, 3)(labels, outputs)
    theirs = keras.losses.CategoricalCrossentropy(activation is None, label_smoothing=0.1, reduction=None)
    np.testing.assert_allclose(ours, theirs(np.eye(3, dtype=np.float32)[labels], outputs), rtol=1e-6)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "rmsprop"])
def test_weight_decay_spares_depthwise_batchnorm_and_biases(optimizer):
    model = small_model()
    recipe = training.Recipe(
        epochs=2, optimizer=optimizer, learning_rate=0.1, weight_decay=0.5, warmup_epochs=0, schedule="constant"
    )
    before = [np.array(variable) for variable in model.trainable_variables]
    make_optimizer(recipe, model, 10).apply([keras.ops.zeros_like(variable) for variable in model.trainable_variables])
    for variable, start in zip(model.trainable_variables, before, strict=True):
        decays = variable.name == "kernel" and "depthwise" not in variable.path
        np.testing.assert_allclose(variable, start * (0.95 if decays else 1.0), rtol=1e-5)


def test_schedule_warms_up_and_falls_to_zero():
    optimizer = make_optimizer(training.Recipe(epochs=10, learning_rate=0.4, warmup_epochs=2), small_model(), 5)
    rates = [float(optimizer._learning_rate(step)) for step in (0, 5, 10, 30, 50)]
    np.testing.assert_allclose(rates, [0, 0.2, 0.4, 0.2, 0], atol=1e-6)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"epochs": 0}, "epochs must be"),
        ({"optimizer": "adm"}, "optimizer must be 'adamw' or 'sgd'"),
        ({"learning_rate": 0}, "learning_rate must be above 0"),
        ({"learning_rate": float("nan")}, "learning_rate must be above 0"),
        ({"warmup_epochs": 99}, "warmup_epochs must be"),
        ({"label_smoothing": 1.0}, "label_smoothing must be"),
        ({"augmentation": "heavy"}, "augmentation must be"),
        ({"bn_momentum": 1.0}, "bn_momentum must be"),
        ({"schedule": "step"}, "schedule must be"),
    ],
)
def test_recipe_refuses_what_cannot_work(bad, message):
    with pytest.raises(UserError, match=message):
        training.Recipe(**bad)


def test_bn_momentum_of_the_recipe_reaches_the_layers(data):
    model = small_model()
    training.fit(model, data, training.Recipe(epochs=1, bn_momentum=0.7), verbose=0)
    assert [layer.momentum for layer in model.layers if isinstance(layer, layers.BatchNormalization)] == [0.7]


def test_wrong_number_of_classes_is_named(data):
    with pytest.raises(UserError, match="3 classes; build it with classes=3"):
        training.fit(small_model(classes=10), data, QUICK)


def test_wrong_image_size_is_named(data):
    with pytest.raises(UserError, match=r"images of 48×48×3 but .* 32×32×3"):
        training.fit(small_model(size=48), data, QUICK)


@pytest.mark.parametrize("run_dir", ["/proc/run", "file/run"])
def test_run_folder_that_cannot_be_made_is_one_line(data, tmp_path, run_dir):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        training.fit(small_model(), data, QUICK, tmp_path / run_dir)
