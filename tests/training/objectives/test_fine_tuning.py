"""Transfer learning: known weights, a new head, frozen blocks, BatchNorm statistics that stay."""

import csv
import dataclasses
import json

import keras
import numpy as np
import pytest

import keras_mobilenets as km
from keras_mobilenets import UserError, training
from keras_mobilenets.cli import main
from keras_mobilenets.training.engine.batch_normalization import estimate_statistics

QUICK = training.Recipe.named("cifar", epochs=2, learning_rate=0.02)
SHAPE = (32, 32, 3)


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """A MobileNetV1 of 7 classes at another size, with statistics of its own in its BatchNorm layers."""
    keras.utils.set_random_seed(5)
    model = km.MobileNetV1((64, 64, 3), alpha=0.25, classes=7)
    estimate_statistics(model, np.random.default_rng(0).uniform(-1, 1, (16, 64, 64, 3)).astype(np.float32))
    path = tmp_path_factory.mktemp("known") / "model.keras"
    model.save(path)
    return path, {layer.name: layer.get_weights() for layer in model.layers}


@pytest.fixture(scope="module")
def tuned(known, folder, tmp_path_factory):
    """What the command line makes of it: the model that is kept, and the run folder."""
    run_dir = tmp_path_factory.mktemp("runs") / "tuned"
    command = ["train", "MobileNetV1", "--alpha", "0.25", "--size", "32", "--batch-size", "16", "--data", str(folder)]
    command += ["--recipe", "cifar", "--epochs", "2", "--learning-rate", "0.02", "--run", str(run_dir)]
    assert main([*command, "--weights", str(known[0]), "--freeze", "11", "--head-epochs", "1"]) == 0
    return training.load_model(run_dir / "model.keras"), run_dir


def changed(model, before):
    return {
        layer.name
        for layer in model.layers
        if any((new != old).any() for new, old in zip(layer.get_weights(), before[layer.name], strict=True))
    }


def test_pretrained_takes_all_but_the_head_from_a_keras_file(known):
    model = training.pretrained("MobileNetV1", known[0], 3, SHAPE, alpha=0.25)
    assert model.output_shape == (None, 3) and model.input_shape == (None, *SHAPE)
    assert changed(km.MobileNetV1(SHAPE, alpha=0.25, classes=7), known[1])  # the comparison sees differences
    for layer in model.layers[:-1]:
        for ours, theirs in zip(layer.get_weights(), known[1][layer.name], strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
def test_pretrained_takes_weights_of_keras_applications_as_imagenet_has_them(tmp_path):
    theirs = keras.applications.MobileNetV2((96, 96, 3), alpha=0.35, include_top=False, weights=None)
    theirs.save_weights(tmp_path / "no_top.weights.h5")
    model = training.pretrained("MobileNetV2", tmp_path / "no_top.weights.h5", 3, (96, 96, 3), alpha=0.35)
    images = np.random.default_rng(0).uniform(-1, 1, (2, 96, 96, 3)).astype(np.float32)
    maps = keras.Model(model.inputs, model.get_layer("pool").input)(images)
    np.testing.assert_allclose(maps, theirs(images), atol=1e-4)
    assert [layer.name for layer in model.layers][-3:] == ["pool", "dropout", "predictions"]


def test_frozen_blocks_and_statistics_stay_and_the_rest_learns(known, tuned):
    names = changed(tuned[0], known[1] | {"predictions": [np.zeros((256, 3)), np.zeros(3)]})
    assert names == {
        "block_12_depthwise", "block_12_pointwise", "block_13_depthwise", "block_13_pointwise", "predictions"
    }  # fmt: skip


def test_the_folder_tells_both_phases_and_resumes(known, tuned, data):
    model, run_dir = tuned
    head, whole = (json.loads((folder / "run.json").read_text()) for folder in (run_dir / "head", run_dir))
    assert head["recipe"]["epochs"] == 1 and head["recipe"]["learning_rate"] == 0.02
    assert whole["recipe"]["learning_rate"] == pytest.approx(0.002)
    assert whole["transfer"] == {"freeze": 11, "head_epochs": 1} and whole["weights"] == str(known[0])
    assert whole["train"]["transfer"] == whole["transfer"] | {"weights": str(known[0])}
    assert whole["train"]["recipe"] == dataclasses.asdict(QUICK) and whole["recipe"]["optimizer"] == "sgd"
    assert whole["train"]["arguments"] == {"stem_strides": 1, "alpha": 0.25}  # the recipe's and the command's
    with open(run_dir / "history.csv") as file:
        rows = list(csv.DictReader(file))
    again = training.pretrained("MobileNetV1", known[0], 3, SHAPE, alpha=0.25, stem_strides=1)
    told = training.fine_tune(again, data, QUICK, run_dir, freeze=11, head_epochs=1, verbose=0)
    assert told.history == {name: [float(row[name]) for row in rows] for name in told.history}
    assert len(told.history["loss"]) == 2 and all(layer.trainable for layer in again.layers)
    for ours, theirs in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(UserError, match="freeze 11, not 10"):
        training.fine_tune(again, data, QUICK, run_dir, freeze=10, head_epochs=1, verbose=0)


def test_the_kept_model_is_free_again(tuned):
    assert km.cost(tuned[0]).parameters == km.cost(km.MobileNetV1(SHAPE, alpha=0.25, classes=3)).parameters


def test_bad_input_is_one_line(known, data, tmp_path):
    model = training.pretrained("MobileNetV1", known[0], 3, SHAPE, alpha=0.25)
    with pytest.raises(UserError, match="freeze=14: the model has 13 blocks; give 0 to 13"):
        training.fine_tune(model, data, QUICK, freeze=14)
    with pytest.raises(UserError, match="head_epochs must be 0 or more"):
        training.fine_tune(model, data, QUICK, head_epochs=-1)
    with pytest.raises(UserError, match="of another architecture: its stem does not fit"):
        training.pretrained("MobileNetV1", known[0], 3, SHAPE, alpha=1.0)
    with pytest.raises(UserError, match=r"none\.keras"):
        training.pretrained("MobileNetV1", tmp_path / "none.keras", 3, SHAPE)
