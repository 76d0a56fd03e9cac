"""Whether a network of clips sees motion: MobileNetV2Video on `motion`, beside the same network on single frames.

    python tests/benchmarks/training/motion.py [--alpha 0.5] [--epochs 16] [--convolution factorized]

Both train with the same recipe; for the second one every clip is its fourth frame, shown eight times. Then top-1 of
float32 and int8 on the whole test split, and multiply-adds beside full 3-D convolutions. Exits with 1 unless the first
is above 90%, the second below 40%, and int8 within 2 points of float.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import keras_mobilenets as km
from keras_mobilenets import tflite, training
from keras_mobilenets.training.datasets.video.clips import Clips


class Stills(Clips):
    """Clips of which one frame is seen."""

    def scale(self, examples: Any) -> Any:
        """The fourth one, as often as there are frames."""
        import tensorflow as tf

        return tf.repeat(super().scale(examples[:, 3:4]), self.shape[0], axis=1)


def main() -> int:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alpha", type=float, default=0.5)
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--convolution", default="factorized")
    parser.add_argument("--train", type=int, help="clips to train on (default: all)")
    options = parser.parse_args()
    limit = {} if options.train is None else {"train": options.train}
    data, found = training.load_data("motion", batch_size=48, limit=limit), {}
    build = {"alpha": options.alpha, "classes": len(data.class_names), "convolution": options.convolution}
    recipe = training.Recipe(epochs=options.epochs, learning_rate=4e-3, warmup_epochs=1)
    folder = Path(tempfile.mkdtemp())
    for name, kind in (("clips", data.kind), ("single frames", Stills(data.image_size))):
        seen = training.load_data("motion", batch_size=48, limit=limit)
        seen.kind = kind
        model, start = km.MobileNetV2Video(data.input_shape, **build), time.process_time()
        training.fit(model, seen, recipe, run_dir=folder / name.replace(" ", "_"))
        best = training.load_model(folder / name.replace(" ", "_") / "model.keras")
        found[name] = top1(best, seen)
        print(f"{name}: {found[name]:.2%}, {time.process_time() - start:.0f} s of processor time", flush=True)
        if name == "clips":
            print(km.cost(best).summary())
            images, _ = data.images("train", 256, seed=0)
            for quantize in ("none", "int8"):
                path = tflite.convert(best, folder / f"{quantize}.tflite", quantize=quantize, calibration=images)
                found[quantize] = tflite.evaluate(path, data.images("test")).top1
                latency = tflite.benchmark(path)[0].median_ms
                print(f"{quantize}: {found[quantize]:.2%}, {latency:.2f} ms", flush=True)
    is_seen = found["clips"] > 0.9 and found["single frames"] < 0.4 and found["none"] - found["int8"] <= 0.02
    return 0 if is_seen else 1


def top1(model: Any, data: training.Data) -> float:
    """Of the test split."""
    hits = [np.asarray(model(clips, training=False)).argmax(axis=1) == labels for clips, labels in data.test]
    return float(np.concatenate(hits).mean())


if __name__ == "__main__":
    sys.exit(main())
