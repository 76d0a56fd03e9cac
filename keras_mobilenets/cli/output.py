"""What verbs say: tables to standard output, a line on how it goes to standard error."""

import sys
from typing import Any

# Columns of these titles are aligned to the left.
WORDS = (
    *("model", "arguments", "best first", "class", "predicted as"),
    *("target", "what it is", "known by", "what makes it so"),
)


def say(message: str) -> None:
    """A line for the person who waits."""
    print(message, file=sys.stderr, flush=True)


def show(*renderables: Any) -> None:
    """Tables and text, an empty line between; as wide as the terminal, 160 columns in a file."""
    from rich.console import Console

    console = Console()
    Console(width=console.width if console.is_terminal else 160).print(*renderables, sep="\n\n")


def grid(*titles: str) -> Any:
    """An empty table: words to the left, numbers to the right."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for title in titles:
        table.add_column(title, justify="left" if title in WORDS else "right")
    return table
