"""The latencies of several .tflite files, compared in one run."""

import time
from collections.abc import Sequence

import numpy as np

from keras_mobilenets.tflite.runtime.activations import interpreter_of

_WARM, _SECONDS, _LEAST, _MOST = 3, 0.25, 8, 60


def least_times(contents: Sequence[bytes]) -> list[float]:
    """The least time of its thread that each file took, in seconds, run in turns.

    Whatever else the machine does only adds to a time, so that the least of several is comparable where the mean is
    not; what a thread waits for a core is not its time. Inputs are zeros, since no kernel's time depends on values.

    Args:
        contents: The files, of fixed shapes.
    """
    interpreters = []
    for content in contents:
        interpreter = interpreter_of(content, threads=1)
        for found in interpreter.get_input_details():
            interpreter.set_tensor(found["index"], np.zeros(found["shape"], found["dtype"]))
        for _ in range(_WARM):
            interpreter.invoke()
        interpreters.append(interpreter)
    least, spent, rounds = [float("inf")] * len(interpreters), 0.0, 0
    while rounds < _LEAST or (rounds < _MOST and spent < _SECONDS * len(interpreters)):
        for place, interpreter in enumerate(interpreters):
            started = time.thread_time()
            interpreter.invoke()
            took = time.thread_time() - started
            least[place], spent = min(least[place], took), spent + took
        rounds += 1
    return least
