"""What may befall a training: kills, damaged files, a full disk, a second one in its folder, NaN. Nothing is lost."""

import csv
import dataclasses
import inspect
import itertools
import json
import math
import random
import shutil
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tf_keras
from keras import layers

from keras_mobilenets import UserError, training
from keras_mobilenets.training.engine import trainer
from keras_mobilenets.training.engine.checkpoints import Checkpoints

RECIPE = training.Recipe(epochs=4, learning_rate=0.02)
EVERY_STEP = {"checkpoint_seconds": 0, "verbose": 0}
QUICK = training.Recipe(epochs=2, warmup_epochs=0.5, learning_rate=0.02)
TIMING = ("seconds", "images_per_second")


def network():
    keras.utils.set_random_seed(1)
    image = keras.Input((32, 32, 3))
    x = layers.Conv2D(8, 3, strides=2, use_bias=False)(image)
    x = layers.ReLU(6.0)(layers.BatchNormalization(momentum=0.8)(x))
    x = layers.GlobalAveragePooling2D()(layers.DepthwiseConv2D(3)(x))
    x = layers.Dense(3, activation="softmax")(layers.Dropout(0.2)(x))
    return keras.Model(image, x, name="small")


class StopError(Exception):
    """Ends a training as a kill does: nothing is tidied up."""


def stop_at(step, library=keras):
    """A callback that raises after a step; steps are counted through the epochs, from 1."""
    steps = itertools.count(1)

    def end_of_step(batch, logs=None):
        if next(steps) == step:
            raise StopError

    return library.callbacks.LambdaCallback(on_train_batch_end=end_of_step)


def stopped(model, data, run_dir, step, recipe=RECIPE, library=keras, **how):
    with pytest.raises(StopError):
        training.fit(model, data, recipe, run_dir, callbacks=[stop_at(step, library)], **EVERY_STEP | how)


def without_timing(run_dir):
    with open(run_dir / "history.csv") as file:
        return [{key: value for key, value in row.items() if key not in TIMING} for row in csv.DictReader(file)]


def checkpoints(run_dir):
    return sorted(run_dir.glob("checkpoint-*.npz"), key=lambda path: int(path.stem.split("-")[1]))


def end_state(run_dir):
    """All arrays of the last checkpoint: weights, statistics, random state, optimizer."""
    with np.load(checkpoints(run_dir)[-1]) as arrays:
        return {name: arrays[name] for name in arrays.files if name != "about"}


def assert_same_end(run_dir, other):
    assert without_timing(run_dir) == without_timing(other)
    ours, theirs = end_state(run_dir), end_state(other)
    assert ours.keys() == theirs.keys()
    for name, array in theirs.items():
        np.testing.assert_array_equal(ours[name], array)


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """An undisturbed training."""
    run_dir = tmp_path_factory.mktemp("runs") / "whole"
    model = network()
    training.fit(model, data, RECIPE, run_dir, verbose=0)
    return model, run_dir


def test_training_that_stops_within_epochs_ends_as_an_undisturbed_one(whole, data, tmp_path):
    steps = data.steps_per_epoch()
    for step in (2, steps, steps + 3):  # of what is left each time: in the first, second and third epoch
        stopped(network(), data, tmp_path, step)
    assert len(checkpoints(tmp_path)) == 2
    model = network()
    history = training.fit(model, data, RECIPE, tmp_path, **EVERY_STEP)
    assert [path.name for path in checkpoints(tmp_path)] == [f"checkpoint-{4 * steps + back}.npz" for back in (-1, 0)]
    assert_same_end(tmp_path, whole[1])
    assert len(history.history["loss"]) == 4
    for ours, theirs in zip(model.get_weights(), whole[0].get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
def test_tf_keras_model_with_dropout_goes_on_within_an_epoch(data, tmp_path):
    recipe = training.Recipe(epochs=1, learning_rate=0.02, warmup_epochs=0.0)

    def model():
        return training.to_tf_keras(network())

    stopped(model(), data, tmp_path / "stopped", 4, recipe, library=tf_keras)
    for run_dir in ("stopped", "whole"):
        training.fit(model(), data, recipe, tmp_path / run_dir, verbose=0)
    assert_same_end(tmp_path / "stopped", tmp_path / "whole")


@pytest.mark.parametrize("cached_views", [pytest.param(0, marks=pytest.mark.slow), 2])
def test_distillation_goes_on_within_an_epoch(data, tmp_path, cached_views):
    recipe = training.Recipe(epochs=1, learning_rate=0.02, warmup_epochs=0.0)
    teacher, how = network(), {"cached_views": cached_views, "verbose": 0}
    stopping = {"callbacks": [stop_at(4)], "checkpoint_seconds": 0}
    with pytest.raises(StopError):
        training.distill(network(), teacher, data, recipe, tmp_path / "stopped", **stopping, **how)
    for run_dir in ("stopped", "whole"):
        training.distill(network(), teacher, data, recipe, tmp_path / run_dir, **how)
    assert_same_end(tmp_path / "stopped", tmp_path / "whole")


def training_program(folder, path, model="network()", recipe=RECIPE, batch_size=16, pause=1):
    """A program that trains in a process of its own: `program RUN_DIR SECONDS`; it pauses after each step."""
    path.write_text(
        f"""
import sys, time
import keras
from keras import layers
import keras_mobilenets as km
from keras_mobilenets import training

{inspect.getsource(network)}
keras.utils.set_random_seed(1)
data = training.load_data({str(folder)!r}, image_size=32, batch_size={batch_size})
pause = keras.callbacks.LambdaCallback(on_train_batch_end=lambda *_, **__: time.sleep({pause}))
how = dict(callbacks=[pause], checkpoint_seconds=float(sys.argv[2]), verbose=0)
training.fit({model}, data, training.{recipe!r}, sys.argv[1], **how)
"""
    )
    return path


def start(program, run_dir, seconds):
    command = [sys.executable, str(program), str(run_dir), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(program, run_dir):
    process = start(program, run_dir, 60)
    _, errors = process.communicate(timeout=500)
    assert process.returncode == 0, errors


def wait_for_checkpoints(process, run_dir, count):
    """Until the process has written so many."""
    seen, before = set(), set(run_dir.glob("checkpoint*.npz"))
    while len(seen - before) < count and process.poll() is None:
        seen |= set(run_dir.glob("checkpoint*.npz"))
        time.sleep(0.01)
    assert process.poll() is None, process.communicate()[1]


def kill(process):
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def test_killed_training_ends_as_an_undisturbed_one_and_nobody_else_got_in(whole, folder, data, tmp_path):
    run_dir = tmp_path / "run"
    process = start(training_program(folder, tmp_path / "train.py"), run_dir, 0)
    try:
        wait_for_checkpoints(process, run_dir, 3)
        with pytest.raises(UserError, match=f"run is in use by process {process.pid} on ") as caught:
            training.fit(network(), data, RECIPE, run_dir)
        assert "\n" not in str(caught.value)
        time.sleep(random.Random(0).uniform(0, 0.2))
    finally:
        kill(process)
    assert 3 <= int(checkpoints(run_dir)[-1].stem.split("-")[1]) < RECIPE.epochs * data.steps_per_epoch()
    training.fit(network(), data, RECIPE, run_dir, verbose=0)  # the lock is free
    assert_same_end(run_dir, whole[1])
    left = {path.name for path in run_dir.iterdir()} - {path.name for path in checkpoints(run_dir)}
    assert left == {"run.json", "model.keras", "history.csv", "examination.npz", "logs", ".lock"}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ten_kills_at_random_moments_leave_no_trace(folder, tmp_path):
    model = "km.MobileNetV2((32, 32, 3), alpha=0.35, classes=3, dropout_rate=0.2)"
    recipe = training.Recipe(epochs=8, learning_rate=1e-3)
    program = training_program(folder, tmp_path / "train.py", model, recipe, batch_size=4, pause=0)
    draw = random.Random(10)
    for _ in range(10):
        process = start(program, tmp_path / "killed", 0.2)
        wait_for_checkpoints(process, tmp_path / "killed", draw.randint(1, 4))
        time.sleep(draw.uniform(0, 0.4))
        kill(process)
    finish(program, tmp_path / "killed")
    finish(program, tmp_path / "whole")
    assert_same_end(tmp_path / "killed", tmp_path / "whole")
    models = [keras.models.load_model(tmp_path / run_dir / "model.keras") for run_dir in ("killed", "whole")]
    for ours, theirs in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(ours, theirs)


# As the first version that trained wrote it, with none of the recipe's later fields.
OLD_RUN_JSON = """{{
  "model": {{"name": "small", "input_shape": [32, 32, 3], "classes": 3, "parameters": {parameters}}},
  "data": {{"name": "{name}", "image_size": 32, "batch_size": 16, "class_names": ["blue", "green", "red"],
    "train_images": {images}}},
  "recipe": {{"epochs": 4, "optimizer": "adamw", "learning_rate": 0.02, "warmup_epochs": 1.0, "schedule": "cosine",
    "weight_decay": 0.02, "label_smoothing": 0.1, "augmentation": "light", "bn_momentum": null, "seed": 0}},
  "versions": {{"backend": "tensorflow", "keras_mobilenets": "0.1.0", "keras": "3.15.1", "tensorflow": "2.21.0",
    "numpy": "2.4.6"}}
}}"""


def test_training_of_the_first_version_is_resumed_as_it_was_asked_for(whole, data, tmp_path):
    stopped(network(), data, tmp_path, 5)
    (tmp_path / "run.json").write_text(
        OLD_RUN_JSON.format(parameters=network().count_params(), name=data.name, images=data.count("train"))
    )
    with pytest.raises(UserError, match=r"recipe stochastic_depth 0\.0, not 0\.2"):
        training.fit(network(), data, dataclasses.replace(RECIPE, stochastic_depth=0.2), tmp_path)
    training.fit(network(), data, RECIPE, tmp_path, verbose=0)
    assert_same_end(tmp_path, whole[1])


COMPRESSED = training.Recipe(epochs=2, learning_rate=3e-3, warmup_epochs=0.0, augmentation="none")


def quantize_aware(model, data, run_dir):
    images, _ = data.images("train", 16, seed=0)
    trainer.fit(
        training.quantize_aware(model, images, freeze_batch_norm_after=12), data, COMPRESSED, run_dir, verbose=0
    )


def prune(model, data, run_dir):
    training.prune(model, data, 0.6, recipe=COMPRESSED, run_dir=run_dir, frequency=2, verbose=0)


def cluster(model, data, run_dir):
    training.cluster(model, data, 4, recipe=COMPRESSED, run_dir=run_dir, verbose=0)


@pytest.mark.slow
@pytest.mark.parametrize("compress", [quantize_aware, prune, cluster])
def test_compression_that_stops_within_epochs_ends_as_an_undisturbed_one(whole, data, tmp_path, monkeypatch, compress):
    fit, steps = trainer.fit, data.steps_per_epoch()
    for step in (4, steps):  # in the first epoch, then in the second

        def stopping(*args, callbacks=(), step=step, **how):
            return fit(*args, callbacks=[*callbacks, stop_at(step, tf_keras)], **how | EVERY_STEP)

        monkeypatch.setattr(trainer, "fit", stopping)
        keras.utils.set_random_seed(1)  # of dropout and of the first centroids
        with pytest.raises(StopError):
            compress(whole[0], data, tmp_path / "stopped")
    monkeypatch.undo()
    for run_dir in ("stopped", "whole"):
        keras.utils.set_random_seed(1)
        compress(whole[0], data, tmp_path / run_dir)
    assert_same_end(tmp_path / "stopped", tmp_path / "whole")


def test_damaged_checkpoint_gives_way_to_the_one_before_it(whole, data, tmp_path):
    stopped(network(), data, tmp_path, 5)
    before, newest = checkpoints(tmp_path)
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    message = rf"{newest.name} is damaged .*resuming from the previous checkpoint, {before.name}"
    with pytest.warns(UserWarning, match=message):
        training.fit(network(), data, RECIPE, tmp_path, **EVERY_STEP)
    assert_same_end(tmp_path, whole[1])


def test_no_flipped_bit_or_missing_end_of_a_checkpoint_goes_unnoticed(data, tmp_path):
    """Each is found, or lies where it says nothing, such as a time stamp."""
    model = network()
    stopped(model, data, tmp_path, 2)
    like = [*model.variables, *model.optimizer.variables]
    path = checkpoints(tmp_path)[-1]
    content, good = path.read_bytes(), Checkpoints(tmp_path).newest(like)
    checkpoints(tmp_path)[0].unlink()
    draw, found = random.Random(0), 0
    flipped = []
    for _ in range(200):
        flipped.append(bytearray(content))
        flipped[-1][draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    for damaged in (*flipped, *(content[: int(share * len(content))] for share in (0, 0.3, 0.99))):
        path.write_bytes(damaged)
        try:
            read = Checkpoints(tmp_path).newest(like)
        except UserError:
            found += 1
            continue
        for ours, theirs in zip(read.variables + read.metrics, good.variables + good.metrics, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        assert (read.rows, read.step, read.seconds) == (good.rows, good.step, good.seconds)
    assert found > 100


def test_when_all_checkpoints_are_damaged_the_line_says_what_to_delete(data, tmp_path):
    stopped(network(), data, tmp_path, 3)
    for path in checkpoints(tmp_path):
        path.write_bytes(b"PK nonsense")
    with pytest.raises(
        UserError, match=r"checkpoint-2\.npz is damaged .* cannot be resumed from; delete .* to start"
    ) as caught:
        training.fit(network(), data, RECIPE, tmp_path, verbose=0)
    assert "\n" not in str(caught.value)


def test_checkpoint_of_earlier_versions_is_resumed_from(whole, data, tmp_path):
    training.fit(network(), data, RECIPE, tmp_path, verbose=0)
    with np.load(checkpoints(tmp_path)[0]) as archive:  # after the last epoch but one
        arrays = {name: archive[name] for name in archive.files if name != "about"}
        rows = json.loads(str(archive["about"]))["rows"]
    for path in checkpoints(tmp_path):
        path.unlink()
    np.savez(tmp_path / "checkpoint.npz", rows=np.array(json.dumps(rows)), **arrays)
    training.fit(network(), data, RECIPE, tmp_path, verbose=0)
    assert_same_end(tmp_path, whole[1])


@pytest.fixture
def small_disk(tmp_path):
    """A file system of half a megabyte, whose kernel says ENOSPC itself."""
    path = tmp_path / "disk"
    path.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", path], capture_output=True).returncode:
        pytest.skip("only root can mount a small disk")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


class FillDisk(keras.callbacks.Callback):
    """Leaves so many bytes free, from a step on."""

    def __init__(self, disk, step, free=0):
        super().__init__()
        self.disk, self.left, self.free = disk, step, free

    def on_train_batch_begin(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            with open(self.disk / "filler", "wb") as file:
                file.write(b"0" * max(0, shutil.disk_usage(self.disk).free - self.free))


@pytest.mark.parametrize(("free", "seconds"), [(0, math.inf), pytest.param(8192, 0, marks=pytest.mark.slow)])
def test_full_disk_stops_with_one_line_and_loses_nothing(whole, data, small_disk, free, seconds):
    run_dir, filler = small_disk / "run", FillDisk(small_disk, data.steps_per_epoch() + 3, free)
    with pytest.raises(UserError, match=r"cannot write .*: No space left on device; stopped in epoch 2") as caught:
        training.fit(network(), data, RECIPE, run_dir, callbacks=[filler], checkpoint_seconds=seconds, verbose=0)
    assert "\n" not in str(caught.value) and "free some space and start again" in str(caught.value)
    kept = checkpoints(run_dir)[-1].name
    assert f"{kept};" in str(caught.value)
    assert {path.name for path in run_dir.iterdir()} <= {
        "run.json", "model.keras", "history.csv", "logs", ".lock", *(path.name for path in checkpoints(run_dir))
    }  # fmt: skip
    (small_disk / "filler").unlink()
    training.fit(network(), data, RECIPE, run_dir, verbose=0)
    assert_same_end(run_dir, whole[1])


def test_full_disk_at_the_start_is_one_line(data, small_disk):
    FillDisk(small_disk, 1).on_train_batch_begin(0)
    with pytest.raises(UserError, match=r"cannot write .*No space left on device") as caught:
        training.fit(network(), data, RECIPE, small_disk / "run", verbose=0)
    assert "\n" not in str(caught.value)


class Poison(keras.callbacks.Callback):
    """Puts NaN into the last bias, or a value into others: before the forward pass of a step, or behind its update."""

    def __init__(self, step, when, variable=lambda model: model.layers[-1].bias, value=np.nan):
        super().__init__()
        self.left, self.variable, self.value = step, variable, value
        setattr(self, f"on_train_batch_{when}", self.spoil)

    def spoil(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            variable = self.variable(self.model)
            variable.assign(np.full(variable.shape, self.value))


@pytest.mark.parametrize("when", ["begin", "end"])
def test_nan_stops_with_the_step_and_keeps_the_last_good_checkpoint(data, tmp_path, when):
    steps = data.steps_per_epoch()
    with pytest.raises(UserError, match="is NaN in epoch 2, step 3; the last good checkpoint is kept in ") as caught:
        training.fit(network(), data, QUICK, tmp_path, callbacks=[Poison(steps + 3, when)], **EVERY_STEP)
    assert "\n" not in str(caught.value) and f"checkpoint-{steps + 2}.npz, and the best model" in str(caught.value)
    assert checkpoints(tmp_path)[-1].name == f"checkpoint-{steps + 2}.npz"
    assert all(np.isfinite(array).all() for array in end_state(tmp_path).values())
    saved = keras.models.load_model(tmp_path / "model.keras")
    assert all(np.isfinite(weight).all() for weight in saved.get_weights())


@pytest.mark.parametrize(
    ("step", "variable", "value", "says"),
    [
        (3, lambda model: model.layers[2].moving_variance, np.inf, "/moving_variance is infinite in epoch 1, step 3"),
        (8, lambda model: model.optimizer.variables[-1], np.nan, "velocity is NaN in epoch 1, step 8"),
    ],
)
def test_statistics_and_moments_that_overflow_are_not_kept(data, tmp_path, step, variable, value, says):
    """The weights and the loss are finite still; the second overflows in the last step of an epoch."""
    poison = Poison(step, "end", variable, value)
    with pytest.raises(UserError, match=says) as caught:
        training.fit(network(), data, QUICK, tmp_path, callbacks=[poison], **EVERY_STEP)
    assert f"; the last good checkpoint is kept in {checkpoints(tmp_path)[-1]}; lower" in str(caught.value)
    assert checkpoints(tmp_path)[-1].name == f"checkpoint-{step - 1}.npz"
    assert all(np.isfinite(array).all() for array in end_state(tmp_path).values())
    assert not (tmp_path / "model.keras").exists()


def test_nan_without_a_run_folder_does_not_speak_of_one(data):
    with pytest.raises(UserError, match="loss is NaN in epoch 1, step 2; nothing is kept without a run folder"):
        training.fit(network(), data, QUICK, callbacks=[Poison(2, "begin")], verbose=0)


def test_checkpoint_seconds_below_zero_are_refused(data):
    with pytest.raises(UserError, match="checkpoint_seconds=-1"):
        training.fit(network(), data, QUICK, checkpoint_seconds=-1)
