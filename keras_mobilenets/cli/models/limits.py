"""The limits that `models` and `choose` take."""

from argparse import ArgumentParser, ArgumentTypeError


def add_limits(parser: ArgumentParser) -> None:
    """Adds the most parameters and multiply-adds, and the family."""
    parser.add_argument(
        "--max-params", type=count, default=float("inf"), metavar="N", help="parameters at most, such as 4M"
    )
    parser.add_argument(
        "--max-macs", type=count, default=float("inf"), metavar="N", help="multiply-adds at most, such as 300M"
    )
    parser.add_argument("--family", default="", metavar="NAME", help="only models whose name contains this")


def count(text: str) -> float:
    """A positive number that may end in K, M or G: "300M"."""
    units = {"K": 1e3, "M": 1e6, "G": 1e9}
    try:
        value = float(text[:-1]) * units[text[-1].upper()] if text[-1:].upper() in units else float(text)
    except ValueError:
        value = 0.0
    if not value > 0:
        raise ArgumentTypeError(f"{text!r} is not a number such as 4M, 300M or 1.5G")
    return value
