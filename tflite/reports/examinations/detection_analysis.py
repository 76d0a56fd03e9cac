"""What the report says of a detection.npz: precision by recall, classes, sizes, the worst misses as pictures."""

from typing import Any

import numpy as np

from keras_mobilenets.tflite.reports import image_grid
from keras_mobilenets.tflite.reports.figure import INK, figure, svg
from keras_mobilenets.training.tasks.detection.examination import DetectionExamination

LISTED = 20  # classes, the worst
NAMED = 10  # classes up to which each has its own curve
SIDE = 320  # pixels of a picture at least
TRUTH, FOUND = (60, 220, 90), (255, 70, 60)


def content(found: DetectionExamination) -> dict[str, Any]:
    """What the template shows."""
    lines = [
        {"name": name, "map50": float(value)}
        for name, value in zip(found.class_names, found.by_class, strict=True)
        if np.isfinite(value)
    ]
    return {
        "split": found.split,
        "count": found.count,
        "map": found.map,
        "map50": found.map50,
        "sizes": {name: value for name, value in found.by_size.items() if np.isfinite(value)},
        "total": len(found.class_names),
        "classes": sorted(lines, key=lambda line: line["map50"])[:LISTED],
        "svg": _curves(found),
        "cards": [
            {"image": image_grid.picture(drawn(*each, found.class_names)), "said": _words(*each[1:])}
            for each in zip(found.images, found.truth, found.answers, strict=True)
        ],
    }


def _curves(found: DetectionExamination) -> str:
    """Precision by recall at IoU 0.5: of each class where they are few, and their mean."""
    known = np.isfinite(found.precision)
    sums = np.where(known, found.precision, 0.0).sum(axis=1)
    mean = np.divide(sums, known.sum(axis=1), out=np.zeros_like(sums), where=known.any(axis=1))
    with figure(6.4, 4.2) as drawn:
        axes = drawn.subplots()
        if len(found.class_names) <= NAMED:
            for name, values in zip(found.class_names, found.precision.T, strict=True):
                axes.plot(found.recall, values, linewidth=1.1, alpha=0.8, label=name)
        axes.plot(found.recall, mean, color=INK, linewidth=2.4, label="mean")
        axes.set_xlabel("recall")
        axes.set_ylabel("precision")
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
        axes.legend(frameon=False, labelcolor=INK, fontsize=8, loc="lower left")
        return svg(drawn, "Precision by recall at IoU 0.5", f"Their mean area is {found.map50:.1%}.")


def drawn(image: np.ndarray, truth: np.ndarray, answers: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """An image with its boxes and those that were found, large enough to be seen.

    Args:
        image: uint8 H×W×3.
        truth: K×6: y1, x1, y2, x2 in shares of its sides, class, anything; class −1 where there is no box.
        answers: Likewise, with the score of each in the place of that.
        names: Of the classes.
    """
    from PIL import Image, ImageDraw, ImageFont

    factor = -(-SIDE // min(image.shape[:2]))
    height, width = factor * image.shape[0], factor * image.shape[1]
    page = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(12)
    for rows, colour, below in ((truth, TRUTH, False), (answers, FOUND, True)):
        for y1, x1, y2, x2, label, number in rows[rows[:, 4] >= 0]:
            y1, x1, y2, x2 = np.clip((y1, x1, y2, x2), 0, 1) * (height, width, height, width)
            draw.rectangle((x1, y1, max(x1, x2), max(y1, y2)), outline=colour, width=2)
            text = names[int(label)] + (f" {number:.0%}" if below else "")
            place = (x1 + 3, y2 - 16) if below else (x1 + 3, y1 + 1)
            draw.text(place, text, colour, font, stroke_width=1, stroke_fill="black")
    return np.asarray(page)


def _words(truth: np.ndarray, answers: np.ndarray) -> str:
    there, said = int((truth[:, 4] >= 0).sum()), int((answers[:, 4] >= 0).sum())
    return f"{there} there, {said} found"
