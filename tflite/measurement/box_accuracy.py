"""Mean average precision of a detector's .tflite, run one image at a time as the phone does."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.pixels.batches import to_input
from keras_mobilenets.plurals import count
from keras_mobilenets.processors import usable_threads
from keras_mobilenets.progress import track
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.runtime.exported_model import ExportedModel
from keras_mobilenets.tflite.runtime.input_scaling import scaling_of_file
from keras_mobilenets.tflite.runtime.interpreter import open_any
from keras_mobilenets.training.tasks.detection.average_precision import AveragePrecision, average_precision
from keras_mobilenets.training.tasks.detection.suppression import Found, suppressed


@dataclass(frozen=True)
class BoxEvaluation:
    """What a detector found in a set of images.

    Attributes:
        precision: How good that is; None without labels.
        found: The boxes of each image.
        classes: How many the detector tells apart.
        on: Where it ran.
    """

    precision: AveragePrecision | None
    found: tuple[Found, ...]
    classes: int
    on: str = "cpu"

    @property
    def images(self) -> int:
        """How many images were run."""
        return len(self.found)

    @property
    def figures(self) -> dict[str, float]:
        """What a row of results.json says of it."""
        known = {} if self.precision is None else {"map": self.precision.map, "map50": self.precision.map50}
        return {name: value for name, value in known.items() if math.isfinite(value)}

    def __str__(self) -> str:
        names = {"map50": "mAP@0.5", "map": "mAP"}
        figures = self.figures
        parts = [f"{words} {figures[name]:.2%}" for name, words in names.items() if name in figures]
        return f"{', '.join(parts) or 'run'} on {count(self.images, 'image')}"


def evaluate_boxes(
    path: str | Path, data: Any, *, threads: int | None = None, limit: int | None = None, pixels: Any = None
) -> BoxEvaluation:
    """Runs a detector's .tflite over images and scores it as COCO does.

    Args:
        path: The file, of `convert`, or what `export` made of it, whose boxes are suppressed here.
        data: A tf.data pipeline of (images, tables of boxes) batches, a pair of arrays, or images alone; images as in
            `evaluate`, of the model's size.
        threads: As in `evaluate`.
        limit: As in `evaluate`.
        pixels: As in `evaluate`.

    Raises:
        UserError: The file cannot be opened, or images or labels do not fit it.
    """
    model = open_any(path, threads or min(4, usable_threads()))
    source = model.input
    if isinstance(model, ExportedModel):
        classes = int(model.outputs[1]["shape"][-1])
    else:
        classes = flatbuffer.detected_classes(flatbuffer.read(Path(path).read_bytes(), path))
    height, width = map(int, source["shape"][1:3])
    found: list[Found] = []
    tables: list[np.ndarray] = []
    scaling = None
    for images, labels in track(_batches(data), f"Evaluating {Path(path).name}"):
        images = images[: None if limit is None else limit - len(found)]
        if images.shape[1:] != tuple(source["shape"][1:]):
            raise UserError(
                f"{path} takes images of {height}×{width}, and they are {images.shape[1]}×{images.shape[2]}"
            )
        scaling = scaling or scaling_of_file(path, pixels, images)
        values = to_input(images, scaling, source["dtype"], source["quantization"], path)
        for value in values:
            model.feed(value[None])
            model.invoke()
            outputs = model.read_outputs()
            found += suppressed(*outputs) if isinstance(model, ExportedModel) else [_found(outputs)]
        if labels is not None:
            tables.append(labels[: len(images)])
        if len(found) == limit:
            break
    if not tables:
        return BoxEvaluation(None, tuple(found), classes)
    truth = np.concatenate(tables)
    if truth.ndim != 3 or truth.shape[2] != 6:
        raise UserError(f"{path} detects boxes, and the labels are none: give data of boxes, such as shapes_detection")
    if truth[..., 4].max() >= classes:
        raise UserError(f"{path} detects {classes} classes, and the labels run to class {int(truth[..., 4].max())}")
    return BoxEvaluation(average_precision(truth, found, classes, (height, width)), tuple(found), classes)


def _batches(data: Any) -> Any:
    """Batches of arrays, and their labels or None."""
    if isinstance(data, tuple) and len(data) == 2:
        yield from [(np.asarray(data[0]), np.asarray(data[1]))]
    elif isinstance(data, np.ndarray):
        yield data, None
    else:
        for batch in data:
            images, *labels = batch if isinstance(batch, tuple) else (batch,)
            yield np.asarray(images), np.asarray(labels[0]) if labels else None


def _found(outputs: list[np.ndarray]) -> Found:
    boxes, classes, scores, number = (output[0] for output in outputs)
    last = int(number)
    return Found(boxes[:last], scores[:last], classes[:last].astype(np.int64))
