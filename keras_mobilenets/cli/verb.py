"""Verbs: each is a module with its purpose, an example, its arguments and what it does."""

import argparse
import re
from collections.abc import Sequence
from typing import Any, NoReturn, Protocol


class Verb(Protocol):
    """What a verb's module holds; its last name is the verb's.

    Attributes:
        PURPOSE: One line for the list of verbs.
        EXAMPLE: For its own help.
    """

    __name__: str
    PURPOSE: str
    EXAMPLE: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Adds the verb's arguments. Nothing heavy may be imported, so that --help answers at once."""

    def run(self, options: argparse.Namespace) -> int | None:
        """Carries it out; the exit code, 0 when None."""


class Parser(argparse.ArgumentParser):
    """A parser that answers a mistake with one line."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **settings)
        self._negative_number_matcher = re.compile(r"-\d")  # a value: "-1..1" is no option either

    def error(self, message: str) -> NoReturn:
        """Ends with code 2."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def add_verbs(parser: argparse.ArgumentParser, verbs: Sequence[Verb]) -> Any:
    """Adds verbs below a parser; each sets `verb`, the function that carries it out.

    Args:
        parser: The program's, or that of a verb with verbs of its own.
        verbs: Modules as `Verb` says.

    Returns:
        What further parsers can be added to.
    """
    below = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for verb in verbs:
        name = verb.__name__.rpartition(".")[2]
        added = below.add_parser(
            name, help=verb.PURPOSE, description=verb.PURPOSE, epilog=f"example:\n  {verb.EXAMPLE}"
        )
        verb.add_arguments(added)
        added.set_defaults(verb=verb.run)
    return below
