"""Tries a .tflite in another process first, so that damage which takes the runtime down, or never ends, stays there.

That process has the runtime loaded and forks for each file: 0.2 s for the first file, then little more than the file's
own time. It ends when its standard input closes, with the process that asked.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.runtime.model import InputShape, UnsupportedModelError, load

SECONDS = 60  # to read a file, open it and run it once
MEMORY = 4 << 30  # bytes of address space for that, beside the file; no model for a phone comes near

_Key = tuple[str, int, int, int]
_Answer = tuple[str, bool]  # why a file is refused, or nothing; and whether it is sound all the same


def validate(path: str | Path, *, run: bool = True, input_shape: InputShape = None) -> None:
    """Refuses a .tflite that must not be opened here. A file is tried once, until it changes.

    Args:
        path: The .tflite file, which exists.
        run: Open and run it too; otherwise only its tables are read and checked.
        input_shape: As in `open_model`: it is run with these sizes.

    Raises:
        UserError: The file is damaged, crashes the runtime, or takes more than `SECONDS` or `MEMORY`; as
            `UnsupportedModelError` where it is sound but this runtime does not run it.
    """
    if isinstance(input_shape, Iterable):
        input_shape = [int(size) for size in input_shape]
    key, trial = _key(path), json.dumps(input_shape)
    if trial in _tried.get(key, ()) or (not run and key in _tried):
        return
    question: dict[str, Any] = {"path": str(Path(path).absolute()), "run": run, "input_shape": input_shape}
    with _lock:
        reason, sound = _ask(question) if hasattr(os, "fork") else _try(**question)  # Windows: here, damage and all
    if reason:
        raise (UnsupportedModelError if sound else UserError)(f"{path} {reason}")
    _tried.setdefault(key, set()).update({trial} if run else ())


def mark_valid(path: str | Path) -> None:
    """Marks a file that this process has just written itself as valid: it is not tried."""
    _tried.setdefault(_key(path), set()).add(json.dumps(None))


_tried: dict[_Key, set[str]] = {}  # files whose tables are sound, and the sizes that they were run with
_lock = threading.Lock()
_helper: subprocess.Popen[str] | None = None
_helpers_owner = 0  # the process that started it: a fork of that process must not talk to it


def _key(path: str | Path) -> _Key:
    stat = os.stat(path)
    return os.path.realpath(path), stat.st_ino, stat.st_size, stat.st_mtime_ns


def _ask(question: dict[str, Any]) -> _Answer:
    """The helper's answer."""
    global _helper, _helpers_owner
    if _helper is None or _helpers_owner != os.getpid() or _helper.poll() is not None:
        _helper, _helpers_owner = _start(), os.getpid()
    assert _helper.stdin and _helper.stdout
    try:
        print(json.dumps(question), file=_helper.stdin, flush=True)
        reason, sound = json.loads(_helper.stdout.readline())
        return reason, sound
    except BaseException as error:  # also an interrupt: the next question must not get its answer
        _helper.kill()
        _helper = None
        if isinstance(error, OSError | json.JSONDecodeError):
            return "could not be tried: the process that tries files ended; try again", False
        raise


def _start() -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "keras_mobilenets.tflite.runtime.sandbox"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,  # Ctrl-C is for the process that asks
    )


def _serve() -> None:
    """The helper's side: a line of JSON in, a line of JSON out."""
    import ai_edge_litert.interpreter  # noqa: F401  (once, here; the forks inherit it)

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what native code prints is no answer
    for line in sys.stdin:
        question = json.loads(line)
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                _limit(MEMORY + 2 * os.path.getsize(question["path"]))  # read here, and mapped by the runtime
                print(json.dumps(_try(**question)), file=answers, flush=True)
                os._exit(0)
            os._exit(1)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status != 0:
            print(json.dumps((_end(status), False)), file=answers, flush=True)


def _end(status: int) -> str:
    if status == -signal.SIGALRM:
        return f"is damaged: it was not opened and run once within {SECONDS} s; convert it again"
    how = f"signal {-status}" if status < 0 else "no answer"
    return f"crashes the runtime or asks for more than {MEMORY >> 30} GiB ({how}): it is damaged; convert it again"


def _limit(memory: int) -> None:
    import resource  # not on Windows

    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(SECONDS)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _try(path: str, run: bool, input_shape: InputShape) -> _Answer:
    from keras_mobilenets.tflite.graph import flatbuffer, scale_limits, verifier

    try:
        tables = flatbuffer.read(Path(path).read_bytes(), path)
        verifier.check(tables)
        if run:
            scale_limits.check(tables)
            model = load(path, input_shape=input_shape)
            model.feed_noise()
            model.invoke()
            model.read_outputs()
    except UserError as refusal:
        return str(refusal).removeprefix(path).strip(), isinstance(refusal, UnsupportedModelError)
    except verifier.InvalidModelError as reason:
        return f"is damaged: {reason}; convert it again", False
    except MemoryError:
        return f"is damaged: it asks for more than {MEMORY >> 30} GiB of memory; convert it again", False
    return "", True


if __name__ == "__main__":
    _serve()
