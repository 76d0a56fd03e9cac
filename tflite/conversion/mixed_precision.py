"""Which blocks of an int8 model are worth computing in float: accuracy bought with latency.

Most of the error of real networks is that of activations, and an activation is in float only where all layers that
write or read it are: alone, a block in float saves little, while a run of them saves what passes from one to the next.
So runs of blocks are chosen: those that together remove most noise of activations for a budget of time. What a block
costs in float is measured in the whole model, on this machine, conversions at the borders included.
"""

from collections.abc import Callable, Sequence

import numpy as np

from keras_mobilenets.progress import track
from keras_mobilenets.tflite.conversion.block_chain import BlockChain, run_costs
from keras_mobilenets.tflite.conversion.output_error import answer, sqnr_db, without_softmax
from keras_mobilenets.tflite.conversion.quantization.activation_noise import activation_noise
from keras_mobilenets.tflite.results.trade_off import Point, TradeOff
from keras_mobilenets.tflite.runtime.activations import outputs
from keras_mobilenets.tflite.runtime.stopwatch import thread_times

_SCANNED = 24  # images for the noise of each activation
_COMPARED = 64  # images for the curve
_TIMED = 8  # files that are timed in turns
_REPEATS = 3  # by how many interpreters a point is timed: one and the next may differ by where their memory lies
_STEPS = 6  # of the budget, each a point of the curve
_ROUNDS = 5  # in which a choice that took another time than was expected is made anew
_SPREAD = 1.01  # a model may be so much slower than it looks
_USED = 0.9  # of the budget at least

Quantizer = Callable[[bytes, Sequence[str]], bytes]


def trade_off(
    calibrated: bytes,
    values: Sequence[np.ndarray],
    quantize: Quantizer,
    max_slowdown: float | None = None,
    min_sqnr: float | None = None,
) -> TradeOff:
    """Moves runs of blocks to float while the time lasts, or until the output is good enough.

    Args:
        calibrated: A float .tflite with ranges in it.
        values: float32 N×… for each input.
        quantize: Makes of it, and of the names of activations to leave in float, the file that is timed and compared.
        max_slowdown: Of the latency of the all-int8 model; None for no limit.
        min_sqnr: In decibels, where to stop; None to use all of the time.
    """
    calibrated = without_softmax(calibrated)
    chain = BlockChain(calibrated, activation_noise(calibrated, [array[:_SCANNED] for array in values]))
    curve = _Curve(calibrated, chain, [array[-_COMPARED:] for array in values], quantize)
    limit = np.inf if max_slowdown is None else max(max_slowdown / _SPREAD, 1.0)
    budget = min(limit - 1, curve.most)
    for share in np.arange(1, _STEPS + 1) / _STEPS if budget > 0 else ():
        curve.spend(share * budget)
        if min_sqnr is not None and curve.front(limit)[-1].sqnr_db >= min_sqnr:
            break
    else:
        curve.spend_all(budget)
    points = curve.front(limit)
    if min_sqnr is not None:
        enough = [place for place, point in enumerate(points) if point.sqnr_db >= min_sqnr]
        points = points[: enough[0] + 1] if enough else points
    return TradeOff(tuple(points), tuple(chain.tensors_of(points[-1].blocks)))


class _Curve:
    """Mixed models that were made and measured.

    Attributes:
        most: What all blocks in float are expected to cost, as a share of the latency of all int8.
    """

    def __init__(
        self,
        content: bytes,
        chain: BlockChain,
        values: Sequence[np.ndarray],
        quantize: Quantizer,
    ) -> None:
        self._content, self._chain, self._values, self._quantize = content, chain, values, quantize
        self._expected = outputs(content, values)
        self._base = self._made(())
        self._known: dict[tuple[str, ...], Point] = {(): self._point((), self._base, 1.0)}
        self.most = 0.0
        if not chain.blocks:
            return
        tried = [(block,) for block in chain.blocks] + [tuple(chain.blocks)]
        *alone, whole = self._slowdowns([self._made(blocks) for blocks in track(tried, "Trying blocks in float")])
        self._costs = run_costs(chain, np.array(alone) - 1, whole - 1)
        self.most = float(self._costs[0, -1])

    def spend(self, budget: float) -> float:
        """Adds a point for about so much more time than all int8; returns how much more it takes."""
        blocks = self._chain.best(self._costs, budget)
        if blocks not in self._known:
            content = self._made(blocks)
            slowdown = float(np.median([self._slowdowns([content]) for _ in range(_REPEATS)]))
            self._known[blocks] = self._point(blocks, content, slowdown)
        return self._known[blocks].slowdown - 1

    def spend_all(self, budget: float) -> None:
        """Adds points until one uses the budget and keeps it."""
        asked, least, most = budget, 0.0, self.most
        for _ in range(_ROUNDS if budget > 0 else 0):
            spent = self.spend(asked)
            if _USED * budget <= spent <= budget:
                break
            least, most = (asked, most) if spent < budget else (least, asked)
            asked = min((least + most) / 2, 2 * asked)

    def front(self, limit: float) -> list[Point]:
        """The points within a limit that none beats, from all int8 on."""
        found: list[Point] = []
        for point in sorted(self._known.values(), key=lambda point: point.slowdown):
            if point.slowdown <= limit and (not found or point.sqnr_db > found[-1].sqnr_db):
                found.append(point)
        return found

    def _made(self, blocks: Sequence[str]) -> bytes:
        return self._quantize(self._content, self._chain.tensors_of(blocks))

    def _slowdowns(self, contents: Sequence[bytes]) -> list[float]:
        slowdowns: list[float] = []
        for first in range(0, len(contents), _TIMED):
            base, *times = thread_times([self._base, *contents[first : first + _TIMED]])
            slowdowns += [time / base for time in times]
        return slowdowns

    def _point(self, blocks: tuple[str, ...], content: bytes, slowdown: float) -> Point:
        found = outputs(content, self._values)
        same = float((answer(self._expected) == answer(found)).mean())
        return Point(blocks, max(slowdown, 1.0), sqnr_db(self._expected, found), same)
