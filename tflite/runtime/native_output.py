"""Silence for native code that writes to the process's own standard output and error."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def suppress_native_output() -> Iterator[Callable[[], str]]:
    """Keeps what is written to file descriptors 1 and 2, by native code too, away from the terminal.

    Yields:
        A function that returns the last line written so far, for an error message.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    with tempfile.TemporaryFile() as swallowed:

        def last_line() -> str:
            swallowed.seek(0)
            lines = swallowed.read().decode("utf-8", "replace").split("\n")
            return next((" ".join(line.split()) for line in reversed(lines) if line.strip()), "")

        try:
            os.dup2(swallowed.fileno(), 1)
            os.dup2(swallowed.fileno(), 2)
            yield last_line
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, original in zip((1, 2), kept, strict=True):
                os.dup2(original, number)
                os.close(original)
