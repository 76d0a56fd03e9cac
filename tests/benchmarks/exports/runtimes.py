"""Latency of our .tflite, ONNX Runtime and OpenVINO on this CPU, float and int8, in turns in one process.

    python tests/benchmarks/exports/runtimes.py [--models MobileNetV2] [--size 224] [--threads 1]

Weights are random, but batch normalization keeps activations at the size of trained ones.
"""

import argparse
import tempfile
import warnings
from pathlib import Path

import keras_mobilenets as km
from keras_mobilenets import tflite
from keras_mobilenets.tflite.measurement.stock_models import WARM_UP, noise
from keras_mobilenets.training.engine.batch_normalization import estimate_statistics

MODELS = ("MobileNetV1", "MobileNetV2", "MobileNetV3Small", "MobileNetV3Large", "EfficientNetB0")


def files(name, images, folder):
    """The .tflite, .onnx and .xml of float, then of int8."""
    model = estimate_statistics(km.create_model(name, input_shape=images.shape[1:]), images[:WARM_UP])
    for quantize in ("none", "int8"):
        source = folder / f"{quantize}.tflite"
        tflite.convert(
            model, source, quantize=quantize, calibration=images, calibration_method="minmax", target="xnnpack"
        )
        yield source
        for format in ("onnx", "openvino"):
            yield tflite.export(source, format=format, layout="nchw")


def main():
    """Prints a table of medians in milliseconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=200)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    images = noise((options.size, options.size, 3))
    heads = [f"{kind} {runtime}" for kind in ("float", "int8") for runtime in ("LiteRT", "ONNX Runtime", "OpenVINO")]
    print(f"| ms, {options.threads} thread | {' | '.join(heads)} |\n| --- |{' --: |' * len(heads)}")
    for name in options.models:
        with tempfile.TemporaryDirectory() as folder:
            rows = tflite.benchmark(
                list(files(name, images, Path(folder))), threads=options.threads, min_runs=options.runs
            )
            print(f"| {name} | {' | '.join(f'{row.median_ms:.2f}' for row in rows)} |", flush=True)


if __name__ == "__main__":
    main()
