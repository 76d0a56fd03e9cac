"""What each way of int8 after training keeps of trained networks, on the test split of their data.

python tests/benchmarks/quantization/post_training.py runs/v3_small runs/v2 --images 256 64

One line for each way: top-1, agreement with the float model's classes, SQNR of the outputs, seconds of the conversion.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from keras_mobilenets import tflite, training
from keras_mobilenets.pipeline import Run
from keras_mobilenets.tflite.measurement.evaluation import agreement, score
from keras_mobilenets.training.compression.model_loader import load_model

WAYS = {
    "minmax": {"calibration_method": "minmax"},
    "percentile": {"calibration_method": "percentile"},
    "mse": {"calibration_method": "mse"},
    "percentile, equalized": {"calibration_method": "percentile", "equalize": True},
    "minmax, biases": {"calibration_method": "minmax", "bias_correction": True},
    "percentile, biases": {"calibration_method": "percentile", "bias_correction": True},
    "auto": {},
    "minmax, worst 2 in float": {"calibration_method": "minmax", "leave_in_float": 2},
    "percentile, worst 2 in float": {"calibration_method": "percentile", "leave_in_float": 2},
}


def main() -> None:
    """Prints a table for each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="run folders that `keras-mobilenets train` filled")
    parser.add_argument("--images", nargs="+", type=int, default=[256], help="calibration images; a table for each")
    parser.add_argument("--per-tensor-dense", action="store_true", help='target="nnapi" in the place of "xnnpack"')
    options = parser.parse_args()
    target = "nnapi" if options.per_tensor_dense else "xnnpack"
    for folder in options.runs:
        settings = Run(folder).asked["data"]
        data = training.load_data(settings["name"], settings["image_size"], settings["batch_size"])
        model, (images, labels) = load_model(folder / "model.keras"), data.images("test")
        expected = score(model.predict(data.test, verbose=0), labels)
        for count in options.images:
            calibration, _ = data.images("train", count, seed=0)
            print(f"{folder}: float {expected.top1:.2%}, {len(labels):,} test images, {count} to calibrate on")
            for way, arguments in WAYS.items():
                with tempfile.TemporaryDirectory() as scratch:
                    started = time.perf_counter()
                    path = tflite.convert(
                        model,
                        Path(scratch) / "m.tflite",
                        quantize="int8",
                        calibration=calibration,
                        target=target,
                        **arguments,
                    )
                    seconds = time.perf_counter() - started
                    found = tflite.evaluate(path, (images, labels))
                noise = ((found.predictions - expected.predictions) ** 2).sum()
                sqnr = 10 * np.log10((expected.predictions**2).sum() / noise)
                same = agreement(found, expected)
                print(f"  {way:30} {found.top1:7.2%} {same:7.2%} {sqnr:5.1f} dB {seconds:5.1f} s", flush=True)


if __name__ == "__main__":
    main()
