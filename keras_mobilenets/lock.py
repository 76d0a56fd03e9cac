"""One process at a time in a folder, by a lock that the system itself takes back when its holder ends or is killed."""

import contextlib
import errno
import os
import socket
import warnings
from collections.abc import Iterator
from pathlib import Path

from keras_mobilenets.errors import UserError

try:
    import fcntl
except ImportError:  # Windows, where a second process goes unnoticed
    fcntl = None  # type: ignore[assignment]

_held: set[Path] = set()


@contextlib.contextmanager
def locked(folder: str | Path) -> Iterator[None]:
    """Keeps other processes out of a folder while the block runs, as far as they ask for the lock too.

    It is an `flock` on the file `.lock` in the folder, which names the holder and stays behind, unlocked. Between
    machines it holds where the network file system keeps such locks, as NFS of Linux does; one that knows none gives a
    warning. The process that holds it may ask again. The folder is made when missing; one that cannot be written is
    not locked.

    Raises:
        UserError: Another process holds it, or the folder cannot be made.
    """
    folder = Path(folder)
    key = folder.resolve()
    if fcntl is None or key in _held:
        yield
        return
    file = _open(folder)
    try:
        if file is not None:
            _take(file, folder)
        _held.add(key)
        yield
    finally:
        _held.discard(key)
        if file is not None:
            os.close(file)


def _open(folder: Path) -> int | None:
    """The open lock file; None where it cannot be written, so that nobody else can train there either."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) and folder.is_dir():
            return None
        raise UserError(f"cannot write {folder}: {error.strerror}; choose another folder") from error


def _take(file: int, folder: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(file, 256, 0).decode(errors="replace").strip() or "another process"
        raise UserError(f"{folder} is in use by {holder}; wait for it, or give another run folder") from error
    except OSError as error:
        warnings.warn(
            f"{folder} cannot be locked ({error.strerror}): see to it that only one run uses it", stacklevel=4
        )
    with contextlib.suppress(OSError):  # on a full disk it names nobody
        os.ftruncate(file, 0)
        os.pwrite(file, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
