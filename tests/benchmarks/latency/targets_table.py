"""Every family in int8 on every target that can be asked without a phone, as the Markdown table of tflite/README.md.

    python tests/benchmarks/latency/targets_table.py [--only MobileNetV2 VGG16] [--folder files]

Each cell: operators delegated of all, in how many partitions, and with which share of the multiply-adds where they are
several. The file is that of target="litert", for NNAPI that of
target="nnapi". Weights are untrained, with statistics as trained ones have, since scales decide on some operators.
"""

import argparse
import datetime
import inspect
import os
import tempfile
import warnings
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import keras_mobilenets as km
from keras_mobilenets import tflite
from keras_mobilenets.errors import UserError
from keras_mobilenets.training.engine.batch_normalization import estimate_statistics

NETWORKS = [("MobileNetV1", 0.25, 96)] + [
    (name, 0.35, 64)
    for name in (
        "MobileNetV1", "MobileNetV2", "MobileNetV3Small", "MobileNetV3Large", "MobileNetV4ConvSmall",
        "MobileNetV4HybridMedium", "EfficientNetB0", "EfficientNetLite0", "EfficientNetV2B0", "ResNet18", "ResNet50",
        "VGG16", "StandardConvNet", "ShuffleNetV1", "ShuffleNetV2",
        "GhostNet", "GhostNetV2", "MobileOneS0", "RepViTM0_9", "RegNetX200MF", "RegNetY200MF", "Xception",
        "ConvNeXtAtto", "WTConvNeXtTiny", "MobileViTXXS", "EfficientFormerL1", "PoolFormerS12",
        "FastViTMCI0",
    )
]  # fmt: skip
TARGETS = {
    "xnnpack": "XNNPACK",
    "gpu": "GPU (run)",
    "nnapi:31": "NNAPI (rules)",
    "qualcomm:SM8750": "SM8750 (compiler)",
    "ethos-u55-128": "Ethos-U55-128 (compiler)",
    "micro": "Micro (run)",
}


def files(name, alpha, size, folder):
    """The int8 files of a family by target, made where they are not there."""
    paths = {target: folder / f"{name}_{alpha}_{size}_{target}.tflite" for target in ("litert", "nnapi")}
    if all(path.exists() for path in paths.values()):
        return paths
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    tones = rng.normal(128, 60, (16, 1, 1, 3)) + rng.normal(0, 40, (16, size, size, 3))
    images = np.clip(tones, 0, 255).astype(np.uint8)
    arguments = {getattr(km, name).width: alpha}
    if "layer_scale" in inspect.signature(getattr(km, name)).parameters:
        arguments["layer_scale"] = 0.1  # as in a trained network; with 1e-6 a block adds nothing to its input
    model = km.create_model(name, input_shape=(size, size, 3), classes=10, **arguments)
    if any(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers):
        model = estimate_statistics(model, km.preprocess_input(images))
    for target, path in paths.items():
        tflite.convert(model, path, quantize="int8", calibration=images, target=target)
    return paths


def cell(path, target):
    """What a target says of a file; systems are added to `SYSTEMS`."""
    try:
        check = tflite.check(path, target)
    except UserError as error:
        return str(error).splitlines()[0]
    SYSTEMS[target] = check.system
    said = [f"{check.delegated}/{check.total} in {check.partitions}"]
    if check.partitions > 1 and check.macs_share is not None:
        said[0] += f" with {check.macs_share:.0%} of the multiply-adds"
    left = list(dict.fromkeys(operator.name for operator in check.refused))
    more = f" and {len(left) - NAMED} kinds more" if len(left) > NAMED else ""
    said += [f"{', '.join(left[:NAMED])}{more} left"] if left else []
    said += [f"{check.estimate_ms:.2f} ms estimated"] if check.estimate_ms else []
    said += [f"{name} {size / 1024:.0f} KiB" for name, size in check.memory.items()]
    return ", ".join(said)


NAMED = 3  # kinds of operators that a cell names
SYSTEMS = {}


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", help="these families alone")
    parser.add_argument("--folder", type=Path, help="where the files stay, and are taken from")
    options = parser.parse_args()
    warnings.simplefilter("ignore", tflite.TargetWarning)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        print(f"| int8 | {' | '.join(TARGETS.values())} |\n|{' --- |' * (1 + len(TARGETS))}")
        for name, alpha, size in NETWORKS:
            if options.only and name not in options.only:
                continue
            paths = files(name, alpha, size, folder)
            cells = [cell(paths["nnapi" if "nnapi" in target else "litert"], target) for target in TARGETS]
            print(f"| {name} {alpha}, {size} px | {' | '.join(cells)} |", flush=True)
    said = "; ".join(dict.fromkeys(system for system in SYSTEMS.values() if system))
    print(f"\nAsked on {datetime.date.today()}: {said}.")


if __name__ == "__main__":
    main()
