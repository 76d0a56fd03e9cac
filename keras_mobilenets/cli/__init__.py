"""The command line `keras-mobilenets`: a thin layer of verbs over the library; nothing imports it."""

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator, Sequence

from keras_mobilenets.cli.parser import make_parser
from keras_mobilenets.errors import UserError, first_line


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb.

    Args:
        arguments: What stands behind the program's name; by default what it was started with.

    Returns:
        0, or 1 when a comparison that was asked for fails, or 2 after an error the user can mend (one line on standard
        error), or 130 after Ctrl-C.
    """
    options = make_parser().parse_args(arguments)
    try:
        with contextlib.nullcontext() if options.debug else plain_warnings():
            code = options.verb(options)
        sys.stdout.flush()
        return code or 0
    except UserError as error:
        return _refuse(str(error), options.debug)
    except BrokenPipeError:  # `keras-mobilenets models | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        return _refuse(f"{error.filename or 'file'}: {first_line(error)}", options.debug)
    except KeyboardInterrupt as stop:
        print(f"\n{str(stop) or 'stopped; the same command goes on where this one was'}", file=sys.stderr)
        return 130
    return 0


@contextlib.contextmanager
def plain_warnings() -> Iterator[None]:
    """Words warnings as the command line words its errors, without the line of code that gave them."""

    def one_line(message: Warning | str, *_: object, **__: object) -> str:
        return f"keras-mobilenets: {' '.join(str(message).split())}\n"

    kept, warnings.formatwarning = warnings.formatwarning, one_line
    try:
        yield
    finally:
        warnings.formatwarning = kept


def _refuse(message: str, debug: bool) -> int:
    if debug:
        raise
    print(f"keras-mobilenets: {' '.join(message.split())}", file=sys.stderr)
    return 2
