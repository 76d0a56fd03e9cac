"""Plots of a training: curves by epoch, the learning rate, the confusion matrix."""

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.ticker import MaxNLocator

from keras_mobilenets.tflite.reports.figure import INK, figure, svg
from keras_mobilenets.tflite.reports.plots import STYLES
from keras_mobilenets.tflite.results.results import FIGURES

RIGHT, WRONG = "#2468c0", "#d0508a"  # of the cells of a confusion matrix
STRONGEST = 0.8  # opacity of a cell; text on it can be read, light or dark
CROWDED_CLASSES = 12  # from which on a confusion matrix takes the width of the page
NUMBERED_CLASSES = 30  # up to so many, its cells have numbers
NAMED_CLASSES = 60  # up to so many, its rows and columns have names
LARGEST = 200  # classes; a larger matrix shows nothing
LONGEST_CLASS = 18  # characters


def training_curve(epochs: Sequence[float], train: Sequence[float], validation: Sequence[float], what: str) -> str:
    """One quantity over the epochs: training dashed, validation solid, the best validation value marked."""
    with figure(5.4, 3.1) as drawn:
        axes = drawn.subplots()
        is_accuracy, words = what != "loss", FIGURES.get(what, what)
        scale = 100 if is_accuracy else 1
        if len(train):
            axes.plot(epochs, scale * np.asarray(train), "--", color=STYLES["none"][0], label="training", linewidth=1.6)
        if len(validation):
            values = scale * np.asarray(validation)
            colour = STYLES["int8"][0]
            axes.plot(epochs, values, color=colour, label="validation", linewidth=2)
            if np.isfinite(values).any():
                best = int(np.nanargmax(values) if is_accuracy else np.nanargmin(values))
                shown = f"{values[best]:.1f}%" if is_accuracy else f"{values[best]:.3f}"
                axes.plot(
                    epochs[best],
                    values[best],
                    "D",
                    color=colour,
                    markersize=6,
                    label=f"best: {shown} in epoch {epochs[best]:g}",
                )
        axes.set_xlabel("epoch")
        axes.set_ylabel(f"{words}, %" if is_accuracy else what)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(frameon=False, labelcolor=INK)
        return svg(drawn, f"Training and validation {words} by epoch")


def learning_rate(epochs: Sequence[float], rates: Sequence[float]) -> str:
    """The learning rate at the end of each epoch."""
    with figure(5.4, 3.1) as drawn:
        axes = drawn.subplots()
        axes.plot(epochs, rates, "-o", color=STYLES["float16"][0], linewidth=2, markersize=3)
        axes.set_xlabel("epoch")
        axes.set_ylabel("learning rate")
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        return svg(drawn, "Learning rate by epoch", f"From {rates[0]:.3g} to {rates[-1]:.3g}.")


def confusion(counts: np.ndarray, class_names: Sequence[str]) -> str:
    """A confusion matrix: a row for each true class, a column for the predicted one.

    The right answers are blue, as deep as their share of the row; the wrong ones red, of which few are seen already.

    Args:
        counts: C×C images.
        class_names: The C classes.
    """
    classes = len(class_names)
    side = 4.9 if classes <= CROWDED_CLASSES else 9.4
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    cells = np.empty((classes, classes, 4))
    cells[..., :3], cells[..., 3] = to_rgb(WRONG), STRONGEST * (shares > 0) * (0.2 + 0.8 * np.sqrt(shares))
    diagonal = np.arange(classes)
    cells[diagonal, diagonal, :3], cells[diagonal, diagonal, 3] = to_rgb(RIGHT), STRONGEST * shares.diagonal()
    with figure(side + 0.6, side) as drawn:
        axes = drawn.subplots()
        axes.imshow(cells, interpolation="none", aspect="equal")
        axes.grid(visible=False)
        axes.tick_params(length=0)
        axes.set_xlabel("predicted class")
        axes.set_ylabel("true class")
        size = 9 if classes <= CROWDED_CLASSES else 8 if classes <= NUMBERED_CLASSES else 6
        if classes <= NAMED_CLASSES:
            names = [name if len(name) <= LONGEST_CLASS else f"{name[: LONGEST_CLASS - 1]}…" for name in class_names]
            axes.set_xticks(diagonal, names, rotation=90 if max(map(len, names)) > 2 else 0, fontsize=size)
            axes.set_yticks(diagonal, names, fontsize=size)
        if classes <= NUMBERED_CLASSES:
            for row, column in zip(*np.nonzero(counts), strict=True):
                axes.text(column, row, f"{counts[row, column]}", ha="center", va="center", fontsize=size)
        worst = int((counts.sum(axis=1) - counts.diagonal()).argmax())
        said = f"{counts.trace():,} of {counts.sum():,} right; most mistakes on {class_names[worst]}."
        return svg(drawn, "Confusion matrix", said)
