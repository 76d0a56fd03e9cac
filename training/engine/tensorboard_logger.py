"""TensorBoard logs of a training, in RUN/logs: scalars, augmented training images, the confusion matrix.

A step is an epoch, counted from 1 as in history.csv. The writers are flushed at the end of each epoch, so that a kill
loses nothing and a resumed training continues its curves.
"""

import contextlib
import warnings
from collections.abc import Callable
from types import TracebackType
from typing import Any

import numpy as np
import tensorflow as tf

from keras_mobilenets.training.engine.recorder import Recorder
from keras_mobilenets.training.evaluation.examination import Examination

SAMPLES = 16
COLUMNS = 4
TILE = 112  # pixels, at least; small images are magnified by a whole number
CAPTION = 18  # pixels below an image
LONGEST_NAME = 18  # characters of a class
NUMBERED = 30  # classes, up to which each cell of a confusion matrix has its number


class Summaries:
    """Writes the event files of one training; a context manager around it.

    Nothing is written where the run folder is temporary.
    """

    def __init__(self, recorder: Recorder):
        """Takes the recorder of the training; the files go into `logs/train` and `logs/validation`."""
        self.recorder = recorder
        self.writers: dict[str, Any] = {}

    def __enter__(self) -> "Summaries":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for writer in self.writers.values():
            with contextlib.suppress(tf.errors.OpError):  # a full disk was reported by the flush
                writer.close()

    def callback(self) -> Any:
        """The callback for `model.fit`, to come after the recorder's."""
        return self.recorder.library.callbacks.LambdaCallback(on_epoch_end=self._on_epoch_end)

    def _on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Writes the scalars of an epoch, as history.csv has them: epoch_loss, epoch_learning_rate and so on."""
        if not self.recorder.is_kept:
            return
        for name, value in self.recorder.rows[-1].items():
            if name != "epoch":
                part, tag = ("validation", name[4:]) if name.startswith("val_") else ("train", name)
                with self._writer(part).as_default():
                    tf.summary.scalar(f"epoch_{tag}", value, step=epoch + 1)
        self._flush()

    def write_images(
        self, batches: tf.data.Dataset, caption: Callable[[np.ndarray], str], pictures: Callable[[Any], np.ndarray]
    ) -> None:
        """Writes the first batch of images with their labels.

        Args:
            batches: (float32 images, labels, perhaps soft).
            caption: Puts a label into words.
            pictures: Makes uint8 N×H×W×3 of images, or of other examples.
        """
        if not self.recorder.is_kept:
            return
        images, labels, *_ = next(iter(batches.take(1)))
        shown = pictures(images[:SAMPLES])
        names = [caption(label) for label in np.asarray(labels[:SAMPLES])]
        with self._writer("train").as_default():
            tf.summary.image("augmented_images", image_grid(shown, names)[None], step=len(self.recorder.rows) + 1)
        self._flush()

    def write_examination(self, examination: Any) -> None:
        """Writes the confusion matrix of the validation images, if any, unless the training had ended before."""
        if not self.writers or not isinstance(examination, Examination):
            return
        picture = confusion_matrix_image(examination.confusion, examination.class_names)
        with self._writer("validation").as_default():
            tf.summary.image("confusion_matrix", picture[None], step=len(self.recorder.rows))
        self._flush()

    def _writer(self, part: str) -> Any:
        if part not in self.writers:
            self.writers[part] = tf.summary.create_file_writer(str(self.recorder.run_dir / "logs" / part))
        return self.writers[part]

    def _flush(self) -> None:
        for writer in self.writers.values():
            writer.flush()


def image_grid(images: np.ndarray, names: list[str]) -> np.ndarray:
    """Images side by side with a name below each.

    Args:
        images: uint8 N×S×S×3, not more than fit a screen.
        names: Of each.

    Returns:
        uint8 H×W×3.
    """
    from PIL import Image, ImageDraw, ImageFont

    size = images.shape[1]
    factor = -(-TILE // size)
    side, gap = factor * size, 4
    font = ImageFont.load_default(12)
    rows = -(-len(images) // COLUMNS)
    page = Image.new("RGB", (COLUMNS * (side + gap) + gap, rows * (side + CAPTION + gap) + gap), "white")
    draw = ImageDraw.Draw(page)
    for place, (image, name) in enumerate(zip(images, names, strict=True)):
        x, y = gap + place % COLUMNS * (side + gap), gap + place // COLUMNS * (side + CAPTION + gap)
        page.paste(Image.fromarray(image).resize((side, side), Image.Resampling.NEAREST), (x, y))
        draw.text((x, y + side + 2), _truncated(name, font, side), "black", font)
    return np.asarray(page)


def confusion_matrix_image(confusion: np.ndarray, class_names: tuple[str, ...]) -> np.ndarray:
    """Draws a confusion matrix: a row for each true class, a column for each predicted one, colour by share of the row.

    Args:
        confusion: Counts, C×C.
        class_names: The C classes; with more than 30, neither they nor the numbers are written.

    Returns:
        uint8 H×W×3.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import PowerNorm
    from matplotlib.figure import Figure

    classes = len(class_names)
    is_small = classes <= NUMBERED
    shares = confusion / np.maximum(1, confusion.sum(axis=1, keepdims=True))
    side = max(4.0, 2.2 + 0.42 * classes) if is_small else 9.0
    figure = Figure(figsize=(side, side), dpi=100, layout="constrained")
    canvas, axes = FigureCanvasAgg(figure), figure.subplots()
    axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0, 1), interpolation="nearest")  # few mistakes show
    if is_small:
        names = [name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…" for name in class_names]
        axes.set_xticks(range(classes), names, rotation=90, parse_math=False)  # a name may hold dollars
        axes.set_yticks(range(classes), names, parse_math=False)
        for true, predicted in np.argwhere(confusion):
            colour = "white" if shares[true, predicted] > 0.4 else "black"
            text = f"{confusion[true, predicted]:,}"
            axes.text(predicted, true, text, ha="center", va="center", color=colour, fontsize=8 if len(text) < 5 else 6)
    axes.set(xlabel="predicted class", ylabel="true class", title=_title(confusion))
    with warnings.catch_warnings():  # a name in a script that Matplotlib's font lacks
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]


def _title(confusion: np.ndarray) -> str:
    right, count = int(confusion.trace()), int(confusion.sum())
    return f"{right:,} of {count:,} correct ({right / max(1, count):.1%})"


def _truncated(name: str, font: Any, width: int) -> str:
    """A name cut to the width of its image."""
    if font.getlength(name) <= width:
        return name
    while name and font.getlength(f"{name}…") > width:
        name = name[:-1]
    return f"{name}…"
