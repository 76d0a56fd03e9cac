"""The latencies of several .tflite files, compared in one run."""

import time
from collections.abc import Sequence

import numpy as np

from keras_mobilenets.tflite.runtime.activations import interpreter_of

_WARM, _SECONDS, _LEAST, _MOST = 3, 0.3, 8, 100
_ROUND, _PAUSE = 0.03, 0.1  # seconds of a file in a round, and between rounds, which meet other moments so
_ENOUGH, _MOST_ROUNDS = 8, 60
_QUIET = 1.07  # times what the reference takes at least


def thread_times(contents: Sequence[bytes], *, seconds: float = _SECONDS) -> list[float]:
    """The lower quartile of the times that each file took of its thread, in seconds, run in turns.

    Whatever else the machine does adds to a time, so that a mean is not comparable; what a thread waits for a core is
    not its time. The least of all is luck where the machine is never quiet: beside other programs the ratio of two
    equal files (4 ms) was 2.8% off 1 by the least of 30 times, 1.9% by the quartile. Inputs are zeros, since no
    kernel's time depends on values.

    Args:
        contents: The files, of fixed shapes.
        seconds: That each is timed, unless it takes fewer or more runs than make sense.
    """
    interpreters = []
    for content in contents:
        interpreter = interpreter_of(content, threads=1)
        for found in interpreter.get_input_details():
            interpreter.set_tensor(found["index"], np.zeros(found["shape"], found["dtype"]))
        for _ in range(_WARM):
            interpreter.invoke()
        interpreters.append(interpreter)
    times: list[list[float]] = [[] for _ in interpreters]
    spent, rounds = 0.0, 0
    while rounds < _LEAST or (rounds < _MOST and spent < seconds * len(interpreters)):
        for interpreter, found in zip(interpreters, times, strict=True):
            started = time.thread_time()
            interpreter.invoke()
            found.append(time.thread_time() - started)
            spent += found[-1]
        rounds += 1
    return [float(np.quantile(found, 0.25)) for found in times]


def times_beside(
    reference: bytes, contents: Sequence[bytes], known: float | None = None
) -> tuple[float, list[tuple[float, float, float]]]:
    """Thread times of files as multiples of a reference's, which differ less between minutes than seconds do.

    Short rounds of all in turns, until the reference has taken what it takes on a quiet machine in eight of them, or
    60 were had, which always are where nothing is known. The eight count in which it took least, since a busy machine
    slows one file more than another.

    Args:
        reference: A file that is much like the others.
        contents: The files, of fixed shapes.
        known: Seconds that the reference takes on a quiet machine; None where it was never measured.

    Returns:
        The least seconds of the reference, and the median, least and most of each file's multiples of it.
    """
    rounds: list[list[float]] = []
    quiet, limit = 0, _QUIET * (known or 0.0)
    while quiet < _ENOUGH and len(rounds) < _MOST_ROUNDS:
        rounds.append(thread_times([reference, *contents], seconds=_ROUND))
        quiet += rounds[-1][0] <= limit
        time.sleep(_PAUSE)
    times = np.array(sorted(rounds)[:_ENOUGH])
    multiples = times[:, 1:] / times[:, :1]
    summary = (np.median(multiples, axis=0), multiples.min(axis=0), multiples.max(axis=0))
    return float(times[0, 0]), [tuple(map(float, row)) for row in np.transpose(summary)]  # type: ignore[misc]
