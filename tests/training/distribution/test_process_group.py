"""Many devices: the same training in several processes and on several devices of one; what is wrong is one line."""

import csv
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time

import keras
import numpy as np
import pytest

from keras_mobilenets import UserError, tflite, training
from keras_mobilenets.cli import main
from keras_mobilenets.training.distribution import broadcast, process_group, rendezvous

PROGRAM = """
    import os, sys, time
    devices, run_dir, number, count, port, epochs, pause = sys.argv[1:8]
    os.environ["KERAS_BACKEND"] = "tensorflow" if devices == "mirrored" else "jax"
    import tensorflow as tf
    if devices == "mirrored":
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    import keras
    import numpy as np
    from keras import layers
    from keras_mobilenets import training

    if int(count) > 1:
        training.join_processes(f"127.0.0.1:{{port}}", int(count), int(number), timeout=120)
    data = training.load_data({folder!r}, image_size=32, batch_size=16)
    keras.utils.set_random_seed(1)
    image = keras.Input((32, 32, 3))
    x = layers.Conv2D(8, 3, strides=2, use_bias=False)(image)
    x = layers.ReLU(6.0)(layers.BatchNormalization(momentum=0.8)(x))
    x = layers.GlobalAveragePooling2D()(layers.DepthwiseConv2D(3)(x))
    x = layers.Dropout({dropout})(x)
    model = keras.Model(image, layers.Dense(3, activation="softmax")(x), name="small")

    def after(batch, logs=None):
        print("step", flush=True)
        time.sleep(float(pause))

    training.fit(
        model,
        data,
        training.Recipe(epochs=int(epochs), learning_rate=0.02, ema_epochs={ema}),
        run_dir,
        callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=after)],
        checkpoint_seconds=0,
        verbose=0,
    )
    images, _ = next(iter(data.test))
    np.save(f"{{run_dir}}-{{number}}.npy", model.predict(images.numpy(), verbose=0))
    print("end", flush=True)
"""


@pytest.fixture(scope="module")
def program(folder, tmp_path_factory):
    """Writes the program with such settings: `program(dropout=0.2)`."""
    root = tmp_path_factory.mktemp("programs")

    def write(dropout=0.2, ema=0):
        path = root / f"train-{dropout}-{ema}.py"
        path.write_text(textwrap.dedent(PROGRAM).format(folder=str(folder), dropout=dropout, ema=ema))
        return path

    return write


def start(program, run_dir, number=0, count=1, port=0, epochs=3, pause=0.0, devices="jax"):
    settings = map(str, (devices, run_dir, number, count, port, epochs, pause))
    return subprocess.Popen(
        [sys.executable, program, *settings],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
    )


def start_one(program, run_dir, **how):
    return [start(program, run_dir, **how)]


def start_two(program, run_dir, **how):
    port = free_port()
    return [start(program, run_dir, number, 2, port, **how) for number in range(2)]


def finish(*processes, code=0):
    """What they have written to standard output and error."""
    written = [process.communicate(timeout=400) for process in processes]
    for process, (_, error) in zip(processes, written, strict=True):
        assert process.returncode == code, error[-3000:]
    return written


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def curve(run_dir):
    with open(run_dir / "history.csv") as file:
        rows = list(csv.DictReader(file))
    names = ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")
    return np.array([[float(row[name]) for name in names] for row in rows])


def last_line(error):
    return error.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def alone(program, tmp_path_factory):
    """One process on JAX, one device."""
    run_dir = tmp_path_factory.mktemp("runs") / "alone"
    finish(*start_one(program(), run_dir))
    return run_dir


@pytest.fixture(scope="module")
def together(program, tmp_path_factory):
    """Two processes, with the same batches."""
    run_dir = tmp_path_factory.mktemp("runs") / "together"
    finish(*start_two(program(), run_dir))
    return run_dir


@pytest.mark.slow
def test_two_processes_have_the_curve_of_one(alone, together):
    assert curve(together).shape == (3, 5)
    np.testing.assert_allclose(curve(together), curve(alone), atol=1e-3)


@pytest.mark.slow
def test_both_processes_end_with_the_best_model(together):
    ours, theirs = (np.load(f"{together}-{number}.npy") for number in range(2))
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@pytest.mark.slow
def test_process_0_alone_writes_the_run_folder(together, alone):
    def written(run_dir):
        return {path.name for path in run_dir.iterdir()}

    assert written(together) == written(alone)
    assert json.loads((together / "run.json").read_text())["versions"]["backend"] == "jax"


@pytest.mark.slow
def test_weights_load_under_tensorflow_and_convert(together, data, tmp_path):
    model = keras.models.load_model(together / "model.keras")
    assert keras.backend.backend() == "tensorflow"
    images = next(iter(data.test))[0].numpy()
    expected = np.load(f"{together}-0.npy")
    np.testing.assert_allclose(model.predict(images, verbose=0), expected, atol=1e-5)
    converted = tflite.convert(model, tmp_path / "small.tflite", quantize="none")
    got = tflite.evaluate(converted, data.test).predictions[: len(images)]
    np.testing.assert_allclose(got, expected, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("victim", "restarted"), [(0, 2), (1, 1)])
def test_a_killed_process_ends_the_other_and_a_restart_goes_on(victim, restarted, program, together, tmp_path):
    processes = start_two(program(), tmp_path / "run", pause=0.1)
    for process in processes:
        assert process.stdout.readline() == "step\n", process.communicate()[1]
    time.sleep(random.uniform(0.5, 2.0))
    killed = time.monotonic()
    processes[victim].send_signal(signal.SIGKILL)
    survivor = processes[1 - victim]
    ((_, error),) = finish(survivor, code=2)
    assert time.monotonic() - killed < 10
    assert last_line(error) == (
        f"keras-mobilenets: stopped, since process {victim} has ended or cannot be reached; "
        "start all 2 processes again: the training resumes from its last checkpoint"
    )
    assert "Check failure stack trace" not in error and "Traceback" not in error
    finish(processes[victim], code=-signal.SIGKILL)
    assert list((tmp_path / "run").glob("checkpoint-*.npz"))
    finish(*(start_two if restarted == 2 else start_one)(program(), tmp_path / "run"))
    np.testing.assert_allclose(curve(tmp_path / "run"), curve(together), atol=1e-6 if restarted == 2 else 1e-3)
    np.testing.assert_allclose(np.load(tmp_path / "run-0.npy"), np.load(f"{together}-0.npy"), atol=1e-3)


@pytest.mark.slow
def test_error_of_process_0_is_the_last_line_of_all(program, together):
    ours, theirs = finish(*start_two(program(), together, epochs=4), code=2)
    assert "holds a training with recipe epochs 3, not 4" in last_line(ours[1])
    assert re.match("keras-mobilenets: stopped, since process 0 has stopped: .* epochs 3, not 4", last_line(theirs[1]))


@pytest.mark.slow
def test_two_devices_of_one_process_have_the_curve_of_one(program, tmp_path, monkeypatch):
    finish(start(program(dropout=0, ema=1), tmp_path / "one"))
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=2")
    finish(start(program(dropout=0, ema=1), tmp_path / "two"))
    np.testing.assert_allclose(curve(tmp_path / "two"), curve(tmp_path / "one"), atol=1e-3)


@pytest.mark.slow
def test_mirrored_training_has_the_curve_of_one_device_and_goes_on_after_a_kill(program, data, tmp_path, monkeypatch):
    path = program(dropout=0, ema=1)
    finish(start(path, tmp_path / "mirrored", devices="mirrored"))
    process = start(path, tmp_path / "stopped", devices="mirrored", pause=0.1)
    for _ in range(12):
        assert process.stdout.readline() == "step\n", process.communicate()[1]
    process.kill()
    process.communicate()
    finish(start(path, tmp_path / "stopped", devices="mirrored"))
    np.testing.assert_allclose(curve(tmp_path / "stopped"), curve(tmp_path / "mirrored"), atol=1e-6)

    namespace = {"__name__": "program"}
    text = path.read_text().replace("import os, sys, time", "import os, time").replace("sys.argv[1:8]", "arguments")
    namespace["arguments"] = ["tensorflow", tmp_path / "one", "0", "1", "0", "3", "0"]
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")  # which the program sets: other tests' processes inherit it
    exec(compile(text, path, "exec"), namespace)  # in this process, which has one device
    np.testing.assert_allclose(curve(tmp_path / "mirrored"), curve(tmp_path / "one"), atol=1e-3)
    saved = keras.models.load_model(tmp_path / "mirrored" / "model.keras")
    images = next(iter(data.test))[0]
    np.testing.assert_allclose(saved.predict(images, verbose=0), np.load(tmp_path / "one-0.npy"), atol=1e-3)
    assert [layer.synchronized for layer in saved.layers if hasattr(layer, "synchronized")] == [False]


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("augmentation", ["none", "light"])
def test_shares_of_a_batch_are_the_batch(augmentation, in_memory, folder):
    data = training.load_data(folder, image_size=32, batch_size=16)
    data._in_memory = in_memory
    whole = list(data.epochs(1, 2, 3, augmentation, first_step=6))
    shares = [list(data.epochs(1, 2, 3, augmentation, first_step=6, share=(number, 2))) for number in range(2)]
    assert len(whole) == len(shares[0]) == len(shares[1]) == 2
    for batch, *parts in zip(whole, *shares, strict=True):
        for one, two in zip(batch, zip(*parts, strict=True), strict=True):
            np.testing.assert_array_equal(one, np.concatenate(two))


@pytest.mark.parametrize("augmentation", ["flip+crop", "light+mixup"])
def test_other_augmentations_draw_for_each_share(augmentation, data):
    (ours, _), (theirs, _) = (next(iter(data.epochs(0, 1, 3, augmentation, share=(n, 2)))) for n in range(2))
    assert ours.shape == theirs.shape == (8, 32, 32, 3)


@pytest.mark.parametrize("in_memory", [True, False])
def test_weighted_means_over_shares_of_validation_are_those_over_the_images(in_memory, folder):
    data = training.load_data(folder, image_size=32, batch_size=16)
    data._in_memory = in_memory
    images, labels = zip(*data.validation.unbatch().as_numpy_iterator(), strict=True)
    assert len(labels) % 16  # the last batch is filled up
    sums, weights = np.zeros(2), 0.0
    for number in range(4):
        for pixels, classes, weight in data.validation_share(number, 4).as_numpy_iterator():
            assert pixels.shape == (4, 32, 32, 3)
            sums += (weight * pixels.mean((1, 2, 3))).sum(), (weight * classes).sum()
            weights += weight.sum()
    steps = -(-len(labels) // 16)
    assert weights == pytest.approx(steps * 16)
    np.testing.assert_allclose(sums / weights, (np.mean(images), np.mean(labels)), rtol=1e-5)


def test_less_than_one_batch_cannot_be_shared(folder):
    with pytest.raises(UserError, match="less than a batch of 512 training images; lower batch_size"):
        training.load_data(folder, 32, 512).epochs(0, 1, share=(0, 2))


ADDRESS = ["--coordinator", "127.0.0.1:7000"]
TWO = [*ADDRESS, "--processes", "2", "--process-id"]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (ADDRESS, "--coordinator goes with --distributed"),
        (["--distributed", *ADDRESS], "--distributed needs --processes and --process-id, too"),
        (["--distributed", *TWO, "2"], "process-id 2 of 2 processes: give 0 to 1"),
        (["--distributed", *TWO, "0", "--coordinator", "here"], "coordinator 'here': write it as host:port"),
        (["--distributed", *TWO, "0", "--coordinator", "here:99999"], "write it as host:port"),
        (["--distributed", *TWO, "0", "--processes", "0"], "processes must be 1 or more, not 0"),
        (["--distributed", *TWO, "0", "--batch-size", "15"], "a batch of 15 cannot be shared by 2 processes evenly"),
    ],
)
def test_wrong_options_are_one_line_at_once(options, line, capsys, tmp_path):
    begun = time.monotonic()
    assert main(["train", "MobileNetV2", "--run", str(tmp_path / "run"), *options]) == 2
    assert time.monotonic() - begun < 2
    error = capsys.readouterr().err
    assert line in error and error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_missing_jax_is_one_line(monkeypatch):
    monkeypatch.setattr(process_group.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"JAX, which is missing: pip install 'keras_mobilenets\[jax\]'"):
        training.join_processes("127.0.0.1:7000", 2, 0)


def test_processes_do_not_join_on_tensorflow():
    with pytest.raises(UserError, match="set the environment variable KERAS_BACKEND=jax"):
        training.join_processes("127.0.0.1:7000", 2, 0)


def call_roll(port, processes=3, seconds=5.0):
    """What process 0 does, in a thread; returns what became of it."""
    outcome = []

    def run():
        try:
            outcome.append(rendezvous.accept_processes("127.0.0.1", port, processes, time.monotonic() + seconds, 1))
        except UserError as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcome


def answer(port, number, processes=3, seconds=5.0):
    return rendezvous.join("127.0.0.1", port, processes, number, time.monotonic() + seconds)


def test_processes_that_do_not_come_are_named():
    thread, outcome = call_roll(free_port(), seconds=0.2)
    thread.join()
    assert "process 1, 2 of 3 did not connect to 127.0.0.1:" in str(outcome[0])


def test_roll_refuses_another_number_of_processes_and_a_second_one_of_a_number():
    port = free_port()
    thread, outcome = call_roll(port)
    with pytest.raises(UserError, match="process 0 was started with 3 processes, this one with 4"):
        answer(port, 1, processes=4)
    waiting = threading.Thread(target=answer, args=(port, 1))
    waiting.start()
    time.sleep(0.3)
    with pytest.raises(UserError, match="there is a process 1 already"):
        answer(port, 1)
    answer(port, 2)
    waiting.join()
    thread.join()
    assert set(outcome[0]) == {1, 2}


def test_unreachable_coordinator_is_one_line_in_time():
    begun = time.monotonic()
    with pytest.raises(UserError, match=r"cannot reach process 0 at 127\.0\.0\.1:\d+ \(Connection refused\)"):
        answer(free_port(), 1, seconds=0.5)
    assert time.monotonic() - begun < 3


def test_port_that_is_taken_is_one_line():
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(UserError, match="Address already in use"):
        rendezvous.accept_processes("127.0.0.1", other.getsockname()[1], 2, time.monotonic() + 1, 1)


def test_what_process_0_sends_arrives_without_pickle():
    sent = {"rows": [{"loss": 0.1 + 0.2, "epoch": 1}], "step": 0, "variables": [np.arange(3.0), np.array(7, np.int64)]}
    got = broadcast._unpack(broadcast._pack(sent))
    assert got["rows"] == sent["rows"] and got["step"] == 0
    for ours, theirs in zip(got["variables"], sent["variables"], strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(TypeError, match="set cannot be sent"):
        broadcast._pack({1, 2})
