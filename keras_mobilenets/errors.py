"""The one kind of error that is the user's to mend."""

import difflib
import re

LONGEST = 300  # characters of another program's message within one of ours
_PLACE = re.compile(r"Exception from \S+:\d+:")  # in the source of OpenVINO


class UserError(ValueError):
    """Something the user gave cannot work; the message is one line that says what to do.

    The command line prints it without a traceback and exits with code 2.
    """


def first_line(error: BaseException) -> str:
    """The first line of an error's message that says something, for a message of one line; else the error's kind.

    The system's errors give their reason alone ("No space left on device"), without number and path.
    """
    return first_of(getattr(error, "strerror", None) or str(error), type(error).__name__)


def first_of(message: str, otherwise: str = "no reason given") -> str:
    """The first line of another program's message that says something; the place in its source does not."""
    lines = (line.strip() for line in message.splitlines())
    return next((line for line in lines if line and not _PLACE.fullmatch(line)), otherwise)[:LONGEST]


def unknown(kind: str, name: str, known: list[str], more: str) -> UserError:
    """The error for a name that is not there, with the closest that are.

    Args:
        kind: What the name should have named, such as "model".
        name: What was given.
        known: Every name that would do.
        more: Where the whole list is, such as "keras-mobilenets models".
    """
    lower, given = {k.lower(): k for k in known}, str(name).lower()
    longer = [key for key in lower if given and key.startswith(given)]
    close = [lower[key] for key in dict.fromkeys([*longer, *difflib.get_close_matches(given, lower, 3)])][:3]
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    return UserError(f"unknown {kind} {name!r}: {hint}{more} lists them all")
