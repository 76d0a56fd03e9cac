"""Latency of .tflite files on this machine, in the metric names of TensorFlow Lite's benchmark_model.

Several models take turns in short bursts, so that a busy moment of the machine falls on all of them alike.
"""

import gc
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.progress import track
from keras_mobilenets.tflite.results import Row
from keras_mobilenets.tflite.runtime import Model, cold_start, open_model

TURNS = 10  # that each model takes at least
LONGEST_TURN = 100  # runs


def benchmark(
    paths: str | Path | Sequence[str | Path],
    *,
    threads: int = 1,
    warmup_runs: int = 10,
    warmup_seconds: float = 0.5,
    min_runs: int = 100,
    min_seconds: float = 1.0,
    max_seconds: float = 60.0,
) -> list[Row]:
    """Times models on the CPU.

    Each model is first opened and run once in a process of its own (`init_ms`, `first_inference_ms`, `peak_mem_mb`).
    Then all of them, open side by side, warm up and take turns. Only the inference is timed, on one fixed image of
    random pixels, without feeding it and reading the answer.

    Args:
        paths: One .tflite file or several; a row's `model` is the name of the file without its suffix.
        threads: CPU threads, 1 or more.
        warmup_runs: Untimed runs of each model before the first timed one; more until `warmup_seconds` have passed.
        warmup_seconds: See `warmup_runs`.
        min_runs: Timed runs of each model; more until it has been timed for `min_seconds`.
        min_seconds: See `min_runs`.
        max_seconds: A model that has been timed this long gets no further turn, whatever `min_runs` says.

    Returns:
        A row for each path, in order.

    Raises:
        UserError: A file cannot be opened or run, or a number is out of range.
    """
    files = [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]
    if not files:
        raise UserError("there is nothing to benchmark; give at least one .tflite file")
    if threads < 1 or min_runs < 1 or warmup_runs < 0 or min(warmup_seconds, min_seconds) < 0 or max_seconds <= 0:
        raise UserError("threads, min_runs and max_seconds must be positive, and the other limits not negative")

    starts = [cold_start(file, threads) for file in track(files, "Starting each model afresh")]
    runners = [_Runner(open_model(file, threads)) for file in files]
    for runner in track(runners, "Warming up"):
        runner.warm_up(warmup_runs, warmup_seconds)
    _take_turns(runners, min_runs, min_seconds, max_seconds)
    return [
        _row(runner).with_(
            init_ms=round(start.init_ms, 4),
            first_inference_ms=round(start.first_inference_ms, 4),
            peak_mem_mb=start.peak_mem_mb,
        )
        for runner, start in zip(runners, starts, strict=True)
    ]


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


@dataclass
class _Runner:
    """One open model and the durations of its runs so far, in nanoseconds."""

    model: Model
    warmups: int = 0
    times: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        source = self.model.input
        dtype, rng = np.dtype(source["dtype"]), np.random.default_rng(0)
        pixels = rng.integers(0, 256, source["shape"])
        if dtype.kind == "f":
            self.model.feed((pixels / 127.5 - 1).astype(dtype))
        else:
            self.model.feed((pixels + np.iinfo(dtype).min).astype(dtype))

    def warm_up(self, runs: int, seconds: float) -> None:
        end = time.perf_counter() + seconds
        while self.warmups < runs or time.perf_counter() < end:
            self.model.interpreter.invoke()
            self.warmups += 1

    def burst(self, runs: int) -> None:
        invoke, clock = self.model.interpreter.invoke, time.perf_counter_ns
        invoke()  # fetches the weights back into the caches that the other models have filled
        for _ in range(runs):
            start = clock()
            invoke()
            self.times.append(clock() - start)

    def needs_more(self, runs: int, seconds: float, most_seconds: float) -> bool:
        spent = sum(self.times) / 1e9
        return spent < most_seconds and (len(self.times) < runs or spent < seconds)


def _take_turns(runners: list[_Runner], runs: int, seconds: float, most_seconds: float) -> None:
    per_turn = min(-(-runs // TURNS), LONGEST_TURN)
    collecting = gc.isenabled()
    gc.disable()  # a collection in the middle of a run would be counted as the model's time
    try:
        for _ in track(_rounds(runners, runs, seconds, most_seconds), "Timing"):
            waiting = [runner for runner in runners if runner.needs_more(runs, seconds, most_seconds)]
            for runner in waiting:
                runner.burst(per_turn)
            runners = runners[::-1]  # no model always comes after the same one
    finally:
        if collecting:
            gc.enable()


def _rounds(runners: list[_Runner], runs: int, seconds: float, most_seconds: float) -> Iterator[None]:
    while any(runner.needs_more(runs, seconds, most_seconds) for runner in runners):
        yield


def _row(runner: _Runner) -> Row:
    model = runner.model
    total, delegated, partitions = model.delegation()
    return Row(
        model=model.path.stem,
        quantization=model.quantization(),
        backend="xnnpack" if partitions else "cpu",
        threads=model.threads,
        model_size_mb=round(model.path.stat().st_size / 1e6, 6),
        num_runs=len(runner.times),
        num_warmup_runs=runner.warmups,
        nodes_total=total,
        nodes_delegated=delegated,
        partitions=partitions,
        **statistics(runner.times),
    )
