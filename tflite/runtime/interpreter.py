"""Opens .tflite files in the interpreter, tried in the sandbox first; times a cold start in a process of its own."""

import contextlib
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.graph.file_identifier import check_file
from keras_mobilenets.tflite.runtime.exported_file import is_exported, open_exported, runtime
from keras_mobilenets.tflite.runtime.exported_model import ExportedModel
from keras_mobilenets.tflite.runtime.model import InputShape, Model, load, one_line
from keras_mobilenets.tflite.runtime.sandbox import validate


def open_model(path: str | Path, threads: int = 1, input_shape: InputShape = None) -> Model:
    """Opens a .tflite, ready to run on the CPU with XNNPACK. It has run once in another process by then.

    Args:
        path: The .tflite file.
        threads: CPU threads, 1 or more.
        input_shape: Sizes for an input that leaves them open: the whole shape, or those beyond the batch, such as
            (height, width), or one number for all; the file's own (1, as a rule) when not given.

    Returns:
        A `Model` whose tensors are allocated.

    Raises:
        UserError: The file is missing, is no .tflite, or is damaged; as `UnsupportedModelError` where the file is sound
            but holds an operator that the runtime lacks, or needs another `input_shape`.
    """
    check_file(path)
    if threads < 1:
        raise UserError(f"threads is {threads}; give 1 or more")
    validate(path, input_shape=input_shape)
    return load(path, threads, input_shape)


def open_any(path: str | Path, threads: int = 1, input_shape: InputShape = None) -> Model | ExportedModel:
    """As `open_model`, of a file of another runtime too, by its suffix."""
    return (open_exported if is_exported(path) else open_model)(path, threads, input_shape)


@dataclass(frozen=True)
class ColdStart:
    """What a fresh process pays for a model before its second inference."""

    init_ms: float
    first_inference_ms: float
    peak_mem_mb: float | None


def cold_start(path: str | Path, threads: int = 1, input_shape: InputShape = None) -> ColdStart:
    """Opens a model and runs it once in a process of its own.

    Only there do the caches, the allocator and the peak of memory belong to this model alone. A file that crashes the
    runtime takes that process down, not the caller's.

    Args:
        path: The .tflite file.
        threads: CPU threads, 1 or more.
        input_shape: As in `open_model`.

    Returns:
        Milliseconds to open and to run first, and the memory it needed (10⁶ bytes; None without Linux's /proc).

    Raises:
        UserError: The file is refused, or crashes the runtime.
    """
    if is_exported(path):
        runtime(path)
    else:
        check_file(path)
        validate(path, input_shape=input_shape)
    command = [sys.executable, "-m", "keras_mobilenets.tflite.runtime.interpreter"]
    command.append(json.dumps({"path": str(path), "threads": threads, "input_shape": input_shape}))
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode < 0:
        raise UserError(f"{path} crashes the runtime (signal {-done.returncode}): it is damaged; convert it again")
    try:
        answer = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, json.JSONDecodeError):
        reason = one_line(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "no output")
        raise UserError(f"{path} could not be run in a process of its own: {reason}") from None
    if "error" in answer:
        raise UserError(answer["error"])
    return ColdStart(**answer)


def _cold_start_here(path: str, threads: int, input_shape: InputShape) -> dict[str, float | None]:
    """The child's side of `cold_start`."""
    if is_exported(path):  # importing Python code is not the model's cost
        runtime(path)
    else:
        import ai_edge_litert.interpreter  # noqa: F401

    before = _memory_mb("VmRSS")
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # lets VmHWM start again from here
    start = time.perf_counter_ns()
    model = (open_exported if is_exported(path) else load)(path, threads, input_shape)
    opened = time.perf_counter_ns()
    model.feed_noise()
    fed = time.perf_counter_ns()
    model.invoke()
    ran = time.perf_counter_ns()
    peak = _memory_mb("VmHWM")
    used = None if before is None or peak is None else round(peak - before, 3)
    return {"init_ms": (opened - start) / 1e6, "first_inference_ms": (ran - fed) / 1e6, "peak_mem_mb": used}


def _memory_mb(name: str) -> float | None:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(name + ":")), None)


if __name__ == "__main__":
    try:
        print(json.dumps(_cold_start_here(**json.loads(sys.argv[1]))))
    except UserError as refused:
        print(json.dumps({"error": str(refused)}))
