"""Every family as ONNX: float in ONNX Runtime against Keras, int8 against the .tflite of each target's forms.

    python tests/benchmarks/exports/agreement_table.py [--only MobileNetV2 VGG16] [--size 64]

int8 is given in levels of 256, beside the levels by which TensorFlow Lite's plain kernels differ from XNNPACK's on the
same file and images. Weights are untrained, with statistics as trained ones have.
"""

import argparse
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
from keras_mobilenets.tflite.exports.agreement import noise_images
from keras_mobilenets.tflite.runtime.exported_file import open_exported
from keras_mobilenets.tflite.runtime.interpreter import open_model
from keras_mobilenets.tflite.runtime.model import load
from keras_mobilenets.training.engine.batch_normalization import estimate_statistics

FORMS = ("nnapi", "xnnpack", "litert")


def families():
    """The first builder of each family that sees and that no table of stages is given to."""
    first = {}
    for name in km.list_models():
        if name == "Searched" or name.startswith("DSCNN"):
            continue
        first.setdefault(getattr(km, name).__module__, name)
    return list(first.values())


def network(name, images):
    """A narrow network with statistics as trained ones have."""
    keras.utils.set_random_seed(0)
    size, builder = images.shape[1], getattr(km, name)
    arguments = {builder.width: 0.35}
    if "layer_scale" in inspect.signature(builder).parameters:
        arguments["layer_scale"] = 0.1  # with 1e-6 a block adds nothing to its input
    model = km.create_model(name, input_shape=(size, size, 3), classes=10, classifier_activation=None, **arguments)
    if any(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers):
        model = estimate_statistics(model, km.preprocess_input(images))
    return model


def difference(one, other, images, scaled):
    """The largest difference of two open models' raw outputs."""
    values = [image[None] for image in (scaled if one.input["dtype"] == np.float32 else images.astype(int) - 128)]
    return max(
        np.abs(one.run(v.astype(one.input["dtype"])).astype(float) - other(v.astype(one.input["dtype"]))).max()
        for v in values
    )


def cells(name, images, folder):
    """What the table says of a family."""
    model, scaled = network(name, images), km.preprocess_input(images[:8])
    source = tflite.convert(model, folder / "none.tflite", quantize="none")
    yield _said(source, images, scaled, lambda values: np.asarray(model(values, training=False)), "{:.1e}")
    for target in FORMS:
        source = folder / f"{target}.tflite"
        tflite.convert(model, source, quantize="int8", calibration=images, target=target, calibration_method="minmax")
        opened, plain = open_model(source), load(source, delegate=False)
        said = _said(source, images, scaled, lambda values, opened=opened: opened.run(values).astype(float), "{:.0f}")
        yield f"{said} ({difference(plain, lambda v, o=opened: o.run(v).astype(float), images[:8], scaled):.0f})"


def _said(source, images, scaled, answer, form):
    try:
        path = tflite.export(source, source.with_suffix(".onnx"))
    except UserError as error:
        return str(error).splitlines()[0]
    return form.format(difference(open_exported(path), answer, images[:8], scaled))


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", help="these families alone")
    parser.add_argument("--size", type=int, default=64)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    images = noise_images((1, options.size, options.size, 3), 16)
    print(
        "| ONNX Runtime | float against Keras | "
        + " | ".join(f"int8 {form}, levels (plain kernels)" for form in FORMS)
        + " |"
    )
    print("| --- |" + " --: |" * (1 + len(FORMS)))
    for name in options.only or families():
        with tempfile.TemporaryDirectory() as folder:
            print(f"| {name} | {' | '.join(cells(name, images, Path(folder)))} |", flush=True)


if __name__ == "__main__":
    main()
