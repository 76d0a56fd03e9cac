"""Latency of our .tflite against keras.applications' model through the stock converter, in turns in one process.

python tests/benchmarks/tflite_latency.py --models MobileNetV1 MobileNetV2 --size 224
"""

import argparse
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import keras_mobilenets as km
from keras_mobilenets import tflite
from keras_mobilenets.tflite.quiet import quiet

PEERS = {"MobileNetV1": keras.applications.MobileNet, "MobileNetV2": keras.applications.MobileNetV2}


def stock(model, images, path):
    """The stock conversion: float32 without images, int8 with."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if images is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([image[None]] for image in images)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    with quiet():
        path.write_bytes(converter.convert())
    return path


def main():
    """Prints the medians, and the median of the rounds' ratios, for each model and number type."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=300, help="timed runs of each in a round")
    parser.add_argument("--rounds", type=int, default=5, help="rounds; whichever is opened first changes each time")
    options = parser.parse_args()

    size = options.size
    images = np.random.default_rng(0).uniform(-1, 1, (20, size, size, 3)).astype(np.float32)
    bad = {"SHAPE", "STRIDED_SLICE", "PACK"}
    print(f"{'model':14} {'type':8} {'ours ms':>8} {'stock ms':>9} {'ratio':>6}")
    with tempfile.TemporaryDirectory() as folder:
        for name in options.models:
            ours = km.create_model(name, input_shape=(size, size, 3))
            theirs = PEERS[name]((size, size, 3), weights=None)
            for kind, calibration in (("float32", None), ("int8", images)):
                mine = Path(folder) / f"ours_{kind}.tflite"
                tflite.convert(ours, mine, quantize="int8" if kind == "int8" else "none", calibration=calibration)
                other = stock(theirs, calibration, Path(folder) / f"stock_{kind}.tflite")
                if found := bad & set(tflite.inspect(mine).operator_counts):
                    sys.exit(f"{name} {kind} has {found}")
                pairs = []
                for number in range(options.rounds):
                    order = [mine, other][:: -1 if number % 2 else 1]
                    rows = tflite.benchmark(order, threads=options.threads, min_runs=options.runs)
                    pairs.append([row.median_ms for row in rows][:: -1 if number % 2 else 1])
                a, b = np.median(pairs, axis=0)
                ratio = np.median([x / y for x, y in pairs])
                print(f"{name:14} {kind:8} {a:8.2f} {b:9.2f} {ratio:6.3f}", flush=True)


if __name__ == "__main__":
    main()
