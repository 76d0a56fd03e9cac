"""Numbers of things in messages and tables."""


def count(number: int | None, thing: str) -> str:
    """A number with its noun: "1 thread", "2 threads", "unknown threads"."""
    return f"{'unknown' if number is None else number} {thing}{'s' * (number != 1)}"
