"""What the targets' own tools estimate of .tflite files: rows of results.json in which nothing is measured."""

from collections.abc import Sequence
from pathlib import Path

from keras_mobilenets.errors import LONGEST, UserError
from keras_mobilenets.progress import track
from keras_mobilenets.tflite.results.results import Row
from keras_mobilenets.tflite.runtime.interpreter import open_model
from keras_mobilenets.tflite.targets.checks import TARGETS, check, find, full_name


def estimate(paths: str | Path | Sequence[str | Path], on: str | Sequence[str]) -> list[Row]:
    """Asks targets' own tools for the latency and the memory of models.

    Args:
        paths: .tflite files.
        on: Names of targets whose tools estimate, such as "ethos-u55-128"; as in `check`.

    Returns:
        A row for each target and path, `estimated`, with the target as its backend. `estimate_ms`, None where the tool
        gives none, leaves out operators on the CPU; `memory` is in bytes by the name of the memory; `system` is what
        both hold for. A model of which the target takes no operator, or too few to run it, has a failed row that
        says why.

    Raises:
        UserError: There is no such target, it cannot be asked here, its tools estimate nothing, or a file is missing or
            damaged.
    """
    files = [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]
    if not files:
        raise UserError("there is nothing to estimate; give at least one .tflite file")
    cases = [(path, target) for target in targets(on) for path in files]
    return [_row(*case) for case in track(cases, "Asking the targets' tools")]


def targets(on: str | Sequence[str]) -> list[str]:
    """The full names of targets, once each.

    Raises:
        UserError: There is no such target, its tools estimate nothing, or they are not here.
    """
    names = [full_name(target) for target in ([on] if isinstance(on, str) else on)]
    for name in names:
        found, _ = find(name)
        if not found.estimates:
            others = ", ".join(name for name, target in TARGETS.items() if target.estimates)
            raise UserError(f"no tool estimates what a model takes on {name}: give one of {others}")
        if found.environment:
            found.environment.require()
    return list(dict.fromkeys(names))


def _row(path: Path, target: str) -> Row:
    found = check(path, target)
    row = Row(
        path.stem,
        quantization=open_model(path).quantization(),
        backend=target,
        macs=found.macs or None,
        model_size_mb=round(path.stat().st_size / 1e6, 6),
        nodes_total=found.total,
        nodes_delegated=found.delegated,
        partitions=found.partitions,
        system=found.system or None,
        estimated=True,
    )
    first = next((f"{operator.name}: {operator.reason}" for operator in found.refused), "")
    if found.blocked or not found.delegated:
        return row.with_(
            status="failed", error=f"takes no operator, {found.blocked or first or 'there are none'}"[:LONGEST]
        )
    if found.estimate_ms is None and not found.memory:
        if first:
            return row.with_(status="failed", error=f"has no figure for a part of a model, refuses {first}"[:LONGEST])
        raise UserError(f"{target} estimates neither latency nor memory: inspect --on {target} says what it takes")
    return row.with_(estimate_ms=found.estimate_ms, memory=dict(found.memory) or None)
