"""A Keras model as a .tflite: float32, float16 weights, dynamic range, all int8, or int8 with 16-bit activations.

int8 follows TensorFlow Lite's quantization specification: weights symmetric and per channel, activations per tensor.
"""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_mobilenets import files
from keras_mobilenets.errors import UserError
from keras_mobilenets.graphs.class_names import class_names
from keras_mobilenets.pixels.preprocessing_layers import scaling_of
from keras_mobilenets.pixels.scaling import PixelScaling
from keras_mobilenets.tflite.conversion import tfmot_model
from keras_mobilenets.tflite.conversion.detection.post_process import body, is_detector, with_post_process
from keras_mobilenets.tflite.conversion.float_graph import float_graph, opened
from keras_mobilenets.tflite.conversion.folds.shuffle_fold import fold_shuffles
from keras_mobilenets.tflite.conversion.forms.grouped_convolutions import fit_groups
from keras_mobilenets.tflite.conversion.forms.sum_scales import widen_branches
from keras_mobilenets.tflite.conversion.int8_graph import EFFORTS, Int8, check_scales, int8_graph
from keras_mobilenets.tflite.conversion.quantization.calibration import METHODS
from keras_mobilenets.tflite.conversion.samples import samples, takes_one_image
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.graph.metadata import attach
from keras_mobilenets.tflite.runtime.sandbox import mark_valid
from keras_mobilenets.tflite.targets.operator_forms import FORMS
from keras_mobilenets.tflite.targets.target_warning import warn_if_not_delegated

QUANTIZATIONS = ("none", "float16", "dynamic", "int8", "int16x8")
IO_DTYPES = ("int8", "uint8")
USUAL_SLOWDOWN = 1.15


def convert(
    model: Any,
    path: str | Path,
    *,
    quantize: str | None = None,
    calibration: Any = None,
    calibration_images: int = 256,
    calibration_method: str = "auto",
    effort: str = "default",
    leave_in_float: Sequence[str] | int | str = (),
    max_slowdown: float | None = None,
    min_sqnr: float | None = None,
    equalize: bool = False,
    bias_correction: bool = False,
    target: str = "nnapi",
    sparse: bool = False,
    pixels: Any = None,
    labels: Sequence[str] | None = None,
    io_dtype: str = "int8",
    input_shape: Sequence[int] | None = None,
) -> Path:
    """Converts a model to a .tflite that runs one image at a time.

    A detector's answers are decoded and suppressed in the file, by TFLite_Detection_PostProcess: that operator and the
    softmax before it are float, whatever the rest is.

    Args:
        model: Keras 3 model on the TensorFlow backend, functional or subclassed, of any inputs and outputs; a tf_keras
            one, also quantization-aware or pruned, by tfmot itself too; or the path of a `.keras` or `.h5` file or of a
            SavedModel folder. Mixed precision becomes float32; parallel branches become one layer (`reparameterized`).
        path: Where the .tflite is written.
        quantize: "none" (float32), "float16" (weights), "dynamic" (int8 weights, float activations), or "int8": every
            tensor, the input and output too. Its input is then raw pixels minus 128 (scale 1/127.5 for a model of
            −1..1, 1/255 for 0..1, 1 for 0..255). "int16x8" has int16 activations and int8 weights, as TensorFlow
            Lite's 16x8 mode has, for `target="qualcomm"` alone: +7 to +11 dB SQNR of the outputs; a CPU runs it
            slowly. Default: "int8" for a quantization-aware model, which knows no other, "none" for all others.
        calibration: For "int8" and "int16x8" of a model that is not quantization-aware: images like those the model
            will see, a few hundred or so. uint8 N×H×W×3 (scaled as the model wants them) or floats already scaled; an
            array, or a tf.data pipeline with or without labels.
        calibration_images: At most this many are used, the first ones.
        calibration_method: How the range of an activation follows from its values: "minmax", all of them;
            "percentile", 99.99% of them; "mse", those with the least mean squared error of clipping and rounding.
            "auto", the default: ranges of several widths, with equalization and bias correction and without, are tried
            on three quarters of the images and measured on the others, and those that harm the output most are chosen
            by that; the file's description says what was chosen and what it lost. It takes six times the time of one
            method, and 4 images or more: with fewer, or with one of the next two arguments, it is "percentile", and so
            for "int16x8".
        effort: How much "auto" tries: "low", "percentile" alone; "default"; or "high", which also trains the int8
            weights on the calibration images with the float model as teacher (`distillation.distil`).
        leave_in_float: Names of Keras layers that an int8 model computes in float; or how many: those are chosen that
            `sensitivity` finds to harm the output most, which takes a conversion for each layer. An activation is in
            float only where all layers that write or read it are, so that few layers gain little: of a
            MobileNetV3-Small (SQNR of its logits 9.3 dB) 2 layers 9.3, 5 layers 10.4, 10 layers 18.8 dB. "auto" leaves
            those blocks in float that buy most accuracy for their time (`mixed_precision`), which takes a conversion
            and a timing for each block. `run.json` has the curve.
        max_slowdown: For "auto": the latency of the file over that of the all-int8 one, on one thread of this machine,
            such as 1.15, which it is where neither limit is given.
        min_sqnr: For "auto": no more is left in float than gives the output this SQNR, in decibels.
        equalize: Whether the channels of activations are equalized before an "int8" that is calibrated
            (`equalization.equalize`).
        bias_correction: Whether biases are corrected after quantization, layer by layer
            (`layer_correction.correct_layers`).
        target: What is to run the model: "litert" (an app with LiteRT, on CPU, GPU or NPU; "xnnpack" is an earlier name
            of it), "nnapi" (phones of Android 8.1 to 14 through NNAPI), "gpu" (the GPU delegate of TensorFlow Lite) or
            "qualcomm" (that NPU alone, for "int16x8"). It decides on the operators of an int8 model (the table is
            `operator_forms.FORMS`): NNAPI gets HARD_SWISH and dense layers of one scale, LiteRT operators that XNNPACK,
            the GPU delegate, Qualcomm's NPU and Ethos-U all take in one partition. Float models are the same for all.
        sparse: A float32 model stores the zeros of a pruned one as sparse tensors, which XNNPACK's sparse kernels skip
            on Arm. They ask for two thirds of zeros or more in the 1×1 convolutions, a 3×3 stem at stride 2, and
            strides with as much padding before the image as after it ("same" at odd sizes, or a symmetric padding).
        pixels: What the model's input means: "-1..1", "0..1", "0..255", "imagenet", or a pair (mean, std) in pixels,
            value = (pixel − mean) / std. By default the model says it: a builder of this package takes −1..1; layers
            Rescaling or Normalization at the start, or a uint8 input, tell what they expect. Where nothing does, floats
            for calibration show it, else it is −1..1, and a `PixelWarning` says so. The file says it in turn, in its
            TFLite Metadata.
        labels: Names of the classes, in their order, which the metadata carries for MediaPipe and ML Kit. By default
            those that the model knows itself, as one of `zero_shot` does.
        io_dtype: Input and output of an int8 model: "int8", or "uint8", which MediaPipe and ML Kit ask for. The input
            is then the pixels themselves; two operators more run outside of XNNPACK's partition.
        input_shape: (height, width, channels), for a model that leaves its input size open.

    Returns:
        The path. A `TargetWarning` says when the model is not fully delegated on its target: which operators, and why.

    Raises:
        UserError: An argument is unknown, the graph does not qualify for `sparse` (the message says why), calibration
            images are missing or do not fit, the model has an input of no fixed size or an operator that TensorFlow
            Lite lacks, or the file cannot be written.
    """
    _check_words(
        quantize=quantize, target=target, calibration_method=calibration_method, effort=effort, io_dtype=io_dtype
    )
    if calibration_images < 1:
        raise UserError(f"calibration_images={calibration_images}: give 1 or more")
    model, is_trained = opened(model)
    quantize = quantize or ("int8" if is_trained else "none")
    if leave_in_float == "auto" and max_slowdown is None and min_sqnr is None:
        max_slowdown = USUAL_SLOWDOWN
    budget = leave_in_float, max_slowdown, min_sqnr
    how = Int8(calibration_method, effort, *budget, equalize, bias_correction, io_dtype)
    _check(model.name, quantize, target, is_trained, calibration is not None, sparse, how)
    fit = functools.partial(fit_groups, forms=FORMS[target])
    if tfmot_model.is_of_tfmot(model):
        io = None if io_dtype == "int8" else io_dtype
        tfmot_model.refuse(model.name, pixels=pixels, labels=labels, input_shape=input_shape, io_dtype=io)
        content = tfmot_model.int8(model, per_channel_dense=FORMS[target].per_channel_dense)
        content = flatbuffer.changed(content, fit, widen_branches)
    else:
        is_integer = quantize in ("int8", "int16x8")
        weights = "sparse" if sparse else "none" if is_integer else quantize
        graph = float_graph(model, weights, input_shape, for_int8=is_integer)
        detects = is_detector(model)
        if detects:
            graph = dataclasses.replace(graph, content=body(graph.content))
        scaling, found = None, None
        if calibration is not None:
            meaning = functools.partial(scaling_of, model, pixels)
            found = samples(calibration, calibration_images, graph.inputs, meaning, model.name)
            scaling = found.scaling
        elif takes_one_image(graph.inputs):
            scaling = scaling_of(model, pixels)
        if is_integer:
            content = int8_graph(graph, found, how, FORMS[target], wide=quantize == "int16x8")
        else:
            content = flatbuffer.changed(graph.content, fold_shuffles)
        if sparse:
            from keras_mobilenets.tflite.graph.sparsity import fit_sparse_kernels

            content = fit_sparse_kernels(content)
        content = flatbuffer.changed(content, fit, widen_branches)
        if detects:
            content = attach(with_post_process(content, model), model.name, scaling, labels)
        else:
            content = _described(content, model.name, scaling, pixels, labels, class_names(model))
    check_scales(content)
    with files.atomic(path) as temporary:
        temporary.write_bytes(content)
    mark_valid(path)
    warn_if_not_delegated(path, target)
    return Path(path)


def _check_words(**given: str | None) -> None:
    """Refuses a value that an argument does not know."""
    known: dict[str, Sequence[str | None]] = {
        "quantize": (*QUANTIZATIONS, None),
        "target": tuple(FORMS),
        "calibration_method": ("auto", *METHODS),
        "effort": EFFORTS,
        "io_dtype": IO_DTYPES,
    }
    for name, value in given.items():
        if value not in known[name]:
            raise UserError(f"{name}={value!r}: choose one of {', '.join(filter(None, known[name]))}")


def _check(
    name: str, quantize: str, target: str, is_trained: bool, is_calibrated: bool, sparse: bool, how: Int8
) -> None:
    """Refuses what does not go together."""
    if quantize == "int16x8" and target != "qualcomm":
        raise UserError(
            f'quantize="int16x8" is for target="qualcomm", not {target!r}: neither XNNPACK, NNAPI nor the GPU delegate '
            'takes 16-bit activations; give quantize="int8"'
        )
    if is_trained and quantize != "int8":
        raise UserError(f"{name} was trained for int8; convert the float model for quantize={quantize!r}")
    if quantize in ("int8", "int16x8") and not (is_calibrated or is_trained):
        raise UserError(f'quantize="{quantize}" needs calibration= images: a hundred or more that the model will see')
    if how.io_dtype != "int8" and quantize != "int8":
        raise UserError(f'io_dtype={how.io_dtype!r} is for quantize="int8", not {quantize!r}')
    if sparse and quantize != "none":
        raise UserError(f'sparse=True is for float32, quantize="none": XNNPACK has no sparse kernels for {quantize}')
    if isinstance(how.leave_in_float, str) and how.leave_in_float != "auto":
        raise UserError(f'leave_in_float={how.leave_in_float!r}: give a list of layer names, how many, or "auto"')
    if how.leave_in_float != "auto" and (how.max_slowdown is not None or how.min_sqnr is not None):
        raise UserError('max_slowdown and min_sqnr are for leave_in_float="auto"')
    if how.max_slowdown is not None and not how.max_slowdown >= 1:
        raise UserError(f"max_slowdown={how.max_slowdown}: give 1 or more, such as 1.15 for 15% more time than int8")
    if how.min_sqnr is not None and not 0 < how.min_sqnr < 100:
        raise UserError(f"min_sqnr={how.min_sqnr}: give decibels, such as 20")
    if how.leave_in_float and quantize != "int8":
        raise UserError(f'leave_in_float is for quantize="int8", not {quantize!r}')
    if isinstance(how.leave_in_float, int) and how.leave_in_float < 0:
        raise UserError(f"leave_in_float={how.leave_in_float}: give layer names, or how many layers, 0 or more")
    if isinstance(how.leave_in_float, int | str) and how.leave_in_float and (is_trained or not is_calibrated):
        raise UserError("leave_in_float chooses layers by calibration= images: give some, or name the layers")
    if how.effort != "default" and (how.calibration_method != "auto" or how.equalize or how.bias_correction):
        raise UserError(f'effort={how.effort!r} is for calibration_method="auto", without equalize and bias_correction')
    if how.effort != "default" and (quantize != "int8" or is_trained):
        raise UserError(f"effort={how.effort!r} is for an int8 model that calibration= images quantize")
    if (how.equalize or how.bias_correction) and (quantize != "int8" or is_trained):
        raise UserError("equalize and bias_correction are for an int8 model that calibration= images quantize")


def _described(
    content: bytes, name: str, scaling: PixelScaling | None, pixels: Any, labels: Any, own_labels: Any
) -> bytes:
    """A .tflite with metadata, where it is a classifier of an image or of a waveform."""
    if flatbuffer.is_classifier(content) and (pixels is None or scaling is not None):
        return attach(content, name, scaling, own_labels if labels is None else labels)
    if labels is not None or (pixels is not None and scaling is None):
        raise UserError(f"pixels and labels are for a model of one image and one vector of scores; {name} is none")
    return content
