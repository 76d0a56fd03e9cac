"""Latency against a baseline run, an earlier results.json, for continuous integration: which rows are slower."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keras_mobilenets.plurals import count
from keras_mobilenets.tflite.results import tables
from keras_mobilenets.tflite.results.results import Results, Row, dtype_of

if TYPE_CHECKING:
    from rich.table import Table

Key = tuple[str, str | None, str | None, int | None]
MACHINE_CHANGED = 0.05  # of the roofline, from which on the comparison says so


@dataclass(frozen=True)
class Comparison:
    """Rows of two files that are of the same model, quantization, backend and threads.

    Attributes:
        pairs: (before, now).
        missing: Rows of before that are not measured now, in words.
        added: Rows of now that were not measured before, in words.
        warnings: What else differs between the two measurements, one line each.
        fail_over: How much slower a row may be, 0.05 for 5 %.
    """

    pairs: tuple[tuple[Row, Row], ...]
    missing: tuple[str, ...]
    added: tuple[str, ...]
    warnings: tuple[str, ...]
    fail_over: float

    @property
    def slower(self) -> tuple[tuple[Row, Row], ...]:
        """The pairs that are slower by more than `fail_over`."""
        return tuple(pair for pair in self.pairs if ratio(*pair) > 1 + self.fail_over)

    @property
    def ok(self) -> bool:
        """Whether nothing became slower by more than that, and something was compared."""
        return bool(self.pairs) and not self.slower

    def table(self) -> "Table":
        """The ratios, for the terminal."""
        from rich.box import SIMPLE_HEAD
        from rich.table import Table

        grid = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
        for title in ("model", "backend", "threads", "before ms", "now ms", "ratio", ""):
            grid.add_column(title, justify="left" if title in ("model", "backend", "") else "right")
        for before, now in self.pairs:
            grid.add_row(
                now.model,
                now.backend or tables.UNKNOWN,
                tables.number(now.threads),
                tables.milliseconds(before.median_ms),
                tables.milliseconds(now.median_ms),
                f"{ratio(before, now):.3f}",
                f"slower than {self.fail_over:.0%} allow" if (before, now) in self.slower else "",
            )
        return grid


def compare(before: Results, now: Results, fail_over: float = 0.05) -> Comparison:
    """Compares medians, as they were measured.

    Args:
        before: The baseline run.
        now: The new measurement.
        fail_over: How much slower a row may be, 0.05 for 5 %.
    """
    old, new = ({_key(row): row for row in results.rows if row.median_ms} for results in (before, now))
    pairs = tuple((old[key], row) for key, row in new.items() if key in old)
    return Comparison(
        pairs=pairs,
        missing=tuple(_words(key) for key in old if key not in new),
        added=tuple(_words(key) for key in new if key not in old),
        warnings=(*_differences(before.environment, now.environment, pairs), *_machine(pairs)),
        fail_over=fail_over,
    )


def ratio(before: Row, now: Row) -> float:
    """The new median over the old one."""
    return (now.median_ms or 0.0) / (before.median_ms or 1.0)


def _key(row: Row) -> Key:
    return row.model, row.quantization, row.backend, row.threads


def _words(key: Key) -> str:
    model, _, backend, threads = key
    return f"{model} on {backend or 'an unknown backend'} with {count(threads, 'thread')}"


def _differences(before: dict[str, Any], now: dict[str, Any], pairs: Sequence[tuple[Row, Row]]) -> list[str]:
    names = ("device", "soc", "runtime", "runtime_version", "threads_available")
    said = [
        f"{name.replace('_', ' ')} was {before.get(name)}, is {now.get(name)}"
        for name in names
        if before.get(name) != now.get(name)
    ]
    then, today = (
        {file.removesuffix(".tflite"): sha for file, sha in side.get("model_sha256", {}).items()}
        for side in (before, now)
    )
    models = dict.fromkeys(row.model for _, row in pairs)
    changed = [
        model for model in models if None not in (then.get(model), today.get(model)) and then[model] != today[model]
    ]
    return said + ([f"another file than then: {', '.join(changed)}"] if changed else [])


def _machine(pairs: Sequence[tuple[Row, Row]]) -> list[str]:
    """Says where the machine itself is not what it was, by its roofline."""
    rates = {}
    for before, now in pairs:
        then, today = _best_rate(before), _best_rate(now)
        if then and today:
            rates[dtype_of(now.quantization), now.threads] = today / then
    return [
        f"the machine's best {dtype} convolution with {count(threads, 'thread')} runs at {change:.2f} times the rate "
        "of then; ratios are not corrected for it"
        for (dtype, threads), change in rates.items()
        if abs(change - 1) > MACHINE_CHANGED
    ]


def _best_rate(row: Row) -> float | None:
    return row.gmacs_per_s / row.limit_share if row.gmacs_per_s and row.limit_share else None
