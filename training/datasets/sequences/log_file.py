"""Logs in files: CSV with columns of users, items and times under their names, and MovieLens' own forms."""

import contextlib
import csv
import datetime
import math
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from keras_mobilenets.errors import UserError, first_line
from keras_mobilenets.plurals import count
from keras_mobilenets.training.datasets.sequences.log import Log

# Without "_" and capitals: those of MovieLens' ratings.csv are userId, movieId, timestamp.
COLUMNS = {
    "user": ("user", "userid", "uid", "visitorid", "customerid", "reviewerid"),
    "item": ("item", "itemid", "iid", "movieid", "productid", "asin"),
    "timestamp": ("timestamp", "time", "datetime", "date", "unixreviewtime"),
}
MOVIELENS = ["user", "item", "rating", "timestamp"]  # the columns of its ratings.dat and u.data, which have no header
DELIMITERS = {".dat": "::", ".data": "\t"}
# The films' names beside a file of MovieLens: of each file, what stands between number and title.
TITLES = {"movies.csv": ",", "movies.dat": "::", "u.item": "|"}


def read_log(path: Path) -> Log:
    """Reads a log; its items are in the order of their names, numbers by their value.

    Args:
        path: A file whose first line names its columns, between commas, semicolons or tabs; or MovieLens' `ratings.dat`
            or `u.data`. Times are seconds, or dates such as 2019-10-01 12:30:00.

    Raises:
        UserError: A column is missing, a line has no time, or the file cannot be read.
    """
    users: list[str] = []
    items: list[str] = []
    times: list[float] = []
    lines = _lines(path)
    has_header = path.suffix.lower() not in DELIMITERS
    places = _places(next(lines, (1, []))[1] if has_header else MOVIELENS, path)
    for number, fields in lines:
        try:
            if len(fields) <= max(places):
                raise ValueError("a column is missing")
            user, item, time = (fields[place].strip() for place in places)
            if not (user and item):
                raise ValueError("a name is empty")
            times.append(_seconds(time))
        except ValueError as error:
            raise UserError(f"{path}: line {number} is no user, item and time: {first_line(error)}") from error
        users.append(user)
        items.append(item)
    return numbered(str(path), users, items, np.array(times, np.float64), _titles(path.parent, items))


def numbered(name: str, users: list[str], items: list[str], times: np.ndarray, titles: dict[str, str]) -> Log:
    """A log of users and items that are called by names; what is there twice counts once, which a warning says.

    Args:
        name: What the log is called.
        users: Of each interaction.
        items: Likewise.
        times: Likewise.
        titles: What an item is shown as; where several have one title, their names stand behind it.
    """
    known = sorted(set(items), key=_place)
    numbers = {item: number for number, item in enumerate(known)}
    shown = [titles.get(item, item) for item in known]
    twice = {title for title in shown if shown.count(title) > 1} if len(set(shown)) < len(shown) else set()
    names = [f"{title} [{item}]" if title in twice else title for item, title in zip(known, shown, strict=True)]
    _, codes = np.unique(np.array(users), return_inverse=True)
    log = Log(name, codes.astype(np.int64), np.array([numbers[item] for item in items], np.int64), times, names)
    columns = log.times, log.items, log.users
    order = np.lexsort(columns)  # which is stable: of equal events the first one comes first
    kept = np.ones(len(order), bool)
    kept[order[1:]] = np.any([np.diff(column[order]) != 0 for column in columns], axis=0)
    if not kept.all():
        said = count(int((~kept).sum()), "event")
        warnings.warn(f"{name}: left out {said} of the same user, item and time as another", stacklevel=3)
    return log._replace(users=log.users[kept], items=log.items[kept], times=log.times[kept])


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The lines of a file that are not empty: number and fields."""
    own = DELIMITERS.get(path.suffix.lower())
    try:
        with path.open(newline="", encoding="latin-1" if own else "utf-8-sig") as file:
            if own:
                numbered_lines = ((number, line.rstrip("\r\n")) for number, line in enumerate(file, 1))
                yield from ((number, line.split(own)) for number, line in numbered_lines if line)
                return
            start = file.readline()
            file.seek(0)
            rows = csv.reader(file, delimiter=max(",;\t", key=start.count))
            yield from ((rows.line_num, row) for row in rows if row)
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {first_line(error)}") from error


def _titles(folder: Path, items: list[str]) -> dict[str, str]:
    """The titles of a MovieLens folder; none where its films are not those of the log."""
    for name, delimiter in TITLES.items():
        path = folder / name
        if path.is_file():
            encoding, titles = "utf-8-sig" if delimiter == "," else "latin-1", dict[str, str]()
            with (
                contextlib.suppress(OSError, csv.Error),
                path.open(newline="", encoding=encoding, errors="replace") as file,
            ):
                rows = csv.reader(file) if delimiter == "," else (line.split(delimiter) for line in file)
                titles = {row[0]: row[1] for row in rows if len(row) > 1}
            return titles if titles.keys() >= set(items) else {}
    return {}


def _seconds(time: str) -> float:
    try:
        value = float(time)
    except ValueError:
        date = datetime.datetime.fromisoformat(time)
        value = (date if date.tzinfo else date.replace(tzinfo=datetime.UTC)).timestamp()
    if not math.isfinite(value):
        raise ValueError(f"its time is {time}")
    return value


def _place(item: str) -> tuple[float, str]:
    return (float(item), "") if item.isdecimal() else (float("inf"), item)


def _places(header: list[str], path: Path) -> list[int]:
    names = [name.strip().lower().replace("_", "") for name in header]
    places = []
    for wanted, known in COLUMNS.items():
        found = [place for place, name in enumerate(names) if name in known]
        if len(found) != 1:
            raise UserError(
                f"{path} needs one column {wanted} in its first line, beside user, item and timestamp; that line is "
                f"{','.join(header)[:60]!r}"
            )
        places += found
    return places
