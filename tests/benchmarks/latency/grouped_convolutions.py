"""What the channels of a group cost: int8 and float convolutions of joined groups, in turns, and what NPUs estimate.

    python tests/benchmarks/latency/grouped_convolutions.py [--on ethos-u55-128 qualcomm:SA8255]

Groups are joined by zeros between them, so that a convolution of wider groups computes the same as one of narrow ones.
A line is a layer of RegNet, or one with narrower groups: microseconds of two such layers, by channels of a group, least
of all rounds, one thread; then each target's own estimate of the int8 file in microseconds.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from ai_edge_litert.interpreter import Interpreter

from keras_mobilenets import tflite

LAYERS = (  # side of the map, channels, channels of a group
    *((56, 24, 8), (28, 56, 8), (14, 152, 8), (7, 368, 8)),  # RegNetX200MF
    *((28, 128, 16), (14, 288, 16), (7, 672, 16)),  # RegNetX800MF
    *((28, 96, 24), (14, 240, 24), (7, 528, 24)),  # RegNetX600MF
    *((28, 64, 4), (14, 240, 2)),
)
WIDEST = 128  # joined groups have so many channels at most, or all


def file(size, channels, group, quantize, folder):
    """Two 3×3 convolutions, in the form of a target that joins no groups."""
    x = image = keras.Input((size, size, channels))
    for _ in range(2):
        x = keras.layers.Conv2D(channels, 3, padding="same", groups=channels // group, activation="relu")(x)
    images = np.random.default_rng(0).uniform(-1, 1, (4, size, size, channels)).astype(np.float32)
    path = folder / f"{size}_{channels}_{group}_{quantize}.tflite"
    calibration = {"calibration": images, "effort": "low"} if quantize == "int8" else {}
    return tflite.convert(keras.Model(image, x), path, quantize=quantize, target="nnapi", **calibration)


def microseconds(paths, rounds):
    """The least time of each file, in turns."""
    interpreters, times = [Interpreter(str(path), num_threads=1) for path in paths], [[] for _ in paths]
    for interpreter in interpreters:
        interpreter.allocate_tensors()
        interpreter.invoke()
    for _ in range(rounds):
        for interpreter, found in zip(interpreters, times, strict=True):
            start = time.perf_counter()
            interpreter.invoke()
            found.append(1e6 * (time.perf_counter() - start))
    return [min(found) for found in times]


def main():
    """Prints a line for each layer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--on", nargs="*", default=[], help="targets that estimate, as `keras-mobilenets targets` says")
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    for size, channels, group in LAYERS:
        groups = channels // group
        widths = [group * n for n in range(1, groups + 1) if groups % n == 0 and (group * n <= WIDEST or n == groups)]
        with tempfile.TemporaryDirectory() as folder:
            paths = {q: [file(size, channels, w, q, Path(folder)) for w in widths] for q in ("int8", "none")}
            figures = {q: microseconds(paths[q], options.rounds) for q in paths}
            for target in options.on:
                figures[target] = [1e3 * (tflite.check(path, target).estimate_ms or np.nan) for path in paths["int8"]]
        said = [
            f"{what} " + " ".join(f"{width}:{figure:.0f}" for width, figure in zip(widths, found, strict=True))
            for what, found in figures.items()
        ]
        print(f"{size}×{size}×{channels}, groups of {group}: {', '.join(said)}", flush=True)


if __name__ == "__main__":
    main()
