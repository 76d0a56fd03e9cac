"""What targets' own tools estimate of a run's .tflite files, beside what is measured."""

from collections.abc import Sequence
from typing import Any

from keras_mobilenets.pipeline.folder import RunFolder, alone

OF_THE_FILE = ("compression", "gzip_size_mb", "sparsity", "parameters", "macs")  # taken over where they are known


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
