"""results.json: one measurement per row, and where it was measured; the Android app writes the same file.

The format is results.schema.json beside this module (JSON Schema 2020-12). Unknown values are null.
"""

import dataclasses
import datetime
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_mobilenets.files import read_json, sha256, write_json
from keras_mobilenets.processors import usable_threads
from keras_mobilenets.tflite.results import json_schema

SCHEMA = Path(__file__).with_name("results.schema.json")
SCHEMA_VERSION = 1
FIGURES = {  # of how good a model's answers are; the first that is known leads
    "top1": "top-1",
    "map50": "mAP@0.5",
    "map": "mAP",
    "f1": "F1",
    "ndcg10": "NDCG@10",
    "hr10": "HR@10",
}
ON_CPU = ("cpu", "xnnpack", "onnxruntime", "openvino")  # what the backends of the CPU begin with


@dataclass(frozen=True)
class Row:
    """One model on one backend; times in milliseconds, sizes in 10⁶ bytes, accuracy and sparsity 0..1.

    The schema says more. A file may lack the last ones, from `compression` on. A row that is `estimated` has what the
    tool of its backend says in `estimate_ms` and `memory` (bytes by name), and no measured figure.
    """

    model: str
    quantization: str | None = None
    backend: str | None = None
    threads: int | None = None
    parameters: int | None = None
    macs: int | None = None
    model_size_mb: float | None = None
    num_runs: int | None = None
    num_warmup_runs: int | None = None
    init_ms: float | None = None
    first_inference_ms: float | None = None
    median_ms: float | None = None
    avg_ms: float | None = None
    min_ms: float | None = None
    max_ms: float | None = None
    stddev_ms: float | None = None
    p5_ms: float | None = None
    p90_ms: float | None = None
    p95_ms: float | None = None
    peak_mem_mb: float | None = None
    top1: float | None = None
    max_abs_err: float | None = None
    nodes_total: int | None = None
    nodes_delegated: int | None = None
    partitions: int | None = None
    accelerator: str | None = None
    thermal_start: str | None = None
    thermal_end: str | None = None
    status: str = "ok"
    error: str | None = None
    compression: str | None = None
    gzip_size_mb: float | None = None
    sparsity: float | None = None
    gmacs_per_s: float | None = None
    limit_share: float | None = None
    drift: float | None = None
    peer_ratio: float | None = None
    estimated: bool | None = None
    estimate_ms: float | None = None
    memory: dict[str, int] | None = None
    system: str | None = None
    map: float | None = None
    map50: float | None = None
    f1: float | None = None
    per_class: dict[str, dict[str, float | None]] | None = None
    sustained: dict[str, Any] | None = None
    ndcg10: float | None = None
    hr10: float | None = None

    @property
    def scores(self) -> dict[str, float]:
        """The `FIGURES` that are known, by what people call them."""
        return {words: value for name, words in FIGURES.items() if (value := getattr(self, name)) is not None}

    @property
    def score(self) -> float | None:
        """The figure that says how good its answers are: top-1, mean average precision, NDCG@10."""
        return next(iter(self.scores.values()), None)

    @property
    def score_name(self) -> str | None:
        """What `score` is."""
        return next(iter(self.scores), None)

    @property
    def is_accelerated(self) -> bool:
        """Whether something beside the CPU was asked for."""
        return not (self.backend or "cpu").lower().startswith(ON_CPU)

    @property
    def is_undelegated(self) -> bool:
        """Whether no operator was delegated to the accelerator that was asked for."""
        return self.status == "ok" and self.is_accelerated and 0 in (self.nodes_delegated, self.partitions)

    def with_(self, **values: Any) -> "Row":
        """A copy with more known, such as `row.with_(top1=0.93, parameters=716_298)`."""
        return dataclasses.replace(self, **values)


@dataclass(frozen=True)
class Results:
    """Rows and the environment they were measured in."""

    rows: list[Row]
    environment: dict[str, Any]


def dtype_of(quantization: str | None) -> str:
    """In which numbers a model of that quantization multiplies."""
    return "int8" if quantization in ("int8", "dynamic") else "float32"


def environment(paths: Iterable[str | Path] = ()) -> dict[str, Any]:
    """Describes this machine and these .tflite files, as results.json records them."""
    from importlib import metadata  # a fifth of the time of --help

    try:
        system = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        system = platform.system()
    return {
        "device": f"{platform.machine()} host",
        "soc": _cpu_name(),
        "os": f"{system}, kernel {platform.release()}",
        "runtime": "LiteRT",
        "runtime_version": metadata.version("ai-edge-litert"),
        "threads_available": usable_threads(),
        "timestamp": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "model_sha256": {Path(path).name: sha256(path) for path in paths},
    }


def write_results(path: str | Path, rows: Sequence[Row], environment: dict[str, Any]) -> Path:
    """Writes results.json, checked against its schema first.

    Args:
        path: The file.
        rows: What was measured.
        environment: As `environment()` gives it.

    Raises:
        UserError: A value does not fit the schema, or the file cannot be written.
    """
    content = {
        "schema_version": SCHEMA_VERSION,
        "environment": environment,
        "rows": [dataclasses.asdict(row) for row in rows],
    }
    json_schema.check(content, SCHEMA, path)
    return write_json(path, content)


def read_results(path: str | Path) -> Results:
    """Reads a results.json, from this machine or from a phone.

    Raises:
        UserError: The file is missing, is not JSON, or does not fit the schema.
    """
    content = read_json(path)
    json_schema.check(content, SCHEMA, path)
    return Results([Row(**row) for row in content["rows"]], content["environment"])


def _cpu_name() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Hardware")))
    return next(named, None) or platform.processor() or None
