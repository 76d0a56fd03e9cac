"""The arguments of the verbs that work on phones."""

from argparse import ArgumentParser

FOLDER = "runs/phones"  # a folder for each phone's results.json


def add_phones(parser: ArgumentParser) -> None:
    """Adds which phones, and how adb is found."""
    group = parser.add_argument_group("phones")
    group.add_argument(
        "--serial", action="append", default=[], metavar="ID", help="one of adb devices; may be given several times"
    )
    group.add_argument("--in-turn", action="store_true", help="several phones one after the other, not side by side")
    group.add_argument("--adb", metavar="PATH", help="the program (default: adb on PATH)")
