"""Time of an int8 conversion: `tflite.convert` against the stock converter, same model, same images, in turns.

python tests/benchmarks/quantization/conversion_time.py --models MobileNetV1 MobileNetV2 --rounds 3
python tests/benchmarks/quantization/conversion_time.py --calibration-method auto
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import tensorflow as tf

import keras_mobilenets as km
from keras_mobilenets import tflite
from keras_mobilenets.tflite.runtime.native_output import suppress_native_output


def stock(model, images):
    """Int8 as TensorFlow's guide writes it."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[None]] for image in images)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    with suppress_native_output():
        return converter.convert()


def main():
    """Prints seconds and ratio for each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["MobileNetV1", "MobileNetV2"])
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--calibration-method", default="percentile", help="auto tries several (default: percentile)")
    options = parser.parse_args()

    size = options.size
    images = np.random.default_rng(0).uniform(-1, 1, (options.images, size, size, 3)).astype(np.float32)
    print(f"{'model':18} {'convert s':>10} {'stock s':>10} {'ratio':>7}   (medians of {options.rounds})")
    with tempfile.TemporaryDirectory() as folder:
        for name in options.models:
            model = km.create_model(name, input_shape=(size, size, 3))
            ours, theirs = [], []
            for _ in range(options.rounds):
                start = time.perf_counter()
                tflite.convert(
                    model,
                    Path(folder) / "m.tflite",
                    quantize="int8",
                    calibration=images,
                    calibration_method=options.calibration_method,
                )
                middle = time.perf_counter()
                stock(model, images)
                ours.append(middle - start)
                theirs.append(time.perf_counter() - middle)
            ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
            print(
                f"{name:18} {statistics.median(ours):10.2f} {statistics.median(theirs):10.2f} {ratio:7.2f}", flush=True
            )


if __name__ == "__main__":
    main()
