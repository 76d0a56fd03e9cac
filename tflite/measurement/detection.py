"""Words found in a long recording by a window that slides over it: how many are missed, false alarms an hour.

The scores of neighbouring windows are averaged, and one word is one detection, as in Speech Commands'
(arXiv:1804.03209) streaming accuracy.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.pixels.batches import quantize
from keras_mobilenets.progress import track
from keras_mobilenets.tflite.measurement.accuracy import input_shape
from keras_mobilenets.tflite.runtime.input_scaling import features_of_file, takes_pixels
from keras_mobilenets.tflite.runtime.interpreter import open_any
from keras_mobilenets.training.datasets.speech.stream import QUIET, Stream
from keras_mobilenets.waveforms.features import RATE

TOLERANCE = 0.75  # seconds between a word and its detection


class Detection(NamedTuple):
    """A word that was found.

    Attributes:
        second: The middle of the windows that say so.
        label: Its class.
        score: Their mean score, 0..1.
    """

    second: float
    label: int
    score: float


@dataclass(frozen=True)
class StreamEvaluation:
    """What was found in a stream.

    Attributes:
        hours: Its length.
        words: How many words it has.
        hits: How many were found as what they are.
        wrong: How many were found as another word.
        false_alarms: Detections where no word is.
        detections: All of them.
    """

    hours: float
    words: int
    hits: int
    wrong: int
    false_alarms: int
    detections: tuple[Detection, ...]

    @property
    def hit_rate(self) -> float:
        """Share of the words that were found, 0..1."""
        return self.hits / max(1, self.words)

    @property
    def false_alarms_per_hour(self) -> float:
        """Detections where no word is, an hour."""
        return self.false_alarms / self.hours

    def __str__(self) -> str:
        return (
            f"{self.hit_rate:.1%} of {self.words} words found, {self.wrong} taken for another, "
            f"{self.false_alarms_per_hour:.1f} false alarms an hour (of {60 * self.hours:.1f} minutes)"
        )


def evaluate_stream(
    path: str | Path,
    stream: Stream,
    *,
    step: float = 0.1,
    threshold: float = 0.7,
    average: float = 0.5,
    pause: float = 1.0,
) -> StreamEvaluation:
    """Slides a .tflite over a stream and compares what it finds with what is there.

    Args:
        path: A .tflite that takes a waveform or features of it.
        stream: What `stream_of` makes, or a long recording of your own.
        step: From window to window, in seconds.
        threshold: Mean score from which a word is found, 0..1.
        average: Over so many seconds scores are averaged.
        pause: No second detection within so many seconds.

    Raises:
        UserError: The file takes images, or has other classes, or a number is out of range.
    """
    if not (step * RATE >= 1 and 0 < threshold < 1 and average >= 0 and pause >= 0):
        raise UserError(f"step={step}, threshold={threshold}: give seconds, a sample or more, and a score from 0 to 1")
    scores, length = _scores(path, stream, step)
    if scores.shape[1] != len(stream.class_names):
        raise UserError(f"{path} has {scores.shape[1]} classes, and the stream {len(stream.class_names)}")
    quiet = [number for number, name in enumerate(stream.class_names) if name in QUIET]
    found = detections(scores, step, length / 2, threshold, max(1, round(average / step)), pause, quiet)
    return compared(found, stream)


def detections(
    scores: np.ndarray,
    step: float,
    first: float,
    threshold: float,
    window: int,
    pause: float,
    quiet: Collection[int] = (),
) -> tuple[Detection, ...]:
    """Words by the scores of windows.

    Args:
        scores: Windows×classes, 0..1.
        step: From window to window, in seconds.
        first: The middle of the first window, in seconds.
        threshold: Mean score from which a word is found.
        window: So many scores are averaged.
        pause: In seconds, within which there is no second detection.
        quiet: Classes that are no word.
    """
    window = min(window, len(scores))  # of a stream that is hardly longer than what the network hears
    sums = np.cumsum(np.pad(scores, ((1, 0), (0, 0))), axis=0)
    means = (sums[window:] - sums[:-window]) / window
    middles = first + step * (np.arange(len(means)) + (window - 1) / 2)
    found: list[Detection] = []
    for second, row in zip(middles, means, strict=True):
        label = int(row.argmax())
        is_new = not found or second - found[-1].second > pause
        if label not in quiet and row[label] >= threshold:
            if is_new:
                found.append(Detection(float(second), label, float(row[label])))
            elif row[label] > found[-1].score:  # the word is nearer now
                found[-1] = Detection(found[-1].second, label, float(row[label]))
    return tuple(found)


def compared(found: Sequence[Detection], stream: Stream) -> StreamEvaluation:
    """Detections beside the words of a stream; each word is found once."""
    times = np.array([second for second, _ in stream.words])
    taken: set[int] = set()
    hits = wrong = false_alarms = 0
    for each in found:
        near = [int(place) for place in np.flatnonzero(np.abs(times - each.second) <= TOLERANCE) if place not in taken]
        if not near:
            false_alarms += 1
            continue
        place = min(near, key=lambda place: abs(times[place] - each.second))
        taken.add(place)
        is_hit = stream.words[place][1] == each.label
        hits, wrong = hits + is_hit, wrong + (not is_hit)
    return StreamEvaluation(stream.hours, len(times), hits, wrong, false_alarms, tuple(found))


def _scores(path: str | Path, stream: Stream, step: float) -> tuple[np.ndarray, float]:
    """The scores of every window, and the length of one in seconds."""
    shape, features = input_shape(path), features_of_file(path)
    if takes_pixels(path):
        raise UserError(f"{path} takes images or clips: a stream is for what hears")
    frames = shape[1]
    length = features.window_samples + (frames - 1) * features.stride_samples if features else frames
    model = open_any(path)
    source = model.input
    hop, outputs = round(step * RATE), []
    starts = range(0, len(stream.samples) - length + 1, hop)
    for start in track(starts, f"Listening with {Path(path).name}", total=len(starts)):
        values: Any = stream.samples[None, start : start + length]
        values = values if features is None else features.values(values)
        outputs.append(model.run(quantize(values, source["dtype"], source["quantization"])).reshape(-1))
    if not outputs:
        raise UserError(f"the stream is shorter than a window of {length / RATE:.2f} s")
    return model.dequantize(np.stack(outputs)), length / RATE
