"""The published figures of every variant, from `models.csv` in the package."""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from keras_mobilenets.errors import UserError, unknown
from keras_mobilenets.variant import label, network_arguments, parse_arguments, parse_remarks


@dataclass(frozen=True)
class Published:
    """One published variant.

    Attributes:
        builder: Name of the builder, such as "MobileNetV2".
        arguments: What the builder is given; values are numbers or booleans.
        input_size: Side of the square input in pixels; text for other inputs ("49x10").
        parameters: Trainable parameters.
        macs_millions: Multiply-adds of one inference, in millions.
        imagenet_top1: Top-1 accuracy on ImageNet's validation set in percent; on Speech Commands of what hears.
        source: Where the accuracy was published.
        remarks: What else distinguishes it, such as "12 classes".
    """

    builder: str
    arguments: dict[str, Any]
    input_size: int | str
    parameters: int
    macs_millions: float
    imagenet_top1: float
    source: str
    remarks: tuple[str, ...] = ()

    @property
    def is_of_images(self) -> bool:
        """Whether the network takes images."""
        return isinstance(self.input_size, int)

    @property
    def label(self) -> str:
        """The variant in one word: `MobileNetV2(alpha=0.5) 224`."""
        return label(self.builder, self.arguments, self.input_size, self.remarks)


@cache
def table() -> tuple[Published, ...]:
    """Every row of models.csv, in its order."""
    text = (files("keras_mobilenets.costs") / "models.csv").read_text(encoding="utf-8")
    return tuple(
        Published(
            row["builder"],
            parse_arguments(row["arguments"]),
            int(row["input_size"]) if row["input_size"].isdigit() else row["input_size"],
            int(row["parameters"]),
            float(row["macs_millions"]),
            float(row["imagenet_top1"]),
            row["source"],
            parse_remarks(row["arguments"]),
        )
        for row in csv.DictReader(text.splitlines())
    )


def reference(model: str, *, input_size: int | None = None, **arguments: Any) -> Published:
    """The published figures of a variant: `km.reference("MobileNetV2", alpha=0.5)`.

    Args:
        model: Name of the builder, in any case.
        input_size: Side of the input in pixels; the size of the best published accuracy when not given.
        **arguments: The builder's arguments that name the variant (alpha defaults to 1).

    Returns:
        The row of models.csv.

    Raises:
        UserError: Nothing was published for the model, or for that variant of it.
    """
    rows = [row for row in table() if row.builder.lower() == str(model).lower()]
    if not rows:
        raise unknown("published model", model, sorted({row.builder for row in table()}), "keras-mobilenets models")
    wanted = network_arguments(arguments)
    matching = [
        row for row in rows if network_arguments(row.arguments) == wanted and input_size in (None, row.input_size)
    ]
    if not matching:
        have = ", ".join(row.label for row in rows)
        raise UserError(f"no figures were published for that variant of {rows[0].builder}; there are: {have}")
    return max(matching, key=lambda row: row.imagenet_top1)
