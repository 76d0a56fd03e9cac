"""What a network may cost, and what those of a space do."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from keras_mobilenets.costs.operators import Operator, SpecCost, operators, spec_cost
from keras_mobilenets.errors import UserError
from keras_mobilenets.models.mobilenets.spec import Spec
from keras_mobilenets.training.architecture_search.space import Space


class Latency(Protocol):
    """A target's latencies, such as tflite's `OperatorLatencies`."""

    def ms(self, parts: Iterable[Operator]) -> float:
        """Milliseconds of one run of a network of these operators."""

    def operator_ms(self, part: Operator) -> float:
        """Milliseconds of one operator inside a network."""


@dataclass(frozen=True)
class Budget:
    """Upper limits, each None for none.

    Attributes:
        ms: Latency on the target.
        macs: Multiply-adds of one image.
        parameters: Trainable parameters.
        size_bytes: Of the int8 weights and int32 biases.
        memory_bytes: Of the int8 activations alive at once.

    Raises:
        UserError: A limit is not positive.
    """

    ms: float | None = None
    macs: float | None = None
    parameters: float | None = None
    size_bytes: float | None = None
    memory_bytes: float | None = None

    def __post_init__(self) -> None:
        """Checks the limits."""
        for name, limit in dataclasses.asdict(self).items():
            if limit is not None and not limit > 0:
                raise UserError(f"the budget's {name} is {limit}; give a number above 0")

    def __str__(self) -> str:
        """The limits in words; empty where there is none."""
        units = ("ms", "multiply-adds", "parameters", "bytes of weights", "bytes of activations")
        limits = zip(dataclasses.astuple(self), units, strict=True)
        return ", ".join(f"{_number(limit)} {unit}" for limit, unit in limits if limit is not None)

    def exceeded(self, cost: SpecCost) -> str:
        """The first limit that a cost is beyond, in words; empty where it is within all."""
        for name, limit, value, unit in self._limits(cost):
            if limit is not None and value > limit:
                return f"{name} {_number(value)}{unit}, the budget {_number(limit)}{unit}"
        return ""

    def _limits(self, cost: SpecCost) -> list[tuple[str, float | None, float, str]]:
        return [
            ("latency", self.ms, cost.latency_ms or 0.0, " ms"),
            ("multiply-adds", self.macs, cost.macs, ""),
            ("parameters", self.parameters, cost.parameters, ""),
            ("size", self.size_bytes, cost.size_bytes, " bytes"),
            ("memory", self.memory_bytes, cost.peak_bytes, " bytes"),
        ]


class Costs:
    """The costs of a space's networks, each counted once.

    Attributes:
        budget: The limits.
        classes: Number of classes.
        correction: What the target's latencies are multiplied by.
    """

    def __init__(self, budget: Budget, classes: int, latency: Latency | None, slack: float = 1.0) -> None:
        """Takes the budget.

        Args:
            budget: The limits.
            classes: Number of classes.
            latency: The target's; None for none.
            slack: Multiple of the budget's latency up to which a prediction fits, where networks are measured later.

        Raises:
            UserError: The budget is of latency, and nothing gives it.
        """
        if budget.ms is not None and latency is None:
            raise UserError("a budget of latency needs the target's latencies: give latency=, or a budget of macs")
        self.budget, self.classes, self._latency, self.correction = budget, classes, latency, 1.0
        self._known: dict[Spec, SpecCost] = {}
        self._predicted = dataclasses.replace(budget, ms=budget.ms and slack * budget.ms)

    def correct(self, correction: float) -> None:
        """Sets what the target's latencies are multiplied by."""
        self.correction = correction
        self._known.clear()

    def of(self, spec: Spec) -> SpecCost:
        """The cost of a network."""
        if spec not in self._known:
            parts = operators(spec, self.classes)
            ms = self.correction * self._latency.ms(parts) if self._latency else None
            self._known[spec] = spec_cost(spec, self.classes, ms)
        return self._known[spec]

    def fits(self, spec: Spec) -> bool:
        """Whether a network is within the budget; its latency is asked for last."""
        quick = dataclasses.replace(self.budget, ms=None)
        if spec not in self._known and quick.exceeded(spec_cost(spec, self.classes)):
            return False
        return not self._predicted.exceeded(self.of(spec))

    def price(self, part: Operator) -> float:
        """What one operator adds to what a front is drawn over."""
        return part.macs if self._latency is None else self.correction * self._latency.operator_ms(part)

    def limit(self) -> float | None:
        """The budget of what a front is drawn over; None for no limit."""
        return self.budget.macs if self._latency is None else self.budget.ms

    def x(self, cost: SpecCost) -> float:
        """What a front is drawn over: latency where there is one, else multiply-adds."""
        return cost.macs if cost.latency_ms is None else cost.latency_ms

    def check(self, space: Space) -> None:
        """Refuses a budget that no network of the space is within.

        Raises:
            UserError: The smallest is beyond it.
        """
        beyond = self.budget.exceeded(self.of(space.spec(space.smallest())))
        if beyond:
            raise UserError(f"no network of the space fits: the smallest has {beyond}; give more or another space")


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"
