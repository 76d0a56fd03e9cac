"""Accuracy of quantization-aware training against float and post-training quantization, on the test split of `shapes`.

python tests/benchmarks/quantization/quantization.py --run runs/quantization
python tests/benchmarks/quantization/quantization.py --seeds 0 1 2 --qat-epochs 0 --size 32
python tests/benchmarks/quantization/quantization.py GhostNet Xception --size 48 --epochs 8
python tests/benchmarks/quantization/quantization.py PoolFormerS12 --size 32 --learning-rate 2e-3
python tests/benchmarks/quantization/quantization.py --spread

Family by family: each network is trained in float, converted with and without quantization-aware training (the
float model as teacher; 0 epochs leave it out) and scored. Of several seeds the mean stands below.

--spread: a MobileNetV2 one in eight of whose depthwise channels are scaled by 100, BatchNorm undoing it, so that it
computes what it did. Both schemes train one epoch from the same weights: this package's, with a scale for each channel,
and tfmot's default one, with one scale for a whole depthwise kernel.
"""

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow_model_optimization as tfmot

import keras_mobilenets as km
from keras_mobilenets import tflite, training
from keras_mobilenets.tflite.measurement.evaluation import agreement, score

NETWORKS = {  # those of the table in README.md
    "MobileNetV1": {"alpha": 0.5},
    "MobileNetV2": {"alpha": 0.5},
    "MobileNetV3Large": {"alpha": 0.5},
    "MobileNetV3Small": {},
    "EfficientNetB0": {"alpha": 0.5},
    "ResNet18": {"alpha": 0.25},
}
FAMILIES = {  # one of each of the others, small enough to train in minutes
    "GhostNet": {"width": 0.5},
    "GhostNetV2": {"width": 0.5},
    "ShuffleNetV1": {"width": 0.5},
    "ShuffleNetV2": {"width": 0.5},
    "RegNetX200MF": {"alpha": 0.5},
    "RegNetY200MF": {"alpha": 0.5},
    "Xception": {"alpha": 0.25},
    "ConvNeXtAtto": {"alpha": 0.5, "layer_scale": 0.1},
    "WTConvNeXtTiny": {"alpha": 0.25, "layer_scale": 0.1},
    "MobileOneS0": {"alpha": 0.5},
    "RepViTM0_9": {"alpha": 0.5},
    "MobileViTXXS": {},
    "EfficientFormerL1": {"alpha": 0.35, "layer_scale": 0.1},
    "FastViTMCI0": {"alpha": 0.35, "layer_scale": 0.1},
    "PoolFormerS12": {"alpha": 0.25, "layer_scale": 0.1, "stem_strides": 1},  # patches of 4 pixels tell too little
}
FLOAT = training.Recipe(epochs=6, learning_rate=4e-3, warmup_epochs=0.3, weight_decay=0.05, augmentation="none")
QAT = training.Recipe(epochs=1, learning_rate=3e-4, warmup_epochs=0.1, weight_decay=0.0, augmentation="none")


def spread(options: argparse.Namespace) -> None:
    """Prints what each scheme makes of a network with uneven depthwise channels."""
    data = training.load_data("shapes", image_size=options.size, batch_size=32)
    _, labels = data.images("test")
    calibration, _ = data.images("train", 256, seed=0)
    keras.utils.set_random_seed(0)
    model = km.MobileNetV2((options.size, options.size, 3), 0.5, classes=10, dropout_rate=0.0)
    training.fit(model, data, FLOAT, options.run / "MobileNetV2" / "float", verbose=2)
    before = model.predict(data.test, verbose=0)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            factors = np.where(rng.uniform(size=layer.kernel.shape[2]) < 1 / 8, 100.0, 1.0)
            norm = model.get_layer(f"{layer.name}_bn")
            layer.kernel.assign(layer.kernel * factors[:, None])
            norm.moving_mean.assign(norm.moving_mean * factors)
            norm.moving_variance.assign((norm.moving_variance + norm.epsilon) * factors**2 - norm.epsilon)
    print(f"spread, float: {score(model.predict(data.test, verbose=0), labels).top1:.2%}", flush=True)
    assert np.abs(model.predict(data.test, verbose=0) - before).max() < 1e-2
    tools = tfmot.quantization.keras
    schemes = {
        "this package's": training.quantize_aware(model, calibration),
        "tfmot's default": tools.quantize_apply(tools.quantize_annotate_model(training.to_tf_keras(model))),
    }
    for name, quantized in schemes.items():
        training.fit(quantized, data, QAT, verbose=2)
        print(f"{name} scheme: {score(quantized.predict(data.test, verbose=0), labels).top1:.2%}", flush=True)


def main() -> None:
    """Prints one line for each network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=list(NETWORKS), help=f"of {', '.join(NETWORKS | FAMILIES)}")
    parser.add_argument("--run", type=Path, default=Path("runs/quantization"), help="folder that keeps the trainings")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=FLOAT.epochs, help="of the float training")
    parser.add_argument("--learning-rate", type=float, default=FLOAT.learning_rate, help="of the float training")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="of weights and order")
    parser.add_argument("--qat-epochs", type=int, default=QAT.epochs, help="of the quantization-aware training")
    parser.add_argument("--spread", action="store_true", help="the network with uneven depthwise channels instead")
    options = parser.parse_args()
    if options.spread:
        return spread(options)
    recipe = replace(FLOAT, epochs=options.epochs, learning_rate=options.learning_rate)
    data = training.load_data("shapes", image_size=options.size, batch_size=32)
    print(f"{'network':18} {'seed':>4} {'float':>7} {'PTQ':>7} {'QAT':>7} {'agree':>7}  operators not int8")
    for name in options.networks:
        found = []
        for seed in options.seeds:
            found.append(_scores(name, seed, data, recipe, options))
            floats = found[-1].pop()
            print(f"{name:18} {seed:4} {' '.join(f'{share:7.2%}' for share in found[-1])}  {floats}", flush=True)
        if len(found) > 1:
            mean = np.mean(found, axis=0)
            print(f"{name:18} mean {' '.join(f'{share:7.2%}' for share in mean)}", flush=True)


def _scores(name: str, seed: int, data: Any, recipe: training.Recipe, options: argparse.Namespace) -> list[Any]:
    """Top-1 in float, after PTQ and after QAT, agreement of QAT's file with its model, its operators not in int8."""
    images, labels = data.images("test")
    calibration, _ = data.images("train", 256, seed=0)
    keras.utils.set_random_seed(seed)
    folder = options.run / (f"{name}_{seed}" if seed else name)
    model = km.create_model(
        name, input_shape=(options.size, options.size, 3), classes=10, dropout_rate=0.0, **(NETWORKS | FAMILIES)[name]
    )
    training.fit(model, data, replace(recipe, seed=seed), folder / "float", verbose=2)
    expected = score(model.predict(data.test, verbose=0), labels)
    tflite.convert(model, folder / "ptq.tflite", quantize="int8", calibration=calibration)
    ptq = tflite.evaluate(folder / "ptq.tflite", (images, labels))
    if not options.qat_epochs:
        return [expected.top1, ptq.top1, []]
    trained = training.quantize_aware(model, calibration)
    changed = replace(QAT, epochs=options.qat_epochs)
    training.distill(trained, model, data, changed, folder / f"qat_{options.qat_epochs}", verbose=2)
    tflite.convert(trained, folder / "qat.tflite")
    qat = tflite.evaluate(folder / "qat.tflite", (images, labels))
    same = agreement(qat, trained.predict(data.test, verbose=0))
    floats = [op.name for op in tflite.inspect(folder / "qat.tflite").operators if op.is_float]
    return [expected.top1, ptq.top1, qat.top1, same, floats]


if __name__ == "__main__":
    main()
