"""Which blocks of an int8 model are worth computing in float: accuracy bought with latency, step by step.

What a block's quantization adds to the output's error is measured alone (`sensitivity`), what its float operators cost
in the whole model, on this machine, conversions at the borders included: so neighbours of float blocks are cheap and
float parts stay contiguous. Each step takes the block, or two neighbours, that remove most error for the time.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from keras_mobilenets.progress import track
from keras_mobilenets.tflite.conversion.output_error import answer, sqnr_db, without_softmax
from keras_mobilenets.tflite.conversion.sensitivity import groups_of, scan
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.runtime.activations import outputs
from keras_mobilenets.tflite.runtime.stopwatch import least_times

_SCANNED = 32  # images to rank blocks by
_COMPARED = 64  # images for the curve
_TRIED = 3  # steps that are timed of those ranked first
_LEAST_COST = 0.005  # of the int8 latency: less is lost in the noise of timing
_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "BATCH_MATMUL")
_SPREAD = 1.02  # a model may look so much slower than it is

Quantizer = Callable[[bytes, Sequence[str]], bytes]


@dataclass(frozen=True)
class Point:
    """A mixed model.

    Attributes:
        blocks: What it computes in float.
        slowdown: Its latency over that of the all-int8 model, one thread of this machine.
        sqnr_db: Power of the float output (before a softmax) over that of the difference, in decibels.
        same_class: Share of the images that get the same class as in float.
    """

    blocks: tuple[str, ...]
    slowdown: float
    sqnr_db: float
    same_class: float


@dataclass(frozen=True)
class TradeOff:
    """The curve of accuracy over latency; `str()` of it is a table.

    Attributes:
        points: From all int8 on, each with more in float.
        tensors: Names of the activations that the last one leaves in float.
    """

    points: tuple[Point, ...]
    tensors: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"{'slowdown':>8} {'SQNR dB':>8} {'same class':>10}  in float"]
        for point in self.points:
            blocks = ", ".join(point.blocks) or "nothing"
            lines.append(f"{point.slowdown:8.3f} {point.sqnr_db:8.1f} {point.same_class:10.1%}  {blocks}")
        return "\n".join(lines)


def trade_off(
    calibrated: bytes,
    values: Sequence[np.ndarray],
    quantize: Quantizer,
    max_slowdown: float | None = None,
    min_sqnr: float | None = None,
) -> TradeOff:
    """Moves blocks to float while the time lasts, or until the output is good enough.

    Args:
        calibrated: A float .tflite with ranges in it.
        values: float32 N×… for each input.
        quantize: Makes of it, and of the names of activations to leave in float, the file that is timed.
        max_slowdown: Of the latency of the all-int8 model; None for no limit.
        min_sqnr: In decibels, where to stop; None to use all of the time.
    """
    calibrated = without_softmax(calibrated)
    groups = groups_of(calibrated, "block")
    scanned = scan(calibrated, [array[:_SCANNED] for array in values], by="block")
    alone = {row.layer: 10 ** (-row.sqnr_db / 10) for row in scanned.layers}
    members = _with_weights(calibrated, groups)
    blocks = {name: [tensor for member in parts for tensor in groups[member]] for name, parts in members.items()}
    noise = {name: sum(alone[member] for member in parts) for name, parts in members.items()}
    search = _Search(calibrated, blocks, noise, quantize)
    expected = outputs(calibrated, compared := [array[-_COMPARED:] for array in values])
    points, step = [search.point(expected, compared)], None
    while min_sqnr is None or points[-1].sqnr_db < min_sqnr:
        step = search.best_step(max_slowdown)
        if step is None:
            break
        search.take(step)
        points.append(search.point(expected, compared))
    return TradeOff(tuple(points), tuple(search.tensors(search.chosen)))


def _with_weights(content: bytes, groups: dict[str, list[str]]) -> dict[str, list[str]]:
    """Blocks with weights, each with the groups without any behind it; the first with those before it too."""
    graph = flatbuffer.Graph(flatbuffer.read(content))
    weighted = {graph.tensors[op.outputs[0]].name.decode() for op in graph.operators if graph.name(op) in _WEIGHTED}
    found: dict[str, list[str]] = {}
    waiting: list[str] = []
    for name, tensors in groups.items():
        if weighted.intersection(tensors):
            found[name], waiting = [*waiting, name], []
        elif found:
            found[list(found)[-1]].append(name)
        else:
            waiting.append(name)
    return found


class _Search:
    """What is in float so far, and what is known of the rest."""

    def __init__(
        self, calibrated: bytes, blocks: dict[str, list[str]], noise: dict[str, float], quantize: Quantizer
    ) -> None:
        self._calibrated, self._blocks, self._noise, self._quantize = calibrated, blocks, noise, quantize
        self.chosen: frozenset[str] = frozenset()
        self._base = self._content = self._made(self.chosen)
        names = list(blocks)
        made = [self._made(frozenset([name])) for name in track(names, "Trying each block in float")]
        base, *times = least_times([self._base, *made])
        self._alone = {name: max(time / base - 1, _LEAST_COST) for name, time in zip(names, times, strict=True)}
        self._slowdown = 1.0

    def tensors(self, chosen: frozenset[str]) -> list[str]:
        return [tensor for name, tensors in self._blocks.items() if name in chosen for tensor in tensors]

    def best_step(self, max_slowdown: float | None) -> tuple[frozenset[str], bytes, float] | None:
        """What is in float after the step that removes most error for its time, the file, its slowdown."""
        limit = float("inf") if max_slowdown is None else max_slowdown / _SPREAD
        # Next to what is in float a block costs less than alone, as fewer values are converted.
        steps = [step for step in self._steps() if self._slowdown + self._cost(step) / 2 <= limit]
        steps.sort(key=lambda step: -self._worth(step, self._cost(step)))
        while steps:
            tried, steps = [self.chosen | step for step in steps[:_TRIED]], steps[_TRIED:]
            contents = [self._made(chosen) for chosen in tried]
            base, now, *times = least_times([self._base, self._content, *contents])
            self._slowdown = now / base
            found = [
                (self._worth(chosen - self.chosen, (time - now) / base), chosen, content, time / base)
                for chosen, content, time in zip(tried, contents, times, strict=True)
                if time / base <= limit
            ]
            if found:
                return max(found, key=lambda row: row[0])[1:]
        return None

    def take(self, step: tuple[frozenset[str], bytes, float]) -> None:
        self.chosen, self._content, self._slowdown = step

    def point(self, expected: list[np.ndarray], values: list[np.ndarray]) -> Point:
        """The mixed model as it stands, by what it says of images."""
        found = outputs(self._content, values)
        return Point(
            tuple(name for name in self._blocks if name in self.chosen),
            self._slowdown,
            sqnr_db(expected, found),
            float((answer(expected) == answer(found)).mean()),
        )

    def _steps(self) -> list[frozenset[str]]:
        """Blocks, and pairs of neighbours, that are not in float yet."""
        names = list(self._blocks)
        pairs = [frozenset(pair) for pair in itertools.pairwise(names)]
        left = {step - self.chosen for step in [*(frozenset([name]) for name in names), *pairs]}
        return sorted((step for step in left if step), key=sorted)

    def _cost(self, step: frozenset[str]) -> float:
        return sum(self._alone[name] for name in step)

    def _worth(self, step: frozenset[str], cost: float) -> float:
        return sum(self._noise[name] for name in step) / max(cost, _LEAST_COST)

    def _made(self, chosen: frozenset[str]) -> bytes:
        return self._quantize(self._calibrated, self.tensors(chosen))
