"""The files of a folder by the names that a table or an annotation gives them, often written on another machine."""

import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath

from keras_mobilenets.pixels.folder_layout import IMAGE, FileType, split_of_name


class FileIndex:
    """The images, or other files of one type, below a folder."""

    def __init__(self, folder: Path, of: FileType = IMAGE):
        """Takes the folder; it is listed when a name is not found where it should be."""
        self._folder, self._type = folder, of
        self._moved: dict[Path, str] = {}

    def find(self, name: str, homes: Sequence[Path], part: str | None = None) -> Path | None:
        """The file of a name; None where there is none, or several that fit alike.

        Args:
            name: Relative to one of the homes. Else the file is taken that has most of its last parts, perhaps without
                its suffix, where no folder of its name is there and no other folder of names has led there.
            homes: Folders, the likeliest first.
            part: The split of whoever names it, which decides between files of one name.
        """
        given = PurePosixPath(name.strip().replace("\\", "/"))
        for home in homes:
            if (home / given).is_file():
                return Path(os.path.normpath(home / given))
        if given.parent.name and any((home / given.parent).is_dir() for home in homes):
            same = [path for path in self._by_stem.get(given.name, []) if path.parent.name == given.parent.name]
        else:
            same = self._by_name.get(given.name) or self._by_stem.get(given.name, [])
        common = [_common_end(path.parent.parts, given.parent.parts) for path in same]
        best = [path for path, parts in zip(same, common, strict=True) if parts == max(common)]
        if len(best) > 1:
            best = [path for path in best if part is not None and part_of(path.parent, self._folder) == part]
        if len(best) != 1 or self._moved.setdefault(best[0].parent, str(given.parent)) != str(given.parent):
            return None
        return best[0]

    @cached_property
    def _files(self) -> list[Path]:
        return files_below(self._folder, self._type)

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        return _grouped(self._files, lambda path: path.name)

    @cached_property
    def _by_stem(self) -> dict[str, list[Path]]:
        return _grouped(self._files, lambda path: path.stem)


def files_below(folder: Path, of: FileType = IMAGE) -> list[Path]:
    """All files of a type in a folder and below, sorted; links are followed, hidden files are none."""
    found = [
        Path(where, name)
        for where, _, names in os.walk(folder, followlinks=True)
        for name in names
        if os.path.splitext(name)[1].lower() in of.suffixes and not name.startswith(".")
    ]
    return sorted(found)


def part_of(path: Path, folder: Path) -> str | None:
    """The split that a path speaks of, the innermost name first: "train", "validation" or "test"; else None."""
    names = path.relative_to(folder).parts if path.is_relative_to(folder) else path.parts[-2:]
    return next((found[0] for name in reversed(names) if (found := split_of_name(name))), None)


def _grouped(paths: Sequence[Path], key: Callable[[Path], str]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        found[key(path)].append(path)
    return found


def _common_end(one: Sequence[str], other: Sequence[str]) -> int:
    """How many of the last parts of two paths are the same."""
    pairs = list(zip(reversed(one), reversed(other), strict=False))
    return next((place for place, (a, b) in enumerate(pairs) if a != b), len(pairs))
