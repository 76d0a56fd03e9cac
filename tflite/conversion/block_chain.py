"""The blocks of an int8 model as a chain: what runs of them cost in float, what they bring, the best for a budget."""

from collections.abc import Sequence

import numpy as np

from keras_mobilenets.tflite.conversion.sensitivity import groups_of
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.graph.macs import operator_macs

LEAST_COST = 0.002  # of a block, as a share of the int8 latency: less is lost in the noise of timing
_UNITS = 100  # of a budget, in which costs are counted
_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "BATCH_MATMUL")


class BlockChain:
    """The blocks of a model in their order.

    Attributes:
        blocks: Their names.
        removed: What the blocks from one (row) to another (column) in float remove of the output's noise.
        shared: Of each border between two of them, how many values pass it.
        work: Of each, multiply-adds of dense and of depthwise layers, values that they give, weights.
    """

    def __init__(self, content: bytes, noise: dict[str, float]) -> None:
        self._tensors = _with_weights(content, groups_of(content, "block"))
        self.blocks = list(self._tensors)
        count = len(self.blocks)
        self.removed, self.shared = np.zeros((count, count)), np.zeros(max(count - 1, 0))
        places = {name: place for place, block in enumerate(self.blocks) for name in self._tensors[block]}
        graph = flatbuffer.Graph(flatbuffer.read(content))
        for number, tensor in enumerate(graph.tensors):
            name = tensor.name.decode()
            if name not in places:
                continue
            readers = [places[graph.tensors[op.outputs[0]].name.decode()] for op in graph.readers(number)]
            first, last = min([places[name], *readers]), max([places[name], *readers])
            self.removed[: first + 1, last:] += noise.get(name, 0.0)
            self.shared[first:last] += np.prod(graph.shape(number))
        self.work = np.zeros((count, 4))
        for operator in graph.operators:
            given = int(operator.outputs[0])
            place = places[graph.tensors[given].name.decode()]
            is_depthwise = graph.name(operator) == "DEPTHWISE_CONV_2D"
            stored = [
                int(t) for t in operator.inputs if t >= 0 and flatbuffer.is_constant(graph.model, graph.tensors[t])
            ]
            self.work[place, int(is_depthwise)] += operator_macs(graph, operator)
            self.work[place, 2:] += np.prod(graph.shape(given)), sum(np.prod(graph.shape(t)) for t in stored)

    def tensors_of(self, blocks: Sequence[str]) -> list[str]:
        """Names of the activations that blocks give."""
        return [tensor for block in blocks for tensor in self._tensors[block]]

    def best(self, costs: np.ndarray, budget: float) -> tuple[str, ...]:
        """The blocks that remove most noise for a budget, in the unit of the costs."""
        runs = best_runs(costs, self.removed, budget)
        return tuple(block for first, last in runs for block in self.blocks[first : last + 1])


def best_runs(costs: np.ndarray, values: np.ndarray, budget: float) -> list[tuple[int, int]]:
    """The runs of places in a row that together are worth most for a budget; no two of them touch.

    Args:
        costs: Of the run from one place (row) to another (column).
        values: Likewise.
        budget: In the unit of the costs, which are rounded up to a hundredth of it.

    Returns:
        First and last place of each.
    """
    units = np.ceil(costs / budget * _UNITS - 1e-9).astype(int)
    # By how many places there are, and units to spend: the best value, and the runs that have it.
    best: list[list[tuple[float, list[tuple[int, int]]]]] = [[(0.0, [])] * (_UNITS + 1)]
    for last in range(len(costs)):
        row = list(best[last])
        for first in range(last + 1):
            before = best[max(first - 1, 0)]
            for spent in range(units[first, last], _UNITS + 1):
                value, runs = before[spent - units[first, last]]
                if value + values[first, last] > row[spent][0]:
                    row[spent] = value + values[first, last], [*runs, (first, last)]
        best.append(row)
    return best[-1][-1][1]


def run_costs(chain: BlockChain, alone: np.ndarray, whole: float) -> np.ndarray:
    """What the blocks from one (row) to another (column) cost in float.

    Times of single blocks are within the noise of timing, so that they count half; the other half is a sum of kinds of
    work, of which each unit costs the same everywhere.

    Args:
        chain: The blocks.
        alone: What each costs, conversions at both of its borders included.
        whole: What all of them cost together.
    """
    borders = np.concatenate([[0.0], chain.shared, [0.0]])
    work = np.column_stack([chain.work, borders[:-1] + borders[1:]])
    work /= np.maximum(work.sum(axis=0), 1.0)
    price = _least_squares(np.vstack([work, [*[1.0] * (work.shape[1] - 1), 0.0]]), np.array([*alone, whole]))
    expected, conversions = work[:, :-1] @ price[:-1], work[:, -1] * price[-1]
    inside = np.maximum((expected + np.maximum(alone - conversions, 0.0)) / 2, LEAST_COST)
    through = np.cumsum([0.0, *inside])
    outside = price[-1] * borders / max(2 * borders.sum(), 1.0)
    return through[None, 1:] - through[:-1, None] + outside[:-1, None] + outside[None, 1:]


def _least_squares(factors: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """What the columns are to be multiplied by for the least squared error, none of it negative."""
    result, used = np.zeros(factors.shape[1]), np.arange(factors.shape[1])
    while len(used):
        found = np.linalg.lstsq(factors[:, used], wanted, rcond=None)[0]
        if (found >= 0).all():
            result[used] = found
            break
        used = used[found > 0]
    return result


def _with_weights(content: bytes, groups: dict[str, list[str]]) -> dict[str, list[str]]:
    """Activations of blocks with weights, and of what has none behind each; the first has those before it too."""
    graph = flatbuffer.Graph(flatbuffer.read(content))
    weighted = {graph.tensors[op.outputs[0]].name.decode() for op in graph.operators if graph.name(op) in _WEIGHTED}
    found: dict[str, list[str]] = {}
    waiting: list[str] = []
    for name, tensors in groups.items():
        if weighted.intersection(tensors):
            found[name], waiting = [*waiting, *tensors], []
        elif found:
            found[list(found)[-1]] += tensors
        else:
            waiting += tensors
    return found
