"""The specification of a network of inverted residuals: a table with a row for each stage, which JSON carries.

The columns are those of MobileNetV2's table 2 (arXiv:1801.04381) and of MobileNetV3's (arXiv:1905.02244). All blocks of
a stage share theirs, as in the search space of MnasNet (arXiv:1807.11626, section 4.1).
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_mobilenets import files
from keras_mobilenets.blocks import make_divisible
from keras_mobilenets.errors import UserError

ACTIVATIONS = ("relu6", "relu", "hard_silu", "silu")
MOST_FILTERS, MOST_REPEATS, LARGEST_KERNEL, MOST_EXPANSION, MOST_STAGES = 8192, 64, 15, 32, 64


@dataclass(frozen=True)
class Stage:
    """One row: blocks of inverted residuals that are alike but for the strides of the first.

    Attributes:
        filters: Output channels (the paper's c).
        repeats: Blocks (n).
        strides: Of the first block (s): 1 or 2.
        expansion: Channels between the bottlenecks, as a multiple of a block's input channels (t).
        kernel_size: Side of the depthwise kernels, odd.
        excite: Whether the depthwise outputs have squeeze-and-excite to a quarter of their channels.
        activation: One of `ACTIVATIONS`.

    Raises:
        UserError: A value is out of range.
    """

    filters: int
    repeats: int = 1
    strides: int = 1
    expansion: float = 6
    kernel_size: int = 3
    excite: bool = False
    activation: str = "relu6"

    def __post_init__(self) -> None:
        """Checks every value."""
        _check_filters(self)
        _check_activation(self)
        for name, good, wanted in (
            ("repeats", _is_whole(self.repeats, MOST_REPEATS), f"a whole number from 1 to {MOST_REPEATS}"),
            ("strides", _is_whole(self.strides, 2), "1 or 2"),
            ("expansion", _is_number(self.expansion, MOST_EXPANSION), f"a number from 1 to {MOST_EXPANSION}"),
            (
                "kernel_size",
                _is_whole(self.kernel_size, LARGEST_KERNEL) and self.kernel_size % 2 == 1,
                f"an odd number up to {LARGEST_KERNEL}",
            ),
            ("excite", isinstance(self.excite, bool), "true or false"),
        ):
            if not good:
                raise UserError(f"a stage's {name} must be {wanted}, not {getattr(self, name)!r}")


@dataclass(frozen=True)
class Spec:
    """A network: a stem, stages of inverted residuals, a 1×1 convolution as head; `str()` of it is the table.

    Attributes:
        stages: The rows, one or more.
        input_size: Side of the image in pixels.
        stem_filters: Channels of the first convolution, 3×3 at stride 2.
        head_filters: Channels of the last convolution.
        activation: Of stem and head.

    Raises:
        UserError: A value is out of range.
    """

    stages: tuple[Stage, ...]
    input_size: int = 224
    stem_filters: int = 32
    head_filters: int = 1280
    activation: str = "relu6"

    def __post_init__(self) -> None:
        """Checks every value."""
        _check_filters(self)
        _check_activation(self)
        if not 1 <= len(self.stages) <= MOST_STAGES:
            raise UserError(f"a network has 1 to {MOST_STAGES} stages, not {len(self.stages)}")
        if not _is_whole(self.input_size, 4096) or self.input_size < 32:
            raise UserError(f"input_size must be a whole number from 32 to 4096, not {self.input_size!r}")

    def record(self) -> dict[str, Any]:
        """As JSON holds it."""
        found = dataclasses.asdict(self)
        return found | {"stages": [dict(stage) for stage in found["stages"]]}

    def digest(self) -> str:
        """Eight letters that tell it from other networks."""
        return hashlib.sha256(json.dumps(self.record(), sort_keys=True).encode()).hexdigest()[:8]

    def scaled(self, alpha: float) -> "Spec":
        """The network with a width multiplier, as MobileNetV2 applies it (section 4): below 1 the head stays."""
        if alpha == 1:
            return self
        stages = [dataclasses.replace(stage, filters=make_divisible(alpha * stage.filters)) for stage in self.stages]
        stem, head = make_divisible(alpha * self.stem_filters), make_divisible(max(1.0, alpha) * self.head_filters)
        return dataclasses.replace(self, stages=tuple(stages), stem_filters=stem, head_filters=head)

    def write(self, path: str | Path) -> Path:
        """Writes it as JSON, for `read_spec`."""
        return files.write_json(path, self.record())

    def __str__(self) -> str:
        rows: list[tuple[str, ...]] = [("t", "c", "n", "s", "kernel", "excite", "activation")]
        for stage in self.stages:
            kernel, excite = f"{stage.kernel_size}×{stage.kernel_size}", "yes" if stage.excite else ""
            numbers = (f"{stage.expansion:g}", stage.filters, stage.repeats, stage.strides)
            rows.append((*map(str, numbers), kernel, excite, stage.activation))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        ends = f"{self.input_size}×{self.input_size} pixels, stem {self.stem_filters}, head {self.head_filters}"
        return "\n".join([f"{ends}, {self.activation}", *lines])


def read_spec(source: "Spec | Mapping[str, Any] | str | Path") -> Spec:
    """The specification that a JSON file, or what was read from one, holds.

    Args:
        source: A path, a mapping as `Spec.record` gives it, or a `Spec`, which is returned.

    Raises:
        UserError: The file cannot be read or says something else; the message names the first mistake.
    """
    if isinstance(source, Spec):
        return source
    where = "the spec" if isinstance(source, Mapping) else str(source)
    record = source if isinstance(source, Mapping) else files.read_json(source)
    try:
        rows = _fields(Spec, record)
        if not isinstance(rows["stages"], list | tuple):
            raise UserError("stages must be a list of rows")
        return Spec(**rows | {"stages": tuple(Stage(**_fields(Stage, row)) for row in rows["stages"])})
    except UserError as error:
        raise UserError(f"{where} is no specification of a network: {error}") from error


def _fields(kind: Any, record: Any) -> dict[str, Any]:
    if not isinstance(record, Mapping):
        raise UserError(f"{kind.__name__.lower()} must be an object with {_names(kind)}")
    known = {field.name: field.default is dataclasses.MISSING for field in dataclasses.fields(kind)}
    for name in record:
        if name not in known:
            raise UserError(f"a {kind.__name__.lower()} has no {name!r}, but {_names(kind)}")
    for name, is_needed in known.items():
        if is_needed and name not in record:
            raise UserError(f"a {kind.__name__.lower()} needs {name!r}")
    return dict(record)


def _names(kind: Any) -> str:
    return ", ".join(field.name for field in dataclasses.fields(kind))


def _check_filters(record: Any) -> None:
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if field.name.endswith("filters") and not _is_whole(value, MOST_FILTERS):
            raise UserError(f"{field.name} must be a whole number from 1 to {MOST_FILTERS}, not {value!r}")


def _check_activation(record: Any) -> None:
    if record.activation not in ACTIVATIONS:
        raise UserError(f"activation must be one of {', '.join(ACTIVATIONS)}, not {record.activation!r}")


def _is_whole(value: Any, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most


def _is_number(value: Any, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 1 <= value <= most
