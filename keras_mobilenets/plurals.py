"""Numbers of things in messages and tables."""


def count(number: int | None, thing: str) -> str:
    """A number with its noun: "1 thread", "2 threads", "3 boxes", "unknown threads"."""
    ending = "es" if thing.endswith("x") else "s"
    return f"{'unknown' if number is None else number} {thing}{ending * (number != 1)}"
