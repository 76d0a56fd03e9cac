"""What a person sees while a training runs: a live line on a real terminal, plain lines elsewhere."""

import contextlib
import csv
import io
import os
import re
import sys
import threading
import time
import tty
from pathlib import Path
from types import SimpleNamespace

import keras
import pytest
from keras import layers
from rich.console import Console

from keras_mobilenets import UserError, training
from keras_mobilenets.training.engine import progress_bar

RECIPE = training.Recipe(epochs=2, learning_rate=0.02)
CURSOR_IS_BACK = "\x1b[?25h"
COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-9][0-9;]*m")


def network():
    keras.utils.set_random_seed(1)
    image = keras.Input((32, 32, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, strides=4, activation="relu")(image))
    return keras.Model(image, layers.Dense(3, activation="softmax")(x), name="small")


def after_steps(what):
    """A callback that calls with the number of steps so far, through the epochs."""
    steps = iter(range(1, 10000))
    return keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs=None: what(next(steps)))


def slowly():
    return after_steps(lambda step: time.sleep(0.15))


def interrupt_at(last):
    def interrupt(step):
        if step == last:
            raise KeyboardInterrupt

    return after_steps(interrupt)


@contextlib.contextmanager
def terminal():
    """Standard error is a terminal of 80 columns. Yields a list that in the end holds all that was written there."""
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    written, parts = [], []

    def read():
        with contextlib.suppress(OSError):
            while True:
                parts.append(os.read(ours, 65536))

    reader = threading.Thread(target=read)
    reader.start()
    before = {name: os.environ.get(name) for name in ("TERM", "COLUMNS", "NO_COLOR", "FORCE_COLOR")}
    try:
        for name in before:
            os.environ.pop(name, None)
        os.environ.update(TERM="xterm-256color", COLUMNS="80")
        with os.fdopen(theirs, "w") as stream, contextlib.redirect_stderr(stream):
            yield written
    finally:
        for name in before:
            os.environ.pop(name, None)
        os.environ.update({name: value for name, value in before.items() if value is not None})
        reader.join()
        os.close(ours)
        written.append(b"".join(parts).decode())


def lines_of(written):
    """Every state of every line, without colours and moves."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written)
    return [line.rstrip() for line in re.split(r"[\r\n]+", plain) if line.strip()]


def screen(written):
    """What the terminal shows in the end, of the few moves that the live line makes."""
    rows, row = [""], 0
    for text, move in re.findall(r"([^\x1b\r\n]*)(\x1b\[[0-9;?]*[A-Za-z]|\r|\n|$)", written):
        rows[row] += text
        if move == "\n":
            row += 1
            rows += [""] * (row == len(rows))
        elif move == "\x1b[1A":
            row -= 1
        elif move == "\x1b[2K":
            rows[row] = ""
    return [line for line in rows if line.strip()]


@pytest.fixture(scope="module")
def stopped(data, tmp_path_factory):
    """What a terminal and the caller get of a training that is stopped by Ctrl-C, and of its second start."""
    run_dir = tmp_path_factory.mktemp("runs") / "stopped"

    def speak(step):
        if step == 5:
            print("mind the gap", file=sys.stderr)

    with terminal() as first, pytest.raises(KeyboardInterrupt) as caught:
        how = {"checkpoint_seconds": 0, "callbacks": [slowly(), interrupt_at(12)]}
        training.fit(network(), data, RECIPE, run_dir, **how)
    with terminal() as second:
        training.fit(network(), data, RECIPE, run_dir, callbacks=[slowly(), after_steps(speak)])
    return first[0], str(caught.value), second[0]


def test_log_has_a_line_for_each_epoch_with_the_figures_of_the_history(data, tmp_path, capsys):
    training.fit(network(), data, RECIPE, tmp_path)
    printed = capsys.readouterr()
    with open(tmp_path / "history.csv") as file:
        rows = list(csv.DictReader(file))
    lines = printed.err.splitlines()
    assert printed.out == "" and len(lines) == len(rows) == 2
    for line, row in zip(lines, rows, strict=True):
        figures = [f"{name} {float(row[name]):.3f}" for name in ("loss", "val_loss")]
        figures += [f"{name} {float(row[name]):.1%}" for name in ("accuracy", "val_accuracy")]
        assert all(f"  {figure}  " in line for figure in figures)
        assert f"  {float(row['images_per_second']):,.0f} images/s  " in line
    assert lines[0].startswith("epoch 1/2  loss ") and re.search(r"  \d+:\d\d left$", lines[0])
    assert lines[1].startswith("epoch 2/2  loss ") and re.search(r"  \d+:\d\d total$", lines[1])


def test_live_line_has_figures_and_remaining_time_and_fits_the_terminal(stopped):
    lines = lines_of(stopped[0])
    assert max(map(len, lines)) <= 80
    live = [line for line in lines if re.search(r"\d/8 \d.* images/s ", line)]
    assert any(re.search(r" loss \d\.\d{3} accuracy \d+\.\d% \d:\d\d / \d:\d\d left$", line) for line in live)
    assert any("starting" in line for line in lines) and any("validating" in line for line in lines)
    assert COLOUR.search(stopped[0])


def test_terminal_is_left_with_the_whole_epochs_and_its_cursor(stopped):
    first, _, second = stopped
    assert [line[:16] for line in screen(first)] == ["epoch 1/2  loss "]
    assert screen(second)[:2] == ["resuming in epoch 2, after step 3", "mind the gap"]
    assert screen(second)[-1].startswith("epoch 2/2  loss ")
    assert all(written.rindex(CURSOR_IS_BACK) > written.rindex("left") for written in (first, second))


def test_ctrl_c_says_where_the_training_goes_on_and_it_does(stopped):
    _, says, second = stopped
    assert says == "stopped in epoch 2, step 3; started again, it resumes in epoch 2, after step 3"
    assert not any(re.search(r" [012]/8 ", line) for line in lines_of(second))


def test_silent_training_without_a_folder_says_nothing_and_promises_nothing(data, capfd):
    with pytest.raises(KeyboardInterrupt, match="epoch 1, step 1; nothing is kept without a run folder"):
        training.fit(network(), data, RECIPE, callbacks=[interrupt_at(2)], verbose=0)
    assert capfd.readouterr() == ("", "")


def test_nan_leaves_the_terminal_as_it_was(data):
    model = network()

    def spoil(step):
        if step == 12:
            model.layers[-1].bias.assign([float("nan")] * 3)

    with terminal() as written:
        before = sys.stderr
        with pytest.raises(UserError, match="is NaN in epoch 2"):
            training.fit(model, data, RECIPE, callbacks=[slowly(), after_steps(spoil)])
        assert sys.stderr is before
    assert [line[:16] for line in screen(written[0])] == ["epoch 1/2  loss "]
    assert written[0].rindex(CURSOR_IS_BACK) > written[0].rindex("left")


def test_terminal_without_colours_or_moves_is_respected(monkeypatch):
    with terminal():
        monkeypatch.setenv("NO_COLOR", "1")
        assert progress_bar._terminal().no_color
        monkeypatch.setenv("TERM", "dumb")
        assert progress_bar._terminal() is None
    with contextlib.redirect_stderr(io.StringIO()):
        monkeypatch.setenv("FORCE_COLOR", "1")
        assert progress_bar._terminal() is None


class Training:
    """Epochs of 100 steps of 10 images at 0.1 s and of a second of validation, by a clock that is turned by hand."""

    def __init__(self, monkeypatch, work, rows=(), step=0):
        self.now = 1000.0
        monkeypatch.setattr(progress_bar, "time", SimpleNamespace(perf_counter=lambda: self.now))
        state = SimpleNamespace(step=step)
        self.recorder = SimpleNamespace(
            rows=list(rows), state=state, begun=step, steps_per_epoch=100, batch_size=10, is_kept=True
        )
        data = SimpleNamespace(count=lambda split: 300, batch_size=10)
        self.progress = progress_bar.Progress(self.recorder, work, data, 0)
        self.progress._on_train_begin()

    def steps(self, first, last):
        """Takes the steps first + 1 to last of an epoch; the very first one compiles for a minute."""
        if first in (0, self.recorder.begun):
            self.progress._on_epoch_begin(len(self.recorder.rows))
        for step in range(first, last):
            is_compiling = self.progress.is_first and step == self.recorder.begun
            self.now += 60 if is_compiling else 0.1 * self.progress.work[self.progress.epoch]
            logs = {"loss": 2.5, "accuracy": 0.25}
            self.progress._on_train_batch_end(step - self.recorder.begun, logs)

    def validate(self):
        self.progress._on_test_begin()
        for batch in range(30):
            self.progress._on_test_batch_begin(batch)
            self.now += 1 / 30 + (20 if batch == 0 and self.progress.is_first else 0)
        self.recorder.rows.append({"images_per_second": 100.0, "seconds": 11.0})
        self.recorder.state.step = self.recorder.begun = 0
        self.progress._on_epoch_end(len(self.recorder.rows) - 1, {})


def test_remaining_time_counts_validation_but_not_what_is_compiled_once(monkeypatch):
    training = Training(monkeypatch, [1, 1, 1, 1])
    assert training.progress._left() is None
    training.steps(0, 50)
    epoch, whole = training.progress._left()
    assert epoch == pytest.approx(5 + 1, rel=0.02)  # a validation batch counts as a third of a step until it is timed
    assert whole == pytest.approx(epoch + 3 * 11, rel=0.02)
    training.steps(50, 100)
    training.validate()
    assert training.progress._left_behind(0) == pytest.approx(3 * 11, rel=0.02)
    training.steps(0, 20)
    training.now += 0.05  # within a step, the time goes on
    assert training.progress._left() == pytest.approx((7.95 + 1, 7.95 + 1 + 2 * 11), rel=0.02)


def test_remaining_time_of_a_resumed_training_is_of_what_is_left(monkeypatch):
    row = {"images_per_second": 100.0, "seconds": 10.0 + 3.0}  # validation took three seconds before the kill
    training = Training(monkeypatch, [1, 1, 1], rows=[row], step=60)
    training.steps(60, 80)
    assert training.progress._left() == pytest.approx((2 + 3, 2 + 3 + 13), rel=0.02)


def test_pace_on_small_images_foretells_that_on_large_ones(monkeypatch):
    training = Training(monkeypatch, [1, 1, 4, 4])
    training.steps(0, 100)
    training.validate()
    training.steps(0, 100)
    training.validate()
    assert training.progress._left_behind(1) == pytest.approx(2 * (40 + 1), rel=0.02)
    training.steps(0, 100)
    training.validate()
    assert training.progress._left_behind(2) == pytest.approx(40 + 1, rel=0.02)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("checkpoint-160.npz", "resumes in epoch 2, after step 60"),
        ("checkpoint-200.npz", "resumes in epoch 3"),
        ("checkpoint-300.npz", "resumes after its last epoch"),
        ("checkpoint.npz", "resumes in epoch 3"),  # of an earlier version
    ],
)
def test_ctrl_c_speaks_of_the_checkpoint_that_was_written_last(monkeypatch, name, says):
    training = Training(monkeypatch, [1, 1, 1], rows=[{"images_per_second": 100.0, "seconds": 11.0}] * 2)
    training.recorder.checkpoints = SimpleNamespace(good=[Path("run") / name])
    assert training.progress._way_on() == f"started again, it {says}"


@pytest.mark.parametrize("columns", [20, 40, 80, 120, 200])
def test_live_line_shows_what_there_is_room_for(monkeypatch, columns):
    training = Training(monkeypatch, [1] * 300)
    training.steps(0, 40)
    drawn = io.StringIO()
    Console(file=drawn, width=columns, legacy_windows=False).print(training.progress)
    [line] = drawn.getvalue().splitlines()
    assert len(line) <= columns and line.startswith("epoch   1/300")
    assert ("━" in line) == (columns > 80)
    assert ("100 images/s" in line) == (columns >= 40) and ("accuracy 25.0%" in line) == (columns >= 80)
    assert ("of the training" in line) == (columns >= 120)
    assert line.rstrip().endswith("left") == (columns == 80)


@pytest.mark.parametrize(("seconds", "says"), [(0.4, "0:00"), (59.6, "1:00"), (247, "4:07"), (3723, "1:02:03")])
def test_times_are_written_as_on_a_clock(seconds, says):
    assert progress_bar.clock(seconds) == says
