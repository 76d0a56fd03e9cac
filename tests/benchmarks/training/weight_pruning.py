"""75% zeros in the pointwise and dense kernels of MobileNetV2 0.5: what they cost in accuracy and save in size.

    python tests/benchmarks/training/weight_pruning.py [--model model.keras] [--sparsity 0.75] [--scan] [--out folder]

The dense model is trained on `shapes` as `make demo` does, unless one is given. Top-1 is over the whole test split;
zeros and sizes are read from the int8 .tflite files. Exits with 1 when a goal is missed.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import keras

import keras_mobilenets as km
from keras_mobilenets import tflite, training
from keras_mobilenets.tflite.targets.inspection import sizes
from keras_mobilenets.training.compression.wrappers import compressible_layers

DEMO = training.Recipe(epochs=7, learning_rate=4e-3, warmup_epochs=0.3, weight_decay=0.05, augmentation="none")


def main() -> int:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a trained .keras file instead")
    parser.add_argument("--sparsity", type=float, default=0.75)
    parser.add_argument("--scan", action="store_true", help="each layer to its own sparsity, by a sensitivity scan")
    parser.add_argument("--out", type=Path, help="keeps the models there")
    options = parser.parse_args()
    out = options.out or Path(tempfile.mkdtemp())
    data = training.load_data("shapes", image_size=64, batch_size=32)
    dense = keras.models.load_model(options.model, compile=False) if options.model else trained(data)
    sparsity = training.sensitivity(dense, data).sparsities(options.sparsity) if options.scan else options.sparsity
    pruned = training.prune(dense, data, sparsity)
    pruned.save(out / "pruned.keras")

    images, _ = data.images("train", 200, seed=0)
    figures = {}
    for name, model in (("dense", dense), ("pruned", pruned)):
        path = tflite.convert(model, out / f"{name}_int8.tflite", quantize="int8", calibration=images)
        figures[name] = sizes(path), tflite.evaluate(path, data.test).top1
        found, top1 = figures[name]
        print(
            f"{name:7} int8: top-1 {top1:.2%}, {found.gzip_bytes / 1e6:.3f} MB after gzip, {found.sparsity:.1%} zeros"
        )

    zeros = zeros_of_heavy_layers(out / "pruned_int8.tflite", pruned)
    (before, dense_top1), (after, pruned_top1) = figures["dense"], figures["pruned"]
    gzip = after.gzip_bytes / before.gzip_bytes
    print(f"zeros among the weights of pointwise and dense layers: {zeros:.2%}")
    print(f"gzip size: {gzip:.3f} of the dense file's; top-1: {100 * (pruned_top1 - dense_top1):+.2f} points")
    good = zeros >= options.sparsity - 0.01 and gzip <= 0.6 and pruned_top1 >= dense_top1 - 0.01
    print("all goals met" if good else "a goal is missed")
    return 0 if good else 1


def trained(data: training.Data) -> keras.Model:
    """The demo's model."""
    keras.utils.set_random_seed(0)
    model = km.MobileNetV2((64, 64, 3), alpha=0.5, classes=len(data.class_names), dropout_rate=0.0)
    training.fit(model, data, DEMO)
    return model


def zeros_of_heavy_layers(path: Path, model: keras.Model) -> float:
    """The share of zeros in the file, in the layers that `prune` prunes: all but stem and depthwise."""
    counted = [op.zeros for op in tflite.inspect(path).operators if op.zeros and op.name != "DEPTHWISE_CONV_2D"][1:]
    assert len(counted) == len(compressible_layers(model, None, "prune"))
    return sum(count.zeros for count in counted) / sum(count.weights for count in counted)


if __name__ == "__main__":
    sys.exit(main())
