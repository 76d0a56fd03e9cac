"""Accuracy of a .tflite on labelled examples, run one at a time as the phone does: on the CPU or on a target."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.pixels.batches import batches, check_images, quantize, to_input, value_batches
from keras_mobilenets.pixels.image_source import BATCH
from keras_mobilenets.processors import usable_threads
from keras_mobilenets.progress import track
from keras_mobilenets.tflite.graph.file_identifier import check_file
from keras_mobilenets.tflite.measurement.evaluation import agreement, max_abs_err, score
from keras_mobilenets.tflite.runtime.exported_file import exported_input, is_exported
from keras_mobilenets.tflite.runtime.exported_model import ExportedModel
from keras_mobilenets.tflite.runtime.interpreter import open_any
from keras_mobilenets.tflite.runtime.model import InputShape, Model
from keras_mobilenets.tflite.runtime.sandbox import validate
from keras_mobilenets.training.evaluation.attribute_examination import TASK


def evaluate(
    path: str | Path,
    data: Any,
    *,
    threads: int | None = None,
    limit: int | None = None,
    pixels: Any = None,
    on: str = "cpu",
    several: bool | None = None,
) -> Any:
    """Runs a .tflite, an .onnx or OpenVINO's .xml over images and scores it.

    Args:
        path: The file.
        data: A tf.data pipeline of (images, labels) batches, a pair of arrays, or images alone. Integer images are
            pixels 0..255; float images are scaled already. A model that takes no image is given floats of its input's
            shape, a recommender int32 histories; its answers are judged by the rank of what came next.
        threads: CPU threads; by default as many as the process may use, at most 4.
        limit: Stop after this many images.
        pixels: What the model's input means, as in `convert`. By default the file says it: by its metadata, or by the
            range of its quantized input; where it does not, −1..1 is assumed and a `PixelWarning` says so.
        on: A target to run it on, too, and to compare with the CPU: "gpu", "reference" and others that
            `keras-mobilenets targets` lists.
        several: Whether an image has several labels: then they are rows of 0 and 1, and average precision and F1 are
            measured. By default what `load_data` returned says it, and other data have one label.

    Returns:
        The `Evaluation`, of the answers that the target gave; a `BoxEvaluation` of a detector.

    Raises:
        UserError: The file cannot be opened, is no image classifier, or answers with NaN; or the images or labels do
            not fit it; or the target cannot be asked here, or fails: then with its own message.
    """
    from keras_mobilenets.tflite.runtime.input_scaling import takes_history

    if limit is not None and limit < 1:
        raise UserError(f"limit is {limit}; give 1 or more images")
    if _is_detector(path):
        if on != "cpu":
            raise UserError(f"{path} detects boxes, which is evaluated on the CPU alone: leave out on={on!r}")
        from keras_mobilenets.tflite.measurement.box_accuracy import evaluate_boxes  # loads TensorFlow

        return evaluate_boxes(path, data, threads=threads, limit=limit, pixels=pixels)
    run_there, several = _runner(on), has_several(data) if several is None else several
    if run_there and is_exported(path):
        raise UserError(f"{path} runs on the CPU alone: leave out on={on!r}, or give the .tflite")
    shape = input_shape(path)
    if run_there and -1 in shape[1:]:
        raise UserError(f"{path} takes images of any size, and {on} one size; convert it with a size")
    threads = threads or min(4, usable_threads())
    ran = _run(path, data, shape, threads, limit, pixels, several, keeps=run_there is not None)
    ranked = takes_history(path)
    here = score(_answers(ran.model, ran.outputs), ran.labels, ranked=ranked)
    if run_there is None:
        return here
    raw = run_there(Path(path), np.stack(ran.inputs))
    there = score(_answers(ran.model, list(raw.reshape(len(raw), -1)), f" on {on}"), ran.labels, ranked=ranked)
    return replace(there, on=on, agreement=agreement(there, here), max_difference=max_abs_err(there, here))


class _Run(NamedTuple):
    """A model that ran: what it was given, where that is kept, flat outputs, one each; all labels, or None."""

    model: Model | ExportedModel
    inputs: list[np.ndarray]
    outputs: list[np.ndarray]
    labels: np.ndarray | None


def _run(
    path: str | Path,
    data: Any,
    shape: tuple[int, ...],
    threads: int,
    limit: int | None,
    pixels: Any,
    several: bool,
    *,
    keeps: bool,
) -> _Run:
    """Runs a model over data on the CPU, opened anew for each size where it takes any."""
    from keras_mobilenets.tflite.runtime.input_scaling import scaling_of_file, takes_history, takes_pixels

    is_image, is_history, is_open = takes_pixels(path), takes_history(path), -1 in shape[1:]
    model: Model | ExportedModel | None = None
    scaling = None
    inputs: list[np.ndarray] = []
    outputs: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    examples = (
        batches(data, None if is_open else shape, several=several)
        if is_image
        else value_batches(data, shape, path, several=several, integers=is_history)
    )
    for images, batch_labels in track(examples, f"Evaluating {Path(path).name}", total=_batch_count(data)):
        images = images[: None if limit is None else limit - len(outputs)]
        if model is None or (is_open and images.shape[1:] != tuple(model.input["shape"][1:])):
            model = _opened(path, threads, (1, *images.shape[1:]) if is_open else None)
        source = model.input
        if is_image:
            check_images(images, source["shape"], path)
            scaling = scaling or scaling_of_file(path, pixels, images)
            values = to_input(images, scaling, source["dtype"], source["quantization"], path)
        else:
            values = images if is_history else quantize(images, source["dtype"], source["quantization"])
        outputs += [model.run(value[None]).reshape(-1) for value in values]
        inputs += [*values] if keeps else []
        if batch_labels is not None:
            labels.append(batch_labels[: len(images)])
        if len(outputs) == limit:
            break
    assert model is not None  # there is an image
    return _Run(model, inputs, outputs, np.concatenate(labels) if labels else None)


def input_shape(path: str | Path) -> tuple[int, ...]:
    """The shape N×H×W×C of the images that a classifier takes, −1 where it takes any size; N×… of another's input.

    Args:
        path: The .tflite file.

    Raises:
        UserError: The file is missing, is no .tflite, is damaged, or is no classifier of one input.
    """
    from keras_mobilenets.tflite.graph import flatbuffer

    if is_exported(path):
        return exported_input(path)[1]
    model = _sound_model(path)
    graph = model.subgraphs[0]
    sources, answers = ([flatbuffer.shape_of(graph.tensors[i]) for i in side] for side in (graph.inputs, graph.outputs))
    is_classifier = flatbuffer.detects(model) or (
        len(sources) == len(answers) == 1
        and len(sources[0]) in (2, 4, 5)
        and sum(size != 1 for size in answers[0][1:]) <= 1  # one number for each class, not for each place
    )
    if not is_classifier:
        raise UserError(
            f"{path} is no image classifier, {flatbuffer.ends(model)}; give one with one input 1×h×w×c, or of a "
            "waveform, and one output 1×classes"
        )
    return sources[0]


def has_several(data: Any) -> bool:
    """Whether data say that an image has several labels, as what `load_data` returns may."""
    return getattr(getattr(data, "task", None), "name", None) == TASK


def _opened(path: str | Path, threads: int, size: InputShape) -> Model | ExportedModel:
    """A classifier, for images of one size.

    Raises:
        UserError: It answers with a map, or with a sequence.
    """
    model = open_any(path, threads, size)
    lengths = [int(length) for length in model.output["shape"]]
    if sum(length != 1 for length in lengths[1:]) > 1:
        given = "×".join(map(str, lengths))
        raise UserError(f"{path} answers with {given} and not with one number for each class; give a classifier")
    return model


def _is_detector(path: str | Path) -> bool:
    """Whether a file is a sound .tflite that gives boxes, or was made of one."""
    from keras_mobilenets.tflite.graph import flatbuffer

    if is_exported(path):
        return exported_input(path)[2].detects
    return flatbuffer.detects(_sound_model(path))


def _sound_model(path: str | Path) -> Any:
    """The tables of a .tflite that is there and not damaged."""
    from keras_mobilenets.tflite.graph import flatbuffer

    check_file(path)
    validate(path, run=False)
    return flatbuffer.read(Path(path).read_bytes(), path)


def _runner(on: str) -> Callable[[Path, np.ndarray], np.ndarray] | None:
    """What runs a file on a target; None for the CPU. The package is imported without the runtime that targets need."""
    if on == "cpu":
        return None
    from keras_mobilenets.tflite.targets.checks import runner

    return runner(on)


def _answers(model: Model | ExportedModel, outputs: list[np.ndarray], where: str = "") -> np.ndarray:
    """Raw outputs as images×classes float32."""
    if len({output.size for output in outputs}) > 1 or outputs[0].dtype.kind not in "fiu":
        raise UserError(f"{model.path} does not answer with one number for each class; give a classifier")
    predictions = model.dequantize(np.stack(outputs))
    unknown = int(np.isnan(predictions).any(axis=1).sum())
    if unknown:
        raise UserError(
            f"{model.path} answers {unknown} of {len(predictions)} images with NaN{where}; convert it again"
        )
    return predictions


def _batch_count(data: Any) -> int | None:
    if isinstance(data, tuple) and len(data) == 2:
        return -(-len(data[0]) // BATCH)
    try:
        return len(data)
    except TypeError:  # tf.data of unknown length
        return None
