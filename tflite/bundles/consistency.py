"""What the schema of a manifest cannot see: files that are not listed, numbers that do not go together."""

from collections import Counter
from typing import Any

import numpy as np

from keras_mobilenets.tflite.bundles import boxes
from keras_mobilenets.tflite.bundles.boxes import DETECTION
from keras_mobilenets.training.evaluation.attribute_examination import TASK as ATTRIBUTES


def contradiction(bundle: Any) -> str:
    """What the schema cannot see: files that are not listed, numbers that do not go together."""
    twice = [name for name, times in Counter(model.name for model in bundle.models).items() if times > 1]
    if twice:
        return f"two models are called {twice[0]}"
    sets = {images.path: images for images in bundle.images}
    sizes = {images.path: images.count * images.height * images.width * 3 for images in bundle.images}
    for images in bundle.images:
        if len(images.labels) not in (0, images.count):
            return f"{images.path} has {images.count} images and {len(images.labels)} labels"
    for model in bundle.models:
        if model.images not in sets:
            return f"{model.name} is scored on {model.images}, which is no image set"
        if model.labels not in bundle.files:
            return f"{model.labels} is not among its files"
        images, names = sets[model.images], len(bundle.class_names(model))
        classes = names if model.task == DETECTION else model.output.shape[-1]
        if len(model.input.mean) != len(model.input.std) or len(model.input.mean) == 2 or min(model.input.std) <= 0:
            return f"{model.name} has mean {model.input.mean} and std {model.input.std}"
        if model.input.shape != (1, images.height, images.width, 3):
            return f"{model.name} takes {model.input.shape} and its images are {images.height}×{images.width}"
        if not all(model.task in _tasks_of(label) for label in images.labels):
            return f"{model.name} is for {model.task}, and the labels of {images.path} are of another task"
        if model.task == DETECTION and model.output.shape[2:] != (4,):
            return f"{model.name} detects boxes, and its first output is {model.output.shape}"
        if model.task == DETECTION and (flaw := boxes.problem(images.labels, classes)):
            return f"{flaw} of {model.name}"
        highest = 0 if model.task == DETECTION else np.max(np.hstack([0, *images.labels]))
        if highest >= classes or model.probes.count > images.count:
            return f"{model.name} does not fit {images.path}"
        inputs = model.probes.count * images.height * images.width * 3 * np.dtype(model.input.dtype).itemsize
        sizes |= {model.path: model.size_bytes, model.probes.inputs: inputs}
        sizes[model.probes.outputs] = model.probes.count * model.values * 4
        if names != classes:
            return f"{model.name} has {classes} classes and {model.labels} another number of names"
    for name, size in sizes.items():
        if name not in bundle.files:
            return f"{name} is not among its files"
        if (bundle.folder / name).stat().st_size != size:
            return f"{name} should have {size:,} bytes"
    return ""


def _tasks_of(label: Any) -> tuple[str, ...]:
    """The tasks that an image's label is one of; an image of no label and one of no boxes look alike."""
    if not isinstance(label, tuple):
        return ("classification",)
    if not label:
        return (ATTRIBUTES, DETECTION)
    return (DETECTION,) if isinstance(label[0], tuple) else (ATTRIBUTES,)
