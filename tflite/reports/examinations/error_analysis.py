"""What the report says of an examination.npz: confusion matrix, classes, the most confident mistakes as pictures."""

from typing import Any

import numpy as np

from keras_mobilenets.tflite.reports import image_grid
from keras_mobilenets.training.evaluation.examination import Examination

LISTED = 20  # classes, the worst
PAIRS = 10  # of classes that are confused most


def content(found: Examination) -> dict[str, Any]:
    """What the template shows."""
    from keras_mobilenets.tflite.reports import training_plots

    classes = len(found.class_names)
    return {
        "several": False,
        "split": found.split,
        "count": found.count,
        "wrong": found.mistakes,
        "top1": found.top1,
        "svg": training_plots.confusion(found.confusion, found.class_names)
        if classes <= training_plots.LARGEST
        else None,
        "wide": classes > training_plots.CROWDED_CLASSES,
        "total": classes,
        "classes": _classes(found)[:LISTED],
        "pairs": _pairs(found) if classes > training_plots.CROWDED_CLASSES else [],
        "cards": _cards(found),
    }


def _classes(found: Examination) -> list[dict[str, Any]]:
    """The classes that have images, the one that is found least often first."""
    recall, precision = _known(found.recall), _known(found.precision)
    images, wrong = found.confusion.sum(axis=1), found.confusion - np.diag(found.confusion.diagonal())
    lines = [
        {
            "name": name,
            "images": int(images[number]),
            "recall": recall[number],
            "precision": precision[number],
            "predicted_as": found.class_names[wrong[number].argmax()] if wrong[number].any() else None,
            "times": int(wrong[number].max()),
        }
        for number, name in enumerate(found.class_names)
        if images[number]
    ]
    return sorted(lines, key=lambda line: line["recall"])


def _pairs(found: Examination) -> list[dict[str, Any]]:
    images = found.confusion.sum(axis=1)
    return [
        {
            "truth": found.class_names[true],
            "said": found.class_names[said],
            "times": times,
            "share": times / int(images[true]),
        }
        for true, said, times in found.most_confused(PAIRS)
    ]


def _cards(found: Examination) -> list[dict[str, Any]]:
    from keras_mobilenets.training import overlay  # loads Keras, which a page without mistakes does not need

    return [
        {
            "image": image_grid.picture(image),
            "heat": None if found.heat is None else image_grid.picture(overlay(image, found.heat[number])),
            "truth": found.class_names[found.labels[number]],
            "said": found.class_names[found.predicted[number]],
            "share": float(found.confidence[number]),
        }
        for number, image in enumerate(found.images)
    ]


def _known(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]
