"""The space of a search: what each stage of a network may be, as independent decisions.

Stages share their columns as in MnasNet (arXiv:1807.11626, section 4.1); the columns are those of MobileNetV3
(arXiv:1905.02244, tables 1 and 2). A network of the space is its genes: the number of the choice of each decision.
"""

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.models.mobilenets.spec import Spec, Stage

Genes = tuple[int, ...]
ENDS = ("input_size", "stem_filters", "head_filters", "activation")


@dataclass(frozen=True)
class StageChoices:
    """What a stage may be: for each column of `Stage` its choices, the cheapest first.

    Attributes:
        filters: Output channels.
        repeats: Blocks.
        strides: Of the first block; no choice.
        expansion: Channels between the bottlenecks, as a multiple of a block's input channels.
        kernel_size: Sides of the depthwise kernels.
        excite: Without or with squeeze-and-excite.
        activation: Activations.
    """

    filters: tuple[int, ...]
    repeats: tuple[int, ...] = (1, 2, 3)
    strides: int = 2
    expansion: tuple[float, ...] = (2, 3, 4, 6)
    kernel_size: tuple[int, ...] = (3, 5)
    excite: tuple[bool, ...] = (False, True)
    activation: tuple[str, ...] = ("relu6", "hard_silu")


@dataclass(frozen=True)
class Space:
    """All networks that a search may find.

    Attributes:
        stages: The stages' choices.
        input_size: Sides of the image in pixels.
        stem_filters: Channels of the first convolution.
        head_filters: Channels of the last convolution.
        activation: Of stem and head.

    Raises:
        UserError: A decision has no choice, or one that no network may have.
    """

    stages: tuple[StageChoices, ...]
    input_size: tuple[int, ...] = (64,)
    stem_filters: tuple[int, ...] = (8, 16, 24)
    head_filters: tuple[int, ...] = (256, 640, 1280)
    activation: tuple[str, ...] = ("relu6", "hard_silu")

    def __post_init__(self) -> None:
        """Checks that every choice makes a network."""
        for name, choices in self.decisions():
            if not isinstance(choices, tuple) or not choices or len(set(choices)) < len(choices):
                raise UserError(f"{name} of a space must be a tuple of one or more different choices, not {choices!r}")
            if not isinstance(choices[0], str) and list(choices) != sorted(choices):
                raise UserError(f"{name} of a space must begin with the smallest choice, not {choices!r}")
        for choice in range(max(len(choices) for _, choices in self.decisions())):
            self.spec(tuple(min(choice, len(choices) - 1) for _, choices in self.decisions()))

    def decisions(self) -> list[tuple[str, tuple[Any, ...]]]:
        """Every decision with its choices: "stage_2_filters", (16, 24, 32)."""
        ends = [(name, getattr(self, name)) for name in ENDS]
        return ends + [
            (f"stage_{index}_{name}", getattr(stage, name))
            for index, stage in enumerate(self.stages)
            for name in _columns()
        ]

    def spec(self, genes: Genes) -> Spec:
        """The network of some genes."""
        choices = iter([choices[gene] for (_, choices), gene in zip(self.decisions(), genes, strict=True)])
        ends = {name: next(choices) for name in ENDS}
        stages = tuple(
            Stage(**{name: next(choices) for name in _columns()}, strides=stage.strides) for stage in self.stages
        )
        return Spec(stages, **ends)

    def smallest(self) -> Genes:
        """The genes of the cheapest network: the first choices."""
        return (0,) * len(self.decisions())

    def largest(self) -> Genes:
        """The genes of the network of the last choices."""
        return tuple(len(choices) - 1 for _, choices in self.decisions())

    def middle(self) -> Spec:
        """The network of the middle choices."""
        return self.spec(tuple(len(choices) // 2 for _, choices in self.decisions()))

    def size(self) -> int:
        """The number of networks."""
        return math.prod(len(choices) for _, choices in self.decisions())

    def random(self, generator: np.random.Generator) -> Genes:
        """Genes drawn uniformly."""
        return tuple(int(generator.integers(len(choices))) for _, choices in self.decisions())

    def mutations(self, genes: Genes, generator: np.random.Generator, rate: float = 0.1) -> Iterator[Genes]:
        """Genes that differ in each decision with that probability, in one at least; without end.

        Args:
            genes: The parent's.
            generator: The source of chance.
            rate: Of the decisions with several choices.
        """
        lengths = [len(choices) for _, choices in self.decisions()]
        free = [place for place, length in enumerate(lengths) if length > 1]
        while free:
            changed = list(genes)
            places = [place for place in free if generator.random() < rate] or [int(generator.choice(free))]
            for place in places:
                step = 1 + int(generator.integers(lengths[place] - 1))
                changed[place] = (changed[place] + step) % lengths[place]
            yield tuple(changed)

    def record(self) -> dict[str, Any]:
        """As JSON holds it."""
        return dataclasses.asdict(self)


def mobile_space(*input_sizes: int) -> Space:
    """The space around MobileNetV2 0.35 to 1.0 and MobileNetV3-Small: about 10¹² networks of six stages.

    Args:
        *input_sizes: Sides of the image in pixels, one or more.
    """
    first = StageChoices((8, 16), (1,), 1, expansion=(1,))
    rows = (
        StageChoices((8, 16, 24)),
        StageChoices((16, 24, 32)),
        StageChoices((24, 40, 64), (1, 2, 3, 4)),
        StageChoices((32, 64, 96), strides=1),
        StageChoices((56, 96, 160)),
    )
    return Space((first, *rows), tuple(sorted(input_sizes)))


def _columns() -> list[str]:
    """The columns of a stage that are decided."""
    return [field.name for field in dataclasses.fields(StageChoices) if field.name != "strides"]
