"""Files that are either whole or not there: written beside their place, then renamed."""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from keras_mobilenets.errors import UserError, first_line

RECORDED = ("model", "data", "recipe")  # parts of run.json


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path beside `path` (same suffix) that becomes `path` when the block ends well.

    The folder is made when missing. A block that raises leaves neither a new nor a damaged file behind.

    Raises:
        UserError: `path` is a folder, its own folder cannot be written, or the disk is full.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"cannot write {path}: it is a folder; choose another name")
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {first_line(error)}; free some space or choose another folder"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


@contextlib.contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yields a folder beside `path` that takes its place when the block ends well, and is gone when it does not.

    Raises:
        UserError: `path` is a file, the folder cannot be written, or the disk is full.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise UserError(f"cannot write {path}: it is a file; choose another name")
    out = path.resolve()
    new, old = (out.with_name(f".{out.name}.{os.getpid()}.{which}") for which in ("new", "old"))
    try:
        new.mkdir(parents=True)
        yield new
        if out.exists():
            out.rename(old)
        new.rename(out)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {first_line(error)}; free some space or choose another folder"
        ) from error
    finally:
        shutil.rmtree(new, ignore_errors=True)
        if old.exists() and not out.exists():
            old.rename(out)


def listed(folder: Path, index: str) -> set[str]:
    """A folder's own files: its index, and those whose paths this JSON file has as `files`."""
    content = read_json(folder / index) if (folder / index).exists() else {}
    return {index, *(content.get("files", ()) if isinstance(content, dict) else ())}


def refuse_strangers(folder: Path, own: Collection[str], what: str) -> None:
    """Refuses a folder, which is about to be replaced, that holds other files than its own.

    Args:
        folder: The folder; it may be missing.
        own: Paths in it.
        what: What the folder shall be, for the message, such as "bundle".

    Raises:
        UserError: There is such a file; the message names the first.
    """
    if not folder.exists():
        return
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir()} if folder.is_dir() else {""}
    if strangers := there - set(own):
        other = folder / min(strangers)
        raise UserError(f"{other} is not of a {what}; give --out a new folder, or one that holds nothing else")


def write_json(path: str | Path, value: Any) -> Path:
    """Writes `value` as indented JSON, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return Path(path)


def read_json(path: str | Path) -> Any:
    """Reads a JSON file.

    Raises:
        UserError: The file is missing or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist") from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{path} is not readable JSON: {error}") from error


def read_record(folder: str | Path) -> dict[str, Any]:
    """What run.json of a run folder says; empty when there is none.

    Raises:
        UserError: It is damaged.
    """
    path = Path(folder) / "run.json"
    if not path.exists():
        return {}
    try:
        record = read_json(path)
        if isinstance(record, dict) and all(isinstance(record.get(part, {}), dict) for part in RECORDED):
            return record
        reason = "it holds something else"
    except UserError as error:
        reason = first_line(error.__cause__ or error)
    raise UserError(
        f"{path} is damaged ({reason}): delete it and give the command that trained again; it goes on where it was"
    )


def refuse_other(folder: str | Path, what: str, there: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Refuses to go on in a folder whose record says that something else was asked there.

    Args:
        folder: The folder.
        what: What it holds, for the message, such as "training with recipe".
        there: What the record says.
        asked: What is asked now; the record must say the same of all of it.

    Raises:
        UserError: It does not; the message names the first difference.
    """
    for key, value in asked.items():
        if there.get(key) != value:
            raise UserError(
                f"{folder} holds a {what} {key} {there.get(key)}, not {value}; "
                "give another run folder or delete this one"
            )


def sha256(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal.

    Raises:
        UserError: It cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
