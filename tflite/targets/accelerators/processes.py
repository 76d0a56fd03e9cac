"""Runs a program of `programs/` in a process of its own, where a crash or a hang of native code stays."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_mobilenets.errors import LONGEST, UserError
from keras_mobilenets.plurals import count
from keras_mobilenets.progress import track

PROGRAMS = Path(__file__).parent / "programs"

_EMPTY = re.compile(
    r"I\d{4} |INFO|WARNING: Logging before|.*ERROR: \[[^\]]*\]$"
)  # chatter, and places without a reason
_PREFIX = re.compile(r"^[WEF]\d{4} [^\]]*\] ")  # time, thread and place
_TELLING = re.compile(r"error|fail|abort|fatal|cannot|exception|check", re.IGNORECASE)


@dataclass(frozen=True)
class Answer:
    """What a program found.

    Attributes:
        outputs: The model's raw outputs, images×..., in its own dtype; None from a program that gives none.
        values: What else it says.
        log: Everything that it and native code under it wrote to standard error.
    """

    outputs: np.ndarray | None
    values: dict[str, Any]
    log: str


def run(
    python: Path,
    program: str,
    arguments: Mapping[str, Any],
    inputs: np.ndarray | None = None,
    *,
    what: str,
    seconds: float = 120,
    variables: Mapping[str, str] | None = None,
) -> Answer:
    """Runs a program and gives its answer.

    The program is called with a folder, in which it finds `arguments.json` and, if there are inputs, `inputs.npy`. It
    prints a line after each image, and writes `values.json` and, if it runs the model, `outputs.npy` there. Where it
    cannot answer, `values.json` holds the reason as `error`.

    Args:
        python: The Python of the program's environment.
        program: Such as "gpu" for `programs/gpu.py`.
        arguments: What can be JSON; paths become text.
        inputs: Images×height×width×channels in the model's own input dtype.
        what: Such as "m.tflite on the GPU delegate": for messages and the progress bar.
        seconds: The longest time without a line: to start, and for each image.
        variables: Environment variables beside this process's own.

    Raises:
        UserError: It crashed, took too long, or cannot answer.
    """
    with tempfile.TemporaryDirectory(prefix="keras_mobilenets_") as name:
        folder = Path(name)
        (folder / "arguments.json").write_text(json.dumps(arguments, default=str), encoding="utf-8")
        if inputs is not None:
            np.save(folder / "inputs.npy", inputs, allow_pickle=False)
        isolation = "-P" if python == Path(sys.executable) else "-I"  # nothing of this process in another environment
        with open(folder / "log", "wb") as log:
            process = subprocess.Popen(
                [str(python), isolation, str(PROGRAMS / f"{program}.py"), name],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **(variables or {})},
                start_new_session=True,  # what it starts is stopped with it
            )
        lines, images = _lines(process, seconds, what), None if inputs is None else len(inputs)
        for _ in track(lines, f"Asking {what}" if inputs is None else f"Running {what}", total=images):
            pass
        said = (folder / "log").read_text("utf-8", "replace")
        if process.returncode:
            how = f"crashed (signal {-process.returncode})" if process.returncode < 0 else "failed"
            raise UserError(f"{what} {how}: {telling_line(said)}")
        try:
            values = json.loads((folder / "values.json").read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"{what} failed: it gave no answer") from error
        if "error" in values:
            raise UserError(f"{what}: {values['error']}")
        written = folder / "outputs.npy"
        outputs = np.load(written, allow_pickle=False) if written.exists() else None
        answered = 0 if outputs is None else len(outputs)
        if images is not None and answered != images:
            raise UserError(f"{what} failed: it answered {answered} of {count(images, 'image')}")
        return Answer(outputs, values, said)


def telling_line(log: str) -> str:
    """The line of a log that says what went wrong: the last that speaks of a failure, or the last."""
    lines = [line for line in map(str.strip, log.splitlines()) if line and not _EMPTY.match(line)]
    failures = [line for line in lines if _TELLING.search(line)]
    return _PREFIX.sub("", (failures or lines or ["it said nothing"])[-1])[:LONGEST]


def _lines(process: "subprocess.Popen[bytes]", seconds: float, what: str) -> Iterator[bytes]:
    """The lines that a process prints until it ends; it is stopped where one is late, or the caller turns away."""
    late = threading.Event()
    assert process.stdout

    def stop() -> None:
        late.set()
        _kill(process)

    try:
        line = b"\n"
        while line:
            timer = threading.Timer(seconds, stop)
            timer.start()
            try:
                line = process.stdout.readline()
                if not line:
                    process.wait()
            finally:
                timer.cancel()
            if line:
                yield line
        if late.is_set():
            raise UserError(f"{what} took more than {seconds:g} s without a sign of progress and was stopped")
    finally:
        _kill(process)
        process.stdout.close()
        process.wait()


def _kill(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:  # Windows
            process.kill()
