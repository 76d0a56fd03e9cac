"""The progress bar every long step shows (on standard error, so that tables can be piped)."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Yields the items while a bar shows how many are done and the time that remains.

    Nothing is drawn when standard error is not a terminal.
    """
    import sys

    from rich.console import Console
    from rich.progress import track as rich_track

    if not sys.stderr.isatty():
        yield from items
        return
    yield from rich_track(items, description, total=total, console=Console(stderr=True), transient=True)
