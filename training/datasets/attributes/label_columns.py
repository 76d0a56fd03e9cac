"""A CSV file that says something of images: which of its columns name the image, its labels and its split.

Labels are in one column, joined by a bar, or each has a column of its own of 1 and 0 (or −1, as in CelebA).
"""

import csv
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from keras_mobilenets.errors import UserError, first_line
from keras_mobilenets.pixels.folder_layout import split_of_name
from keras_mobilenets.plurals import listed

IMAGE = {
    *("image", "images", "image_id", "image_name", "image_path", "image_file", "imagename", "img", "img_path"),
    *(
        "file",
        "filename",
        "file_name",
        "fname",
        "filepath",
        "filepaths",
        "file_path",
        "path",
        "name",
        "id",
        "photo",
        "picture",
    ),
}
LABELS = {"label", "labels", "tag", "tags", "attribute", "attributes", "class", "classes", "category", "categories"}
SPLIT = {"split", "set", "subset", "partition", "is_valid", "data_split", "dataset"}
YES, NO = {"1", "1.0", "true", "yes"}, {"0", "0.0", "-1", "-1.0", "false", "no", ""}
BY_NUMBER = {"0": "train", "1": "validation", "2": "test"}  # CelebA's partition
BY_TRUTH = {"true": "validation", "false": "train"}  # fastai's is_valid
BARS = ("|", ";", ",")  # between labels of one column, the first that occurs


@dataclass(frozen=True)
class Table:
    """A CSV file and what its columns are.

    Attributes:
        path: The file.
        rows: Line number and cells of each row.
        image: The column of the images' names.
        labels: That of the labels; None where they have columns of their own, or there are none.
        flags: The columns that are labels of their own.
        split: That of the split; None where there is none.
        header: The names of the columns; none where the file names none.
    """

    path: Path
    rows: tuple[tuple[int, list[str]], ...]
    image: int
    labels: int | None
    flags: tuple[int, ...]
    split: int | None
    header: tuple[str, ...]

    @property
    def has_labels(self) -> bool:
        """Whether it says labels."""
        return self.labels is not None or bool(self.flags)

    @property
    def repeats_folders(self) -> bool:
        """Whether each label is the name of the folder that its image lies in."""
        if self.labels is None or not self.rows:
            return False
        folders = (PureWindowsPath(cells[self.image]).parent.name for _, cells in self.rows_that_fit())
        return all(name == cells[self.labels].strip() for name, (_, cells) in zip(folders, self.rows, strict=True))

    def read(self) -> Iterator[tuple[int, str, tuple[str, ...], str | None]]:
        """Line number, image, labels and split of each row; the last None where the table does not say it.

        Raises:
            UserError: A row is too short or too long, or a cell says nothing that is known.
        """
        bar = None if self.labels is None else self._bar([cells[self.labels] for _, cells in self.rows_that_fit()])
        for line, cells in self.rows_that_fit():
            name = cells[self.image].strip()
            if not name:
                raise UserError(
                    f"{self.path}, line {line}: names no image; give one, such as photos/1.jpg,smiling|young"
                )
            if self.labels is not None:
                labels = _divided(cells[self.labels], bar)
            else:
                labels = tuple(self.header[place] for place in self.flags if cells[place].strip().lower() in YES)
            yield line, name, labels, None if self.split is None else self._part(line, cells[self.split])

    def rows_that_fit(self) -> Iterator[tuple[int, list[str]]]:
        """The rows, of which each has as many cells as the table has columns.

        Raises:
            UserError: One has not.
        """
        columns = len(self.header) or 2
        for line, cells in self.rows:
            if len(cells) != columns:
                raise UserError(
                    f"{self.path}, line {line}: has {len(cells)} cells for {columns} columns; give an image and its"
                    " labels, such as photos/1.jpg,smiling|young"
                )
            yield line, cells

    def say_what_is_left_out(self) -> None:
        """Warns of columns that are neither image, labels nor split."""
        used = {self.image, self.labels, self.split, *self.flags}
        others = [name for place, name in enumerate(self.header) if place not in used and name]
        if others:
            warnings.warn(f"{self.path}: left out the columns {listed(others, 3)}", stacklevel=4)

    def _bar(self, cells: Sequence[str]) -> str | None:
        """What stands between the labels of a cell; None where each has one label at most. An assumption is said."""
        if (bar := next((bar for bar in BARS if any(bar in cell for cell in cells)), None)) is not None:
            return bar
        several = {cell.strip() for cell in cells if " " in cell.strip()}
        if several:
            words = {word for cell in cells for word in cell.split()}
            apart = len(words) < len({cell.strip() for cell in cells} - {""})
            what = "several labels" if apart else "one label"
            warnings.warn(f"{self.path}: takes {min(several)!r} for {what}; put | between labels", stacklevel=5)
            return " " if apart else None
        return None

    def _part(self, line: int, cell: str) -> str:
        word = cell.strip().lower()
        if self.header[self.split or 0].strip().lower() == "is_valid":
            part = BY_TRUTH.get("true" if word in YES else "false" if word in NO else word)
        else:
            part = BY_NUMBER.get(word) or ((found := split_of_name(word)) and found[0])
        if not part:
            raise UserError(f"{self.path}, line {line}: {cell!r} is no split; write train, validation or test")
        return part


def read_table(path: Path) -> Table | None:
    """Reads a CSV file; None where it does not speak of images.

    Cells are divided by comma, semicolon or tab. Without a header it has two columns: an image that is there, and its
    labels.

    Raises:
        UserError: It is about images and damaged, or says both 0 and −1 in columns of labels.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig", errors="replace") as file:
            start = file.readline()
    except OSError:
        return None
    for delimiter in (",", ";", "\t"):
        first = [cell.strip() for cell in next(csv.reader([start], delimiter=delimiter), [])]
        words = [re.sub(r"[ -]+", "_", cell.lower()) for cell in first]
        images = [place for place, word in enumerate(words) if word in IMAGE]
        if len(first) == 2 and not (images and set(words) & (LABELS | SPLIT)) and _names_a_file(first[0], path.parent):
            return Table(path, _rows(path, delimiter), 0, 1, (), None, ())
        if len(first) > 1 and images:
            rows = _rows(path, delimiter)[1:]
            labels = next((place for place, word in enumerate(words) if word in LABELS), None)
            split = next((place for place, word in enumerate(words) if word in SPLIT), None)
            others = [place for place in range(len(first)) if place not in (images[0], labels, split)]
            flags = () if labels is not None else _flags(path, first, rows, others)
            return Table(path, rows, images[0], labels, flags, split, tuple(first))
    return None


def _flags(
    path: Path, header: Sequence[str], rows: Sequence[tuple[int, list[str]]], columns: Sequence[int]
) -> tuple[int, ...]:
    """The columns whose cells all say yes or no."""
    said = {place: {cells[place].strip().lower() for _, cells in rows if place < len(cells)} for place in columns}
    flags = tuple(place for place, words in said.items() if words - {""} and words <= YES | NO and header[place])
    words = set().union(*(said[place] for place in flags))
    if words & {"0", "0.0"} and words & {"-1", "-1.0"}:
        mixed = next((header[place] for place in flags if said[place] & {"-1", "-1.0"}), "")
        raise UserError(f"{path} has 0 and −1, such as in column {mixed!r}; write 1 for a label that is there, else 0")
    return flags


def _rows(path: Path, delimiter: str) -> tuple[tuple[int, list[str]], ...]:
    """The rows of a CSV file with their line numbers, without empty ones."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True, delimiter=delimiter)
            return tuple((reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read as a table: {first_line(error)}; save it as CSV in UTF-8") from error


def _names_a_file(name: str, folder: Path) -> bool:
    name = name.replace("\\", "/")
    return bool(name) and ((folder / name).is_file() or any(folder.glob(f"*/{name}")) if _is_plain(name) else False)


def _is_plain(name: str) -> bool:
    return not re.search(r"[*?\[\]\0]", name) and not name.startswith("/")


def _divided(cell: str, bar: str | None) -> tuple[str, ...]:
    """The labels of a cell, each once; of "['a', 'b']" too."""
    cell = cell.strip()
    listed = re.fullmatch(r"[\[({](.*)[\])}]", cell)
    labels = (listed[1] if listed else cell).split(bar) if bar else [listed[1] if listed else cell]
    labels = [label.strip().strip("'\"").strip() if listed else label.strip() for label in labels]
    return tuple(dict.fromkeys(filter(None, labels)))
