"""What targets' own tools estimate of a run's .tflite files, beside what is measured."""

from collections.abc import Sequence
from typing import Any

from keras_mobilenets.pipeline.folder import RunFolder, alone, quantization_of
from keras_mobilenets.plurals import count

OF_THE_FILE = ("compression", "gzip_size_mb", "sparsity", "parameters", "macs")  # taken over where they are known
USUAL = {"recording": ("micro",)}  # targets that are asked where nothing is said, by the kind of the examples
COMPARED = 16  # examples


def asked_targets(on: Sequence[str] | None, kind: str) -> tuple[list[str], list[str]]:
    """Which targets a network is asked about.

    Args:
        on: Names of targets, as in `tflite.estimate`; None for those that are usual.
        kind: What one of the network's examples is called, such as "recording".

    Returns:
        Those that can be asked here, and for each usual one that cannot a line that says how it can.

    Raises:
        UserError: A target of `on` cannot be asked here.
    """
    from keras_mobilenets.tflite.measurement.estimates import targets
    from keras_mobilenets.tflite.targets.checks import TARGETS

    if on is not None:
        return targets(on), []
    needs = {name: TARGETS[name].environment for name in USUAL.get(kind, ())}
    missing = {name: line for name, needed in needs.items() if needed and (line := needed.missing())}
    return [name for name in needs if name not in missing], list(missing.values())


@alone
def estimate(run: RunFolder, on: Sequence[str], again: bool = False) -> list[Any]:
    """Asks targets' tools about every .tflite; what was estimated stays.

    Args:
        run: The run, or a folder of .tflite files.
        on: Names of targets, as in `tflite.estimate`.
        again: Whether to ask for what was estimated before, such as by another version of a tool.

    Returns:
        The estimated rows of results.json, those of other targets too.

    Raises:
        UserError: As of `tflite.estimate`.
    """
    from keras_mobilenets import tflite
    from keras_mobilenets.tflite.measurement.estimates import targets

    files, rows, known = run.tflite_files(), run.rows(), run.estimates()
    asked = [(row.backend, row.model) for row in known]
    todo = [target for target in targets(on) if again or any((target, path.stem) not in asked for path in files)]
    if todo:
        fresh = []
        for row in tflite.estimate(files, todo):
            same = next(each for each in rows if each.model == row.model)
            facts = {name: value for name in OF_THE_FILE if (value := getattr(same, name)) is not None}
            fresh.append(row.with_(**facts))
        known = [row for row in known if row.backend not in todo] + fresh
        run.write(rows, known)
    return run.ordered(known)


def agreements(run: RunFolder, on: Sequence[str]) -> list[str]:
    """Runs the int8 files on targets, and on TensorFlow Lite's reference kernels, which say what they should answer.

    Args:
        run: The run, with its data.
        on: Names of targets; those that run nothing here are passed over.

    Returns:
        A line for each file and target.

    Raises:
        UserError: A target fails.
    """
    import numpy as np

    from keras_mobilenets import tflite
    from keras_mobilenets.tflite.targets.checks import find, full_name

    runners = [full_name(target) for target in on if find(target)[0].run]
    data = run.data() if runners else None
    if data is None or data.task.name == "detection":  # whose boxes are evaluated on the CPU alone
        return []
    refused = {(row.model, row.backend) for row in run.estimates() if row.status != "ok"}
    examples, _ = data.inputs("test", COMPARED)
    many, lines = count(len(examples), data.kind.noun), []
    for path in run.tflite_files():
        asked = [target for target in runners if (path.stem, target) not in refused]
        if quantization_of(path) != "int8" or not asked:
            continue
        wanted = tflite.evaluate(path, examples, on="reference").predictions
        for target in asked:
            found = tflite.evaluate(path, examples, on=target).predictions
            said = f"by up to {np.abs(found - wanted).max():.2g} other than"
            said = "bit for bit as" if np.array_equal(found, wanted) else said
            lines.append(f"{path.name} on {target}: answers {said} the reference kernels, on {many}")
    return lines
