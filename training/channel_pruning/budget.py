"""Allocation of channels to groups, for a budget of multiply-adds."""

import itertools

import keras
import numpy as np
from keras import layers

from keras_mobilenets.costs.model_cost import cost
from keras_mobilenets.training.channel_pruning.groups import Channels, Group

NEAR = 0.01  # tolerance of the budget


class Budget:
    """The multiply-adds of a model as a function of how many channels each group keeps.

    Those of a layer are a factor times its input channels times its output channels, which are linear in the counts.
    """

    def __init__(self, model: keras.Model, channels: Channels, groups: list[Group], widest: int = 1):
        """Counts the multiply-adds of a model.

        Args:
            model: The model whose channels these are.
            channels: Its channels.
            groups: Its groups that are pruned.
            widest: Maximum number of channels removed at a time, unless that is more than a quarter of the group.
        """
        self.sizes = sizes = np.array([len(group.channels) for group in groups])
        units = np.array([group.unit for group in groups])
        self.units = units * 2 ** np.floor(np.log2(np.maximum(np.minimum(widest, sizes / 4) / units, 1))).astype(int)
        group_of = np.full(channels.count, len(groups))  # that of the channels that are never pruned
        for index, group in enumerate(groups):
            group_of[group.channels] = index

        def linear(numbers: np.ndarray) -> np.ndarray:
            """The number of a layer's channels for each channel of each group, and those that are constant."""
            times = np.bincount(group_of[numbers.ravel()], minlength=len(groups) + 1).astype(float)
            return times / np.append(sizes, 1)

        counted = [layer for layer in cost(model).layers if layer.macs]
        known = [layer for layer in counted if layer.name in channels.reads]
        self.fixed = sum(layer.macs for layer in counted) - sum(layer.macs for layer in known)
        constant = linear(np.zeros(1, int))
        depthwise = [isinstance(model.get_layer(layer.name), layers.DepthwiseConv2D) for layer in known]
        self.reads = np.array(
            [constant if d else linear(channels.reads[x.name]) for x, d in zip(known, depthwise, strict=True)]
        )
        self.writes = np.array([linear(channels.writes[layer.name]) for layer in known])
        everything = np.append(sizes, 1)
        self.factors = np.array([x.macs for x in known]) / (self.reads @ everything) / (self.writes @ everything)

    def macs(self, counts: np.ndarray) -> float:
        """The multiply-adds with these channel counts of the groups."""
        kept = np.append(counts, 1)
        return self.fixed + self.factors @ ((self.reads @ kept) * (self.writes @ kept))

    def saved(self, counts: np.ndarray, fewer: np.ndarray) -> np.ndarray:
        """The multiply-adds that each group alone saves by `fewer` channels than `counts`."""
        kept, reads, writes = np.append(counts, 1), self.reads[:, :-1], self.writes[:, :-1]
        linear = (self.factors * (self.reads @ kept)) @ writes + (self.factors * (self.writes @ kept)) @ reads
        return fewer * linear - fewer**2 * (self.factors @ (reads * writes))

    def allot(self, scores: list[np.ndarray], target: float) -> np.ndarray:
        """Greedy allocation: removes unit by unit where the least importance is lost per multiply-add saved.

        The loss of a group is the share of the removed channels in its remaining scores, weighted by the multiply-adds
        of the whole group. With equal scores, every group is pruned by the same share, and the last channels of a
        group are expensive, so that none collapses.

        Args:
            scores: For each group, its channels' scores in descending order.
            target: Budget of multiply-adds.

        Returns:
            The number of channels each group keeps.
        """
        sums = [np.concatenate([[0.0], np.cumsum(score + 1e-12)]) for score in scores]
        counts = self.sizes.copy()
        at_stake = self.saved(counts, counts)
        while (now := self.macs(counts)) > target * (1 + NEAR):
            fewer = self._fewer(counts)
            saved = self.saved(counts, fewer)
            possible = (counts > self.units) & (saved > 0) & (now - saved >= target * (1 - NEAR))
            if not possible.any():
                break
            left, after = ([s[n] for s, n in zip(sums, numbers, strict=True)] for numbers in (counts, counts - fewer))
            price = (1 - np.divide(after, left)) * at_stake / np.maximum(saved, 1e-12)
            odd = fewer < self.units  # these are removed first, so that the rest is a multiple
            best = np.argmin(np.where(possible, np.where(odd, 0, price), np.inf))
            counts[best] -= fewer[best]
        return self._nearer(counts, target)

    def _fewer(self, counts: np.ndarray) -> np.ndarray:
        """The channels to remove next from each group: a unit, or the remainder to a multiple of it."""
        odd = counts % self.units
        return np.where(odd, odd, self.units)

    def _nearer(self, counts: np.ndarray, target: float) -> np.ndarray:
        """Changes two groups by a unit, up or down, while that leads nearer to the budget; small networks need it."""
        while abs(self.macs(counts) - target) > target * NEAR:
            more = np.diag(np.where(counts + self.units <= self.sizes, self.units, 0))
            fewer = np.diag(np.where(counts > self.units, self._fewer(counts), 0))
            steps = np.concatenate([np.zeros_like(more[:1]), more, -fewer])
            tries = [counts + a + b for a, b in itertools.combinations(steps, 2) if not (a * b).any()]
            best = min(tries, key=lambda counts: abs(self.macs(counts) - target))
            if abs(self.macs(best) - target) >= abs(self.macs(counts) - target):
                break
            counts = best
        return counts
