"""Numbers and lists of things in messages and tables."""

from collections.abc import Sequence


def count(number: int | None, thing: str) -> str:
    """A number with its noun: "1 thread", "2 threads", "3 boxes", "unknown threads"."""
    ending = "es" if thing.endswith("x") else "s"
    return f"{'unknown' if number is None else number} {thing}{ending * (number != 1)}"


def listed(names: Sequence[str], most: int = 5) -> str:
    """The first names and the number of the others: "a, b, c, d, e and 2 more"."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
