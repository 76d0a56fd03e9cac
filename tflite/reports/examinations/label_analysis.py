"""What the report says of several labels an image: precision–recall curves, each label's figures, the worst misses."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_mobilenets.tflite.reports import image_grid
from keras_mobilenets.tflite.results import tables
from keras_mobilenets.tflite.results.results import Row
from keras_mobilenets.training.evaluation import precision_recall
from keras_mobilenets.training.evaluation.attribute_examination import AttributeExamination

DRAWN = 8  # curves, of the labels with the least average precision
COLOURS = ("#2f7ed8", "#d0508a", "#0f9b72", "#b7791f", "#7a5af5", "#c2571a", "#1a8fa8", "#5f8f1e")


def content(found: AttributeExamination, rows: Sequence[Row]) -> dict[str, Any]:
    """What the template shows.

    Args:
        found: The trained model's examination.
        rows: The measurements of the run, whose files have figures of each label.
    """
    files = [row for row in {row.model: row for row in rows}.values() if row.per_class]
    compressed = tables.are_compressed(files)
    return {
        "several": True,
        "split": found.split,
        "count": found.count,
        "map": found.map,
        "f1": precision_recall.mean(found.f1),
        "svg": curves(found) if found.truth.any() else None,
        "files": [tables.variant_name(row, among_compressed=compressed) for row in files],
        "classes": _classes(found, files),
        "cards": _cards(found),
    }


def curves(found: AttributeExamination) -> str:
    """Precision over recall, a curve for each label; where there are many, for the worst."""
    from keras_mobilenets.tflite.reports.figure import INK, figure, svg

    known = np.flatnonzero(~np.isnan(found.average_precision))
    worst = known[np.argsort(found.average_precision[known], kind="stable")][:DRAWN]
    with figure(5.4, 4.2) as drawn:
        axes = drawn.subplots()
        for number, colour in zip(worst, COLOURS, strict=False):
            curve = precision_recall.curve(found.scores[:, number], found.truth[:, number])
            recall, precision = np.append(0, curve.recall), np.append(curve.precision[:1], curve.precision)
            name = f"{found.class_names[number]} {found.average_precision[number]:.1%}"
            axes.plot(100 * recall, 100 * precision, color=colour, linewidth=1.8, label=name, drawstyle="steps-pre")
        axes.set(xlabel="recall, %", ylabel="precision, %", xlim=(0, 101), ylim=(0, 102))
        axes.legend(frameon=False, labelcolor=INK, fontsize=9)
        return svg(drawn, "Precision over recall of each label", f"Mean average precision {found.map:.1%}.")


def _classes(found: AttributeExamination, files: Sequence[Row]) -> list[dict[str, Any]]:
    """The labels, that with the least average precision first; those that no image has last."""
    lines = [
        {
            "name": name,
            "images": int(found.truth[:, number].sum()),
            "average_precision": _known(found.average_precision[number]),
            "f1": _known(found.f1[number]),
            "files": [(row.per_class or {}).get(name, {}).get("average_precision") for row in files],
        }
        for number, name in enumerate(found.class_names)
    ]
    return sorted(lines, key=lambda line: 2.0 if line["average_precision"] is None else line["average_precision"])


def _cards(found: AttributeExamination) -> list[dict[str, Any]]:
    """Images with a label that is wrong: it is there and was not found, or was found and is not there."""
    return [
        {
            "image": image_grid.picture(image),
            "label": found.class_names[number],
            "is_there": bool(is_there),
            "share": float(confidence),
        }
        for image, number, is_there, confidence in zip(
            found.images, found.wrong, found.missed, found.confidence, strict=True
        )
    ]


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
