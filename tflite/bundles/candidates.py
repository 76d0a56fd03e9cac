"""The .tflite files that a bundle is asked for, what their run folders say of them, and their names in the bundle."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_mobilenets.errors import UserError
from keras_mobilenets.files import read_json, sha256
from keras_mobilenets.tflite.results.results import Row, read_results
from keras_mobilenets.tflite.results.tables import COMPRESSIONS, compression_of, split

_QUANTIZATIONS = ("float32", "float16", "dynamic", "int8")  # what a run's files end in

NOT_A_NAME = re.compile(r"[^A-Za-z0-9._+-]+")


@dataclass(frozen=True)
class Candidate:
    """A .tflite, and what the run folder that it lies in says."""

    path: Path
    run: dict[str, Any]
    row: Row

    @property
    def data(self) -> dict[str, Any]:
        """What the run says of its data; empty without a run."""
        return self.run.get("data", {})


def candidates(sources: Sequence[str | Path]) -> list[Candidate]:
    """The .tflite files of run folders, or the files themselves.

    Raises:
        UserError: There is none.
    """
    found = []
    for source in map(Path, sources):
        if source.is_dir():
            paths = sorted(source.glob("*.tflite"), key=_place)
            if not paths:
                raise UserError(f"{source} holds no .tflite files; run keras-mobilenets convert {source}")
        else:
            paths = [source]
        record, measured = paths[0].parent / "run.json", paths[0].parent / "results.json"
        run = read_json(record) if record.exists() else {}
        results = read_results(measured) if measured.exists() else None
        for path in paths:
            if not path.is_file():
                raise UserError(f"{path} does not exist; give run folders or .tflite files")
            same = results and results.environment["model_sha256"].get(path.name) == sha256(path)
            rows, _ = split(results.rows if results and same else ())
            row = next((row for row in rows if row.model == path.stem), Row(path.stem))
            found.append(Candidate(path, run, row))
    if not found:
        raise UserError("there is nothing to bundle; give run folders or .tflite files")
    return found


def _place(path: Path) -> tuple[int, int, str]:
    """Where a run's file stands: float32 first, the compressed ones last."""
    compression, quantization = compression_of(path), path.stem.rpartition("_")[2]
    return (
        list(COMPRESSIONS).index(compression) + 1 if compression else 0,
        _QUANTIZATIONS.index(quantization) if quantization in _QUANTIZATIONS else len(_QUANTIZATIONS),
        path.name,
    )


def names(given: Sequence[Candidate]) -> list[str]:
    """What the models are called: the file's name, behind the folder's where two files share theirs.

    Raises:
        UserError: Two of them would be called alike.
    """
    times = Counter(each.path.stem for each in given)
    names = [
        NOT_A_NAME.sub("_", each.path.stem if times[each.path.stem] == 1 else _with_folder(each.path)).lstrip(".-+")[
            :100
        ]
        for each in given
    ]
    for number, name in enumerate(names):
        if name in names[:number]:
            first, second = given[names.index(name)].path, given[number].path
            raise UserError(f"{first} and {second} would both be called {name}; rename one or leave it out")
    return [name or "model" for name in names]


def _with_folder(path: Path) -> str:
    return f"{path.resolve().parent.name}_{path.stem}"
