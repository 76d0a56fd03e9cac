"""The progress bar of a training on a terminal, and a line for each epoch; both on standard error."""

import math
import sys
import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any

from keras_mobilenets.training.datasets.dataset import Data
from keras_mobilenets.training.engine.recorder import Recorder

TICK = 0.25  # seconds between two updates of the figures
HORIZON = 30.0  # seconds over which the speed is averaged
FORWARD = 1 / 3  # estimated time of a validation batch, as a share of a training step's
LONGEST_BAR = 40  # columns
SHORTEST_BAR = 8
SHARES = ("accuracy", "ndcg10")  # metrics that are shown in percent


class Progress:
    """Shows one training over several calls of `model.fit`; a context manager around them."""

    def __init__(self, recorder: Recorder, work: Sequence[float], data: Data, verbose: int | str = "auto"):
        """Starts where the recorder is.

        Args:
            recorder: Records the training; its callback comes before this one's.
            work: Relative cost of a step, one number for each epoch.
            data: The training data.
            verbose: As for `fit`.
        """
        self.recorder, self.work, self.data = recorder, work, data
        self.lines = bool(verbose)
        self.console = _terminal() if self.lines else None
        self.bar = _bar(self, self.console) if self.console and verbose in (1, "auto") else None
        self.pace = _Pace()
        self.epoch, self.step = len(recorder.rows), recorder.state.step
        self.figures: dict[str, str] = {}
        self.mark: tuple[int, float] | None = None  # the last measured step and its time
        self.is_first = self.is_validating = False
        self.trained = 0.0
        self.tail = _tail(recorder)

    def __enter__(self) -> "Progress":
        """Prints where a training resumes."""
        if self.recorder.is_kept and self.epoch < len(self.work) and (self.epoch or self.step):
            self.say(f"resuming {self._place()}")
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Restores the terminal; adds to Ctrl-C's KeyboardInterrupt where the training will resume."""
        if self.bar:
            self.bar.stop()
        if isinstance(error, KeyboardInterrupt):
            error.args = (f"stopped in epoch {self.epoch + 1}, step {self.step}; {self._way_on()}",)

    def say(self, line: str) -> None:
        """Prints a line; above the progress bar, where there is one."""
        if self.lines:
            print(line, file=sys.stderr, flush=True)

    def callback(self) -> Any:
        """The callback for `model.fit`, to come after the recorder's."""
        return self.recorder.library.callbacks.LambdaCallback(
            on_train_begin=self._on_train_begin,
            on_epoch_begin=self._on_epoch_begin,
            on_train_batch_end=self._on_train_batch_end,
            on_test_begin=self._on_test_begin,
            on_test_batch_begin=self._on_test_batch_begin,  # for the end of a batch, Keras would wait each time
            on_epoch_end=self._on_epoch_end,
            on_train_end=self._on_train_end,
        )

    def _on_train_begin(self, logs: dict | None = None) -> None:
        self.is_first = True  # the first step and the first validation batch compile what they run
        if self.bar:
            self.bar.start()

    def _on_train_end(self, logs: dict | None = None) -> None:
        if self.bar:
            self.bar.stop()

    def _on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.epoch, self.step, self.is_validating = epoch, self.recorder.state.step, False
        self.mark = None if self.is_first else (self.step, time.perf_counter())

    def _on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.step = self.recorder.begun + batch + 1
        now = time.perf_counter()
        if self.mark is None:
            self.mark = (self.step, now)
        elif now - self.mark[1] >= TICK:
            self._tick(now)
            self.figures = _figures(logs or {})

    def _tick(self, now: float) -> None:
        if self.mark and self.step > self.mark[0]:
            self.pace.add(self.work[self.epoch] * (self.step - self.mark[0]), now - self.mark[1])
            self.mark = (self.step, now)

    def _on_test_begin(self, logs: dict | None = None) -> None:
        self.trained, self.is_validating = time.perf_counter(), True
        self._tick(self.trained)

    def _on_test_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        if batch == 1 and self.is_first:
            self.trained = time.perf_counter()

    def _on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.tail = time.perf_counter() - self.trained
        self.is_first = False
        self.say(self._line(logs or {}))
        self.figures, self.mark = {}, None

    def _line(self, logs: dict[str, float]) -> str:
        """The line of a completed epoch, as much of it as fits the terminal."""
        speed = [f"{logs['images_per_second']:,.0f} images/s"] if "images_per_second" in logs else []
        if self.epoch + 1 < len(self.work):
            seconds = self._left_behind(self.epoch)
            time_left = [] if seconds is None else [f"{clock(seconds)} left"]
        else:
            time_left = [f"{clock(sum(row['seconds'] for row in self.recorder.rows))} total"]
        pieces = [self._epoch_words(), *_figures(logs).values(), *speed, *time_left]
        while self.console and len(pieces) > 1 and len("  ".join(pieces)) > self.console.width:
            pieces.pop()
        return "  ".join(pieces)

    def _epoch_words(self) -> str:
        total = str(len(self.work))
        return f"epoch {self.epoch + 1:{len(total)}}/{total}"

    def __rich_console__(self, console: Any, options: Any) -> Iterable[Any]:
        """The progress bar: as many of its parts as fit."""
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        head, room = self._epoch_words(), options.max_width
        rest = self._words(room - len(head))
        row: list[Any] = [head, rest]
        bar = min(LONGEST_BAR, room - len(head) - len(rest) - 4)
        if bar >= SHORTEST_BAR:
            row.insert(1, ProgressBar(self.recorder.steps_per_epoch, self.step, width=bar))
        line = Table.grid(padding=(0, 2, 0, 0))
        for _ in row:
            line.add_column(no_wrap=True, overflow="ellipsis")
        line.add_row(*row)
        yield line

    def _words(self, room: int) -> str:
        """The text after the bar: in full, or shortened to the room."""
        where = "validating" if self.is_validating else f"{self.step:,}/{self.recorder.steps_per_epoch:,}"
        step, left = self.pace.seconds_for(self.work[self.epoch]), self._left()
        speed = "starting" if step is None else f"{self.recorder.batch_size / step:,.0f} images/s"
        figures, times, short = list(self.figures.values()), [], []
        if left is not None:
            epoch, training = map(clock, left)
            times, short = [f"{epoch} left of the epoch, {training} of the training"], [f"{epoch} / {training} left"]
        full = "  ".join([where, speed, *figures, *times])
        if len(full) + SHORTEST_BAR + 4 <= room:
            return full
        shorter = [[where, speed, *figures[:count], *short] for count in range(len(figures), -1, -1)]
        closer = map(" ".join, [*shorter, [where, speed]])
        return next((words for words in closer if len(words) + 2 <= room), where)

    def _left(self) -> tuple[float, float] | None:
        """Remaining seconds of the epoch and of the training; None before the first steps are timed."""
        step, behind = self.pace.seconds_for(self.work[self.epoch]), self._left_behind(self.epoch)
        if step is None or behind is None:
            return None
        now = time.perf_counter()
        if self.is_validating:
            epoch = self._tail_seconds() - (now - self.trained)
        else:
            since = now - self.mark[1] if self.mark else 0.0
            done = self.mark[0] if self.mark else self.step
            epoch = max(0.0, (self.recorder.steps_per_epoch - done) * step - since) + self._tail_seconds()
        return max(0.0, epoch), max(0.0, epoch) + behind

    def _left_behind(self, epoch: int) -> float | None:
        """Seconds of all epochs after one."""
        later = self.work[epoch + 1 :]
        steps = self.pace.seconds_for(self.recorder.steps_per_epoch * sum(later))
        return None if steps is None else steps + len(later) * self._tail_seconds()

    def _tail_seconds(self) -> float:
        """Seconds of an epoch after its last step: validation, checkpoint, model."""
        if self.tail is not None:
            return self.tail
        steps = math.ceil(self.data.count("validation") / self.data.batch_size)
        return FORWARD * (self.pace.seconds_for(self.work[-1]) or 0.0) * steps

    def _way_on(self) -> str:
        """Where a stopped training will resume."""
        if not self.recorder.is_kept:
            return "nothing is kept without a run folder"
        if not self.recorder.checkpoints.good:
            return "there is no checkpoint yet: started again, it starts over"
        return f"started again, it resumes {self._place()}"

    def _place(self) -> str:
        """Where the newest checkpoint is, by its name: Ctrl-C may come between an epoch and its checkpoint."""
        named, steps = self.recorder.checkpoints.good[-1].stem.partition("-")[2], self.recorder.steps_per_epoch
        epoch, step = divmod(int(named) if named else len(self.recorder.rows) * steps, steps)
        if epoch == len(self.work):
            return "after its last epoch"
        return f"in epoch {epoch + 1}" + (f", after step {step}" if step else "")


class _Pace:
    """Work per second, exponentially averaged."""

    def __init__(self) -> None:
        self.work = self.seconds = 0.0

    def add(self, work: float, seconds: float) -> None:
        kept = math.exp(-seconds / HORIZON)
        self.work, self.seconds = kept * self.work + work, kept * self.seconds + seconds

    def seconds_for(self, work: float) -> float | None:
        return work * self.seconds / self.work if self.work else None


def clock(seconds: float) -> str:
    """A time as minutes and seconds, with hours where there are some: 4:07, 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _figures(logs: dict[str, float]) -> dict[str, str]:
    """Each metric with its name: the loss first, those of the training before those of the validation."""
    names = [name for name in logs if name not in ("images_per_second", "learning_rate")]
    names.sort(key=lambda name: (name.startswith("val_"), not name.endswith("loss")))
    return {name: f"{name} {logs[name]:{'.1%' if name.endswith(SHARES) else '.3f'}}" for name in names}


def _tail(recorder: Recorder) -> float | None:
    """Seconds after the last step of the last completed epoch of an earlier start."""
    if not recorder.rows:
        return None
    row = recorder.rows[-1]
    trained = recorder.steps_per_epoch * recorder.batch_size / row["images_per_second"]
    return max(0.0, row["seconds"] - trained)


def _terminal() -> Any:
    """The terminal on standard error; None where there is none, or it cannot move its cursor."""
    from rich.console import Console

    console = Console(stderr=True)
    return console if sys.stderr.isatty() and not console.is_dumb_terminal else None


def _bar(line: Any, console: Any) -> Any:
    """The live display, not yet started."""
    from rich.live import Live

    # What is printed meanwhile appears above the line; standard output stays what it is when it goes to a file.
    return Live(line, console=console, transient=True, refresh_per_second=4, redirect_stdout=sys.stdout.isatty())
