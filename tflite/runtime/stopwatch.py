"""The latencies of several .tflite files, compared in one run."""

import time
from collections.abc import Sequence

import numpy as np

from keras_mobilenets.tflite.runtime.activations import interpreter_of

_WARM, _SECONDS, _LEAST, _MOST = 3, 0.3, 8, 100


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
