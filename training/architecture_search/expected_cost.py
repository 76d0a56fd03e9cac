"""The cost of a mixture of networks: the mean over all of them, each as probable as the choices make it.

A stage's operators depend on its own decisions and on the channels before it alone, so the mean is a sum of one product
of a table and the probabilities a stage: what FBNet (arXiv:1812.03443, section 3.2) has as a sum over blocks.
"""

import itertools
from collections.abc import Callable, Iterable

import numpy as np
import tensorflow as tf

from keras_mobilenets.costs.operators import Operator, head, stage_operators, stem
from keras_mobilenets.models.mobilenets.spec import Stage
from keras_mobilenets.training.architecture_search.space import Space

Price = Callable[[Operator], float]
_COLUMNS = ("filters", "repeats", "expansion", "kernel_size", "excite", "activation")


class ExpectedCost:
    """The tables of a space of one input size."""

    def __init__(self, space: Space, classes: int, price: Price) -> None:
        """Prices every option.

        Args:
            space: The networks.
            classes: Number of classes.
            price: Gives the cost of an operator.
        """
        smallest = space.spec(space.smallest())
        self._tables: list[tuple[list[str], tf.Tensor]] = []

        def add(names: list[str], options: Iterable[tuple], parts: Callable[..., Iterable[Operator]]) -> None:
            lists = [list(option) for option in options]
            prices = [sum(map(price, parts(*choice))) for choice in itertools.product(*lists)]
            table = np.array(prices, np.float32).reshape([len(option) for option in lists])
            self._tables.append((names, tf.constant(table)))

        ends = {"input_size": smallest.input_size, "stages": smallest.stages}

        def stem_of(filters: int, activation: str) -> Iterable[Operator]:
            return stem(type(smallest)(**ends, stem_filters=filters, activation=activation))

        add(["stem_filters", "activation"], [space.stem_filters, space.activation], stem_of)
        side, before, name = next(stem(smallest)).output_side, space.stem_filters, "stem_filters"
        for number, stage in enumerate(space.stages):

            def stage_of(
                channels: int, *values: object, strides: int = stage.strides, side: int = side
            ) -> list[Operator]:
                row = Stage(**dict(zip(_COLUMNS, values, strict=True)), strides=strides)  # type: ignore[arg-type]
                return list(stage_operators(row, side, channels))

            names = [name, *(f"stage_{number}_{column}" for column in _COLUMNS)]
            add(names, [before, *(getattr(stage, column) for column in _COLUMNS)], stage_of)
            side, before, name = -(-side // stage.strides), stage.filters, f"stage_{number}_filters"

        def head_of(channels: int, filters: int, activation: str) -> Iterable[Operator]:
            spec = type(smallest)(**ends, head_filters=filters, activation=activation)
            return head(spec, side, channels, classes)

        add([name, "head_filters", "activation"], [before, space.head_filters, space.activation], head_of)

    def __call__(self, probabilities: dict[str, tf.Tensor]) -> tf.Tensor:
        """The mean cost.

        Args:
            probabilities: Of the options of each decision, by its name.
        """
        total = tf.constant(0.0)
        for names, table in self._tables:
            for name in names:
                table = tf.tensordot(probabilities[name], table, 1)
            total += table
        return total
