"""Latency of .tflite files on this machine, in the metric names of TensorFlow Lite's benchmark_model.

Several models take turns in short bursts, so that a busy moment of the machine falls on all of them alike.
"""

import contextlib
import gc
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.progress import track
from keras_mobilenets.tflite.graph import flatbuffer, signature
from keras_mobilenets.tflite.graph.file_identifier import check_file
from keras_mobilenets.tflite.graph.macs import file_macs
from keras_mobilenets.tflite.measurement.roofline import best_convolution
from keras_mobilenets.tflite.results.results import Row, dtype_of
from keras_mobilenets.tflite.runtime.exported_file import is_exported, open_exported
from keras_mobilenets.tflite.runtime.exported_model import ExportedModel
from keras_mobilenets.tflite.runtime.interpreter import cold_start, open_model
from keras_mobilenets.tflite.runtime.model import InputShape, Model, UnsupportedModelError, load
from keras_mobilenets.tflite.runtime.sandbox import validate

TURNS = 10  # that each model takes at least
LONGEST_TURN = 100  # runs, unless they take less than the shortest turn
SHORTEST_TURN = 10_000_000  # nanoseconds, so that the turns of a model of a few microseconds do not outlast its runs


def benchmark(
    paths: str | Path | Sequence[str | Path],
    *,
    threads: int | Sequence[int] = 1,
    warmup_runs: int = 10,
    warmup_seconds: float = 0.5,
    min_runs: int = 100,
    min_seconds: float = 1.0,
    max_seconds: float = 60.0,
    limit: bool = False,
    input_shape: InputShape = None,
) -> list[Row]:
    """Times models on the CPU: any .tflite, by its first graph; .onnx in ONNX Runtime, .xml in OpenVINO.

    Each model is first opened and run once in a process of its own (`init_ms`, `first_inference_ms`, `peak_mem_mb`).
    Then all of them, open side by side, warm up and take turns. Only the inference is timed, on fixed noise of the
    inputs' types, without feeding it and reading the answers.

    A row takes about a second beyond `warmup_seconds` and `min_seconds`, more where `min_runs` last longer.

    Args:
        paths: One file or several; a row's `model` is the name of the file, of a .tflite without its suffix.
        threads: CPU threads, 1 or more; or several such numbers, each model with each of them.
        warmup_runs: Untimed runs of each model before the first timed one; more until `warmup_seconds` have passed.
        warmup_seconds: See `warmup_runs`.
        min_runs: Timed runs of each model; more until it has been timed for `min_seconds`.
        min_seconds: See `min_runs`.
        max_seconds: A model that has been timed this long gets no further turn, whatever `min_runs` says.
        limit: Whether to time the roofline, this machine's best convolution, among the models too (a few seconds),
            which gives rows their `limit_share`.
        input_shape: Sizes for inputs that leave them open: the whole shape, or those beyond the batch, such as
            (height, width), or one number for all.

    Returns:
        A row for each path and number of threads: all paths in order with the first number, then with the next. Its
        `drift` tells whether the machine had settled.

    Raises:
        UserError: A file cannot be opened or run, leaves sizes open that `input_shape` does not give, or a number is
            out of range.
    """
    files = [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]
    counts = [threads] if isinstance(threads, int) else list(dict.fromkeys(threads))
    if not files:
        raise UserError("there is nothing to benchmark; give at least one .tflite file")
    if not counts or min(counts) < 1:
        raise UserError(f"threads is {threads}; give numbers of 1 or more")
    if min_runs < 1 or warmup_runs < 0 or min(warmup_seconds, min_seconds) < 0 or max_seconds <= 0:
        raise UserError("min_runs and max_seconds must be positive, and the other limits not negative")

    cases = [(file, count) for count in counts for file in files]
    runners = [_Runner(_open(*case, input_shape)) for case in track(cases, "Opening each model")]
    starts = [cold_start(*case, input_shape) for case in track(cases, "Starting each model afresh")]
    macs = {runner.model.path: _macs(runner.model) for runner in runners}
    with contextlib.ExitStack() as stack:
        rooflines = _rooflines(runners, stack) if limit else {}
        everyone = [*runners, *rooflines.values()]
        for runner in track(everyone, "Warming up"):
            runner.warm_up(warmup_runs, warmup_seconds)
        _take_turns(everyone, min_runs, min_seconds, max_seconds)
        best = {kind: _rate(_macs(runner.model), runner) for kind, runner in rooflines.items()}
    rows = []
    for runner, start in zip(runners, starts, strict=True):
        row, count = _row(runner), macs[runner.model.path]
        roofline = best.get((dtype_of(row.quantization), row.threads or 1))
        rate = _rate(count, runner)
        rows.append(
            row.with_(
                macs=count,
                init_ms=round(start.init_ms, 4),
                first_inference_ms=round(start.first_inference_ms, 4),
                peak_mem_mb=start.peak_mem_mb,
                gmacs_per_s=None if rate is None else round(rate, 4),
                limit_share=round(rate / roofline, 4) if rate is not None and roofline else None,
            )
        )
    return rows


def with_macs(row: Row, macs: int | None) -> Row:
    """A row with the multiply-adds of the model that a file was made from, and the rates that follow from them.

    A converter may add multiply-adds by zero, which make a file no more useful.

    Args:
        row: As `benchmark` gives it.
        macs: What `keras_mobilenets.cost` counts; None when unknown, which changes nothing.
    """
    if not macs or not row.macs or macs == row.macs:
        return row
    share = macs / row.macs
    rates = {"gmacs_per_s": row.gmacs_per_s, "limit_share": row.limit_share}
    return row.with_(macs=macs, **{name: rate and round(rate * share, 4) for name, rate in rates.items()})


def drift(nanoseconds: Sequence[int]) -> float | None:
    """How much slower the end of a run was than its beginning.

    Args:
        nanoseconds: Durations in the order they were measured.

    Returns:
        Median of the last third over the median of the first third, minus 1; None of fewer than 9 durations.
    """
    third = len(nanoseconds) // 3
    if third < 3:
        return None
    return round(float(np.median(nanoseconds[-third:]) / np.median(nanoseconds[:third])) - 1, 4)


def statistics(nanoseconds: Sequence[int]) -> dict[str, float]:
    """Sums up durations.

    Args:
        nanoseconds: One or more.

    Returns:
        median, avg, min, max, stddev (of the population), p5, p90 and p95 (linear interpolation), each named with `_ms`
        and in milliseconds.
    """
    ms = np.asarray(nanoseconds, np.float64) / 1e6
    p5, median, p90, p95 = np.percentile(ms, [5, 50, 90, 95])
    figures = {"median": median, "avg": ms.mean(), "min": ms.min(), "max": ms.max(), "stddev": ms.std()}
    figures |= {"p5": p5, "p90": p90, "p95": p95}
    return {f"{name}_ms": round(float(value), 4) for name, value in figures.items()}


def _open(path: Path, threads: int, input_shape: InputShape) -> Model | ExportedModel:
    """The model, all sizes of its inputs given."""
    if is_exported(path):
        return open_exported(path, threads, input_shape)
    check_file(path)
    validate(path, run=False)
    model = flatbuffer.read(path.read_bytes(), path)
    first = model.subgraphs[0]
    if input_shape is None and any(signature.open_places(flatbuffer.shape_of(first.tensors[i])) for i in first.inputs):
        ends = flatbuffer.ends(model)
        raise UserError(f"{path} leaves sizes open, {ends}; give them with --size, in Python input_shape")
    return open_model(path, threads, input_shape)


def _macs(model: Model | ExportedModel) -> int | None:
    """Multiply-adds of one run, with the sizes it has there; None where nothing tells those or its repetitions."""
    if isinstance(model, ExportedModel):
        return model.record.macs
    try:
        return file_macs(model.path, model.shapes() if model.is_open() else None)
    except UnsupportedModelError:  # an operator that only the delegate has hides the sizes behind it
        return None


@dataclass
class _Runner:
    """One open model and the durations of its runs so far, in nanoseconds."""

    model: Model | ExportedModel
    warmups: int = 0
    times: list[int] = field(default_factory=list)
    spent: int = 0  # their sum, which a model of microseconds is asked for too often to add up each time

    def __post_init__(self) -> None:
        self.model.feed_noise()
        self.invoke = self.model.invocation()

    def warm_up(self, runs: int, seconds: float) -> None:
        end = time.perf_counter() + seconds
        while self.warmups < runs or time.perf_counter() < end:
            self.invoke()
            self.warmups += 1

    def burst(self, runs: int) -> None:
        invoke, clock, add = self.invoke, time.perf_counter_ns, self.times.append
        invoke()  # fetches the weights back into the caches that the other models have filled
        end = clock() + SHORTEST_TURN
        while runs > 0 or clock() < end:
            start = clock()
            invoke()
            lasted = clock() - start
            add(lasted)
            self.spent += lasted
            runs -= 1

    def progress(self, runs: int, seconds: float, most_seconds: float) -> float:
        """The share of what is asked for that has been measured; 1 or more when that is enough."""
        spent = self.spent / 1e9
        asked = min(len(self.times) / runs, spent / seconds if seconds else 1.0)
        return max(asked, spent / most_seconds)


def _take_turns(runners: list[_Runner], runs: int, seconds: float, most_seconds: float) -> None:
    """Times the runners in turns, up to the limits that `_Runner.progress` takes."""
    collecting = gc.isenabled()
    gc.disable()  # a collection in the middle of a run would be counted as the model's time
    try:
        for _ in track(_percents(runners, runs, seconds, most_seconds), "Timing", total=100):
            pass
    finally:
        if collecting:
            gc.enable()


def _percents(runners: list[_Runner], runs: int, seconds: float, most_seconds: float) -> Iterator[None]:
    """Gives turns to those that need more, and yields once for each percent that is done."""
    shown, per_turn = 0, min(-(-runs // TURNS), LONGEST_TURN)
    while (done := min(runner.progress(runs, seconds, most_seconds) for runner in runners)) < 1:
        for runner in runners:
            if runner.progress(runs, seconds, most_seconds) < 1:
                runner.burst(per_turn)
        runners = runners[::-1]  # no model always comes after the same one
        yield from [None] * (int(100 * done) - shown)
        shown = int(100 * done)


def _rooflines(runners: list[_Runner], stack: contextlib.ExitStack) -> dict[tuple[str, int], _Runner]:
    """The rooflines of these models, by dtype and threads, ready to take turns."""
    kinds = dict.fromkeys((dtype_of(runner.model.quantization()), runner.model.threads) for runner in runners)
    return {
        kind: _Runner(load(stack.enter_context(best_convolution(*kind)), kind[1]))
        for kind in track(kinds, "Finding the best convolution")
    }


def _rate(macs: int | None, runner: _Runner) -> float | None:
    """10⁹ multiply-adds per second, by the median; None of an unknown number."""
    return None if macs is None else macs / float(np.median(runner.times))


def _row(runner: _Runner) -> Row:
    model = runner.model
    total, delegated, partitions = model.delegation()
    return Row(
        model=model.path.name if is_exported(model.path) else model.path.stem,
        quantization=model.quantization(),
        backend=model.backend,
        threads=model.threads,
        model_size_mb=round(model.size / 1e6, 6),
        num_runs=len(runner.times),
        num_warmup_runs=runner.warmups,
        nodes_total=total,
        nodes_delegated=delegated,
        partitions=partitions,
        drift=drift(runner.times),
        **statistics(runner.times),
    )
