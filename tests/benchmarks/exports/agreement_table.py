"""Every family as ONNX: float in ONNX Runtime against Keras, int8 against the .tflite of each target's forms.

    python tests/benchmarks/exports/agreement_table.py [--only MobileNetV2 VGG16] [--forms gpu qualcomm] [--size 64]

int8 is given in levels of 256, beside the levels by which TensorFlow Lite's plain kernels differ from XNNPACK's on the
same file and examples; of a detector, whose boxes and scores are floats, in 256ths. Weights are untrained, with
statistics as trained ones have. A family is known by its name without its members' sizes: a new one is in the table by
itself.
"""

import argparse
import inspect
import os
import re
import tempfile
import warnings
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import keras_mobilenets as km
from keras_mobilenets import tflite
from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.exports.agreement import answers_of, example_values, keras_answers, noise_images
from keras_mobilenets.tflite.exports.detector import without_suppression
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.runtime.exported_file import open_exported
from keras_mobilenets.tflite.runtime.interpreter import open_model
from keras_mobilenets.tflite.runtime.model import load
from keras_mobilenets.training.engine.batch_normalization import estimate_statistics

FORMS = ("litert", "nnapi")
SIZES = r"(Atto|Femto|Pico|Nano|Tiny|Small|Medium|Base|Large|XX?S|[BLMST])?(?<!V)\d*(_\d)?([MG]F)?$"
ZERO_SHOT, TOWER = "zero_shot", "FastViTMCI0"
FRAMES, CLASSES, CALIBRATION = 4, 10, 16


def families():
    """The first builder of each family, the small MobileNetV3 too, and a zero-shot classifier."""
    first = {}
    for name in km.list_models():
        if name != "Searched":  # which needs a table of stages
            first.setdefault(re.sub(SIZES, "", name) if name != "MobileNetV3Small" else name, name)
    return [*first.values(), ZERO_SHOT]


def network(name, size):
    """A narrow network, and examples of what it takes for statistics and calibration."""
    keras.utils.set_random_seed(0)
    rng, builder = np.random.default_rng(0), getattr(km, TOWER if name == ZERO_SHOT else name)
    arguments, taken = {builder.width: 0.35, "classes": CLASSES}, inspect.signature(builder).parameters
    if "classifier_activation" in taken:
        arguments["classifier_activation"] = None
    if "layer_scale" in taken:
        arguments["layer_scale"] = 0.1  # with 1e-6 a block adds nothing to its input
    if builder.kind in ("image", "clip"):
        shape = (*[FRAMES] * bool(builder.frames), size, size, 3)
        examples = noise_images((1, *shape), CALIBRATION)
        values, arguments["input_shape"] = km.preprocess_input(examples), shape
    if name == ZERO_SHOT:
        tower = builder(shape, 0.35, include_top=False, pooling="avg", layer_scale=0.1)
        vectors = rng.normal(size=(CLASSES, tower.output_shape[-1]))
        model = km.zero_shot(tower, vectors, [f"label {index}" for index in range(CLASSES)])
    else:
        model = builder(**arguments)
    if builder.kind not in ("image", "clip"):
        shape = (CALIBRATION, *model.input_shape[1:])
        is_history = model.inputs[0].dtype == "int32"
        examples = rng.integers(0, CLASSES + 1, shape, np.int32) if is_history else rng.uniform(-1, 1, shape)
        examples = values = examples if is_history else examples.astype(np.float32)
    if any(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers):
        model = estimate_statistics(model, values)
    return model, examples


def cells(name, size, forms, folder):
    """What the table says of a family: of float, then of the int8 file of each form."""
    model, examples = network(name, size)
    try:
        source, exported = files(model, folder / "none.tflite", quantize="none")
    except UserError as error:
        yield str(error).splitlines()[0]  # refused, as int8 is then
        return
    values = example_values(exported)
    expected = keras_answers(model, values)
    yield f"{np.abs(answers_of(exported, values) - expected).max() / max(1, np.abs(expected).max()):.1e}"
    for form in forms:
        how = {"calibration": examples, "target": form, "calibration_method": "minmax"}
        source, exported = files(model, folder / f"{form}.tflite", quantize="int8", **how)
        runtimes = exported, open_model(source), load(source, delegate=False)
        ours, xnnpack, plain = (answers_of(each, example_values(exported)) for each in runtimes)
        levels = 256 if exported.record.detects else 1  # whose outputs are floats
        yield "{:.0f} ({:.0f})".format(*(levels * np.abs(each - xnnpack).max() for each in (ours, plain)))


def files(model, path, **how):
    """A .tflite of what ONNX takes of it, and the open ONNX file."""
    tflite.convert(model, path, **how)
    if flatbuffer.detects(flatbuffer.read(path.read_bytes())):
        path.write_bytes(without_suppression(path.read_bytes()))
    return path, open_exported(tflite.export(path, path.with_suffix(".onnx")))


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", help="these networks alone")
    parser.add_argument("--forms", nargs="+", default=FORMS, metavar="TARGET", help="those of int8")
    parser.add_argument("--size", type=int, default=64)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    heads = "float against Keras", *(f"int8, {form}" for form in options.forms)
    print(f"| ONNX Runtime | {' | '.join(heads)} |\n| --- |{' --: |' * len(heads)}")
    for name in options.only or families():
        with tempfile.TemporaryDirectory() as folder:
            print(f"| {name} | {' | '.join(cells(name, options.size, options.forms, Path(folder)))} |", flush=True)


if __name__ == "__main__":
    main()
