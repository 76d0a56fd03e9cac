"""What channel pruning costs in accuracy and saves in latency.

Accuracy: a network is trained on `shapes` as `make demo` does (or loaded), pruned and fine-tuned; both on the whole
test split. Latency: int8, in turns in one process, of networks with random weights, which do not matter for it.

python tests/benchmarks/training/channel_pruning.py --alpha 0.5 --epochs 3
python tests/benchmarks/training/channel_pruning.py --latency MobileNetV1 MobileNetV2 --size 64
"""

import argparse
import tempfile
from pathlib import Path

import keras
import numpy as np

import keras_mobilenets as km
from keras_mobilenets import tflite, training

DEMO = training.Recipe(epochs=7, learning_rate=4e-3, warmup_epochs=0.3, weight_decay=0.05, augmentation="none")


def accuracy(options):
    """Prints the test accuracies of the network, pruned, and fine-tuned."""
    data = training.load_data("shapes", image_size=64, batch_size=32)
    if options.trained:
        model = keras.models.load_model(options.trained)
    else:
        keras.utils.set_random_seed(0)
        model = km.MobileNetV2((64, 64, 3), options.alpha, classes=len(data.class_names), dropout_rate=0)
        training.fit(model, data, DEMO, verbose=2)
    recipe = training.Recipe(
        epochs=options.epochs,
        learning_rate=options.learning_rate,
        warmup_epochs=0.2,
        weight_decay=0.05,
        augmentation="none",
    )
    pruned = training.prune_channels(
        model, options.macs, options.importance, data=data, steps=options.steps, recipe=recipe
    )
    top1 = []
    for network in (model, pruned):
        network.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
        top1.append(100 * network.evaluate(data.test, verbose=0)[1])
    macs = km.cost(pruned).macs / km.cost(model).macs
    print(f"{options.importance}: multiply-adds ×{macs:.3f}, top-1 {top1[0]:.1f}% → {top1[1]:.1f}%")


def latency(options):
    """Prints the median of the rounds' latency ratios, pruned over whole, for each network."""
    size = options.size
    images = np.random.default_rng(0).uniform(-1, 1, (8, size, size, 3)).astype(np.float32)
    print(f"{'model':18} {'whole ms':>9} {'macs':>6} {'latency':>8}")
    for name in options.latency:
        whole = km.create_model(name, input_shape=(size, size, 3), classes=10, alpha=options.alpha)
        pruned = training.prune_channels(whole, options.macs)
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder) / "whole.tflite", Path(folder) / "pruned.tflite"]
            for network, path in zip((whole, pruned), paths, strict=True):
                tflite.convert(network, path, quantize="int8", calibration=images)
            rounds = np.array([[row.median_ms for row in tflite.benchmark(paths)] for _ in range(options.rounds)])
        ratio = np.median(rounds[:, 1] / rounds[:, 0])
        macs = km.cost(pruned).macs / km.cost(whole).macs
        print(f"{name:18} {np.median(rounds[:, 0]):9.3f} ×{macs:5.3f} ×{ratio:7.3f}", flush=True)


def main():
    """Measures latency where --latency is given, else accuracy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency", nargs="+", metavar="MODEL", help="time these instead of training")
    parser.add_argument("--macs", type=float, default=0.5)
    parser.add_argument("--alpha", type=float, default=1.0)
    parser.add_argument("--size", type=int, default=64, help="input side for --latency")
    parser.add_argument("--rounds", type=int, default=5, help="for --latency")
    parser.add_argument("--trained", help="a trained MobileNetV2 for `shapes` at 64 pixels, to skip its training")
    parser.add_argument("--importance", default="bn_scale")
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=3, help="of fine-tuning after each step")
    parser.add_argument("--learning-rate", type=float, default=2e-3, help="of fine-tuning")
    options = parser.parse_args()
    latency(options) if options.latency else accuracy(options)


if __name__ == "__main__":
    main()
