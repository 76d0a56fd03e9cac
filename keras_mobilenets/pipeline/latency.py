"""The latency of a run's .tflite files on this machine, beside keras.applications' model where asked."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_mobilenets.errors import UserError
from keras_mobilenets.pipeline.folder import RunFolder, alone
from keras_mobilenets.tflite.results.results import FIGURES

# What a row says of a model before it is timed.
KNOWN_BEFORE = (
    "compression",
    "gzip_size_mb",
    "sparsity",
    "parameters",
    "macs",
    *FIGURES,
    "per_class",
    "max_abs_err",
)


@alone
def benchmark(run: RunFolder, threads: Sequence[int] = (1,), again: bool = False, *, peers: bool = False) -> list[Any]:
    """Times every .tflite on this machine, in turns; what was measured stays.

    Args:
        run: The run, or a folder of .tflite files.
        threads: Numbers of CPU threads; each gives rows of its own.
        again: Whether to measure what was measured before.
        peers: Whether the stock models (keras.applications' through the stock converter) take turns too; their
            files and rows go into the folder `peers`.

    Returns:
        The rows of results.json, then those of the stock models.
    """
    from keras_mobilenets import tflite
    from keras_mobilenets.tflite.measurement.latency import with_macs
    from keras_mobilenets.tflite.measurement.stock_models import with_stock_ratios
    from keras_mobilenets.tflite.results.results import environment, write_results

    rows, stock_results = run.rows(), run.folder / "peers" / "results.json"
    todo = [count for count in threads if again or not _is_timed(run, rows, count, peers)]
    if todo:
        files, stock = run.tflite_files(), convert_stock_models(run) if peers else []
        timed = tflite.benchmark([*files, *stock], threads=todo, limit=True)
        mine = [row for row in timed if row.model in {path.stem for path in files}]
        others = [row for row in timed if row not in mine]
        for row in with_stock_ratios(mine, others):
            same = next(known for known in rows if known.model == row.model)
            known = {key: value for key in KNOWN_BEFORE if (value := getattr(same, key)) is not None}
            rows = [r for r in rows if r.model != row.model or r.threads not in (None, row.threads)]
            rows.append(with_macs(row, known.get("macs")).with_(**known))
        run.write(rows)
        if stock:
            write_results(stock_results, others, environment(stock))
    return run.ordered(rows) + (tflite.read_results(stock_results).rows if peers else [])


def convert_stock_models(run: RunFolder) -> list[Path]:
    """Converts keras.applications' counterpart of the run's model, as its .tflite files are quantized.

    Raises:
        UserError: The run does not say what its model is, or there is no counterpart.
    """
    from keras_mobilenets.tflite.measurement import stock_models
    from keras_mobilenets.tflite.runtime.interpreter import open_model

    asked = run.asked.get("train")
    if asked is None:
        raise UserError(f"{run.folder} has no run.json that names its model: --peers needs the folder of a run")
    opened = [open_model(path) for path in run.tflite_files()]
    size, classes = int(opened[0].input["shape"][1]), int(opened[0].output["shape"][-1])
    kinds = [model.quantization() for model in opened]
    return stock_models.convert_stock_models(
        run.folder / "peers", asked["builder"], asked["arguments"], size, classes, kinds
    )


def _is_timed(run: RunFolder, rows: Sequence[Any], threads: int, peers: bool) -> bool:
    """Whether every file was measured with so many threads, beside its stock model where asked."""
    timed = [row for row in rows if row.threads == threads and row.median_ms is not None]
    compared = all(row.peer_ratio for row in timed) if peers else True
    return compared and {row.model for row in timed} >= {path.stem for path in run.tflite_files()}
