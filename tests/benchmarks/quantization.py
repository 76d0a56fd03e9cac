"""Accuracy of quantization-aware training against float and post-training quantization, family by family, on `shapes`.

    python tests/benchmarks/quantization.py --run runs/quantization

Each network is trained in float, converted with and without quantization-aware training (one epoch, the float model as
teacher), and scored on the whole test split. The last line is a MobileNetV2 whose depthwise kernels were spread, channel
by channel, by 1 to 100 without changing what it computes: one scale for a whole depthwise kernel, as in tfmot's default
scheme, loses its accuracy.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import keras_mobilenets as km
from keras_mobilenets import tflite, training
from keras_mobilenets.tflite.evaluation import agreement, score

NETWORKS = {
    "MobileNetV1": {"alpha": 0.5},
    "MobileNetV2": {"alpha": 0.5},
    "MobileNetV3Large": {"alpha": 0.5},
    "MobileNetV3Small": {},
    "EfficientNetB0": {"alpha": 0.5},
    "ResNet18": {"alpha": 0.25},
}
FLOAT = training.Recipe(epochs=6, learning_rate=4e-3, warmup_epochs=0.3, weight_decay=0.05, augmentation="none")
QAT = training.Recipe(epochs=1, learning_rate=3e-4, warmup_epochs=0.1, weight_decay=0.0, augmentation="none")


def main() -> None:
    """Prints one line for each network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=list(NETWORKS), help=f"of {', '.join(NETWORKS)}")
    parser.add_argument("--run", type=Path, default=Path("runs/quantization"), help="folder that keeps the trainings")
    parser.add_argument("--size", type=int, default=64)
    options = parser.parse_args()
    data = training.load_data("shapes", image_size=options.size, batch_size=32)
    images, labels = data.images("test")
    calibration, _ = data.images("train", 256, seed=0)
    print(f"{'network':18} {'float':>7} {'PTQ':>7} {'QAT':>7} {'agree':>7}  operators not int8")
    for name in options.networks:
        keras.utils.set_random_seed(0)
        folder = options.run / name
        model = km.create_model(
            name, input_shape=(options.size, options.size, 3), classes=10, dropout_rate=0.0, **NETWORKS[name]
        )
        training.fit(model, data, FLOAT, folder / "float", verbose=2)
        expected = score(model.predict(data.test, verbose=0), labels)
        tflite.convert(model, folder / "ptq.tflite", quantize="int8", calibration=calibration)
        trained = training.quantize_aware(model, calibration)
        training.distill(trained, model, data, QAT, folder / "qat", verbose=2)
        tflite.convert(trained, folder / "qat.tflite")
        ptq, qat = (tflite.evaluate(folder / f"{kind}.tflite", (images, labels)) for kind in ("ptq", "qat"))
        same = agreement(qat, trained.predict(data.test, verbose=0))
        floats = [op.name for op in tflite.inspect(folder / "qat.tflite").operators if op.is_float]
        print(f"{name:18} {expected.top1:7.2%} {ptq.top1:7.2%} {qat.top1:7.2%} {same:7.2%}  {floats}", flush=True)


if __name__ == "__main__":
    main()
