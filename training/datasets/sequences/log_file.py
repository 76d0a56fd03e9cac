"""A log in a CSV file: columns of users, items and times under their names, others beside them."""

import csv
from pathlib import Path

import numpy as np

from keras_mobilenets.errors import UserError, first_line
from keras_mobilenets.training.datasets.sequences.log import Log

# Without "_" and capitals: those of MovieLens' ratings.csv are userId, movieId, timestamp.
COLUMNS = {
    "user": ("user", "userid"),
    "item": ("item", "itemid", "movieid"),
    "timestamp": ("timestamp", "time"),
}


def read_log(path: Path) -> Log:
    """Reads a log; its items are in the order of their names, numbers by their value.

    Raises:
        UserError: A column is missing, a line has no number as its time, or the file cannot be read.
    """
    users: list[str] = []
    items: list[str] = []
    times: list[float] = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file)
            places = _places(next(rows, []), path)
            for row in rows:
                if row:
                    user, item, time = (row[place] for place in places)
                    users.append(user)
                    items.append(item)
                    times.append(float(time))
    except (ValueError, IndexError) as error:
        line = f"line {rows.line_num}" if "rows" in locals() else "its text"
        raise UserError(f"{path}: {line} is no user, item and time in seconds: {first_line(error)}") from error
    except (OSError, csv.Error) as error:
        raise UserError(f"{path} cannot be read: {first_line(error)}") from error
    return numbered(str(path), users, items, np.array(times), dict(zip(items, items, strict=True)))


def numbered(name: str, users: list[str], items: list[str], times: np.ndarray, titles: dict[str, str]) -> Log:
    """A log of users and items that are called by names.

    Args:
        name: What the log is called.
        users: Of each interaction.
        items: Likewise.
        times: Likewise.
        titles: What an item is shown as; where several have one title, their names stand behind it.
    """
    known = sorted(set(items), key=_place)
    numbers = {item: number for number, item in enumerate(known)}
    shown = [titles[item] for item in known]
    twice = {title for title in shown if shown.count(title) > 1} if len(set(shown)) < len(shown) else set()
    names = [f"{title} [{item}]" if title in twice else title for item, title in zip(known, shown, strict=True)]
    _, codes = np.unique(np.array(users), return_inverse=True)
    return Log(name, codes.astype(np.int64), np.array([numbers[item] for item in items], np.int64), times, names)


def _place(item: str) -> tuple[float, str]:
    return (float(item), "") if item.isdecimal() else (float("inf"), item)


def _places(header: list[str], path: Path) -> list[int]:
    names = [name.strip().lower().replace("_", "") for name in header]
    places = []
    for wanted, known in COLUMNS.items():
        found = [place for place, name in enumerate(names) if name in known]
        if len(found) != 1:
            raise UserError(f"{path} needs one column {wanted} in its first line, beside user, item and timestamp")
        places += found
    return places
