"""Multi-process training of one model on the JAX backend, on one machine or several.

Process 0 is the coordinator and keeps a TCP connection to every other process. JAX's coordination service is relayed
through the same port: the loss of a process shows on its connection, while JAX, which would abort with a stack trace,
still sees an open one.
"""

import atexit
import contextlib
import importlib.util
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import NoReturn

from keras_mobilenets.errors import UserError, first_line
from keras_mobilenets.training.distribution.rendezvous import accept_processes, free_port, join, read_line, start_relay

TIMEOUT = 300.0  # seconds to wait for all processes at the start
NOTICE_SECONDS = 5.0  # to wait for the reason of a failed collective operation


class _Group:
    """The process group, as seen by one of its processes; a single process is number 0 of 1."""

    def __init__(self) -> None:
        self.number, self.count = 0, 1
        self.connections: dict[int, socket.socket] = {}
        self.exit_lock = threading.Lock()
        self.watchers: list[threading.Thread] = []
        self.in_collective = False  # whether this process must end when another one has finished
        self.finished: list[int] = []
        self.exit_code: int | None = None  # of a process that stops before the others


_group = _Group()


def join_processes(coordinator: str, processes: int, process_id: int, *, timeout: float = TIMEOUT) -> None:
    """Makes this process one of several that train a model together; each then calls `fit` with the same arguments.

    Call it before any model is built; KERAS_BACKEND must be jax, or Keras not yet be imported. Every process uses all
    devices that JAX sees in it. In `fit`, each process decodes and augments its own shard of every batch; loss, metrics
    and batch normalization statistics are those of the global batch. Process 0 alone reads and writes the run folder;
    it broadcasts weights and checkpoint. Every process needs access to the data.

    When a process stops or is killed, the others print one line and exit with code 2, whatever they are doing. Started
    again, the training resumes from its last checkpoint.

    Args:
        coordinator: "host:port" of process 0, the same for all: process 0 listens there. JAX opens further
            connections between all processes.
        processes: Number of processes.
        process_id: Index of this process, 0 to processes − 1.
        timeout: Seconds to wait for the other processes.

    Raises:
        UserError: An argument is wrong, JAX is missing or not Keras's backend, or a process does not connect in time.
    """
    host, port = check(coordinator, processes, process_id)
    if _group.count > 1:
        raise UserError("join_processes was called before; a process joins once")
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "jax"
    import keras

    if keras.backend.backend() != "jax":
        raise UserError("several processes train on JAX: set the environment variable KERAS_BACKEND=jax")
    if processes == 1:
        return
    deadline = time.monotonic() + timeout
    if process_id == 0:
        service = free_port()
        connections = accept_processes(host, port, processes, deadline, service)
    else:
        connections = {0: join(host, port, processes, process_id, deadline)}
        service = start_relay(host, port)
    _start_jax(service, processes, process_id, deadline)
    _group.number, _group.count, _group.connections = process_id, processes, connections
    _group.watchers = [threading.Thread(target=_watch, args=item, daemon=True) for item in connections.items()]
    for watch in _group.watchers:
        watch.start()


def check(coordinator: str, processes: int, process_id: int) -> tuple[str, int]:
    """Checks the arguments of `join_processes`; returns the coordinator's host and port.

    Raises:
        UserError: The address or the index of this process is wrong, or JAX is not installed.
    """
    host, colon, port = coordinator.rpartition(":")
    if not (host and colon and port.isdigit() and 0 < int(port) < 65536):
        raise UserError(f"coordinator {coordinator!r}: write it as host:port, such as 10.0.0.1:7000")
    if processes < 1:
        raise UserError(f"processes must be 1 or more, not {processes}")
    if not 0 <= process_id < processes:
        raise UserError(f"process-id {process_id} of {processes} processes: give 0 to {processes - 1}")
    if importlib.util.find_spec("jax") is None:
        raise UserError("several processes train on JAX, which is missing: pip install 'keras_mobilenets[jax]'")
    return host.strip("[]"), int(port)


def shard() -> tuple[int, int]:
    """Index of this process, and number of processes."""
    return _group.number, _group.count


def is_first() -> bool:
    """Whether this process writes the run folder: process 0, or a single process."""
    return _group.number == 0


@contextlib.contextmanager
def abort_on_error() -> Iterator[None]:
    """Inside the block, an error makes the other processes exit."""
    try:
        yield
    except BaseException as error:
        abort(error)
        raise


@contextlib.contextmanager
def collective() -> Iterator[None]:
    """Inside the block, this process exits when another one has finished."""
    _group.in_collective = True
    _check_finished()
    try:
        yield
    finally:
        _group.in_collective = False


def abort(error: BaseException) -> None:
    """Tells the other processes that this one stops, and why.

    Where the error was caused by the end of another process, this process exits before the function returns.
    """
    if _group.count == 1 or _group.exit_code is not None:
        return
    if not isinstance(error, UserError | KeyboardInterrupt):
        time.sleep(NOTICE_SECONDS)
    _group.exit_code = 130 if isinstance(error, KeyboardInterrupt) else 2 if isinstance(error, UserError) else 1
    _send(f"process {_group.number} has stopped: {first_line(error) or type(error).__name__}")


def require_single(what: str) -> None:
    """Refuses what works in a single process only.

    Raises:
        UserError: There are several processes.
    """
    if _group.count > 1:
        raise UserError(f"{what} is not for several processes: start it in one, without --distributed")


def _start_jax(service: int, processes: int, process_id: int, deadline: float) -> None:
    import jax

    jax.config.update("jax_enable_preemption_service", False)  # else SIGTERM would not end the process
    try:
        jax.distributed.initialize(
            f"127.0.0.1:{service}",
            processes,
            process_id,
            cluster_detection_method="deactivate",
            coordinator_bind_address=f"127.0.0.1:{service}",
            initialization_timeout=max(10, round(deadline - time.monotonic())),
        )
    except RuntimeError as error:
        raise UserError(f"JAX cannot start with {processes} processes: {first_line(error)}") from error
    from jax.experimental.multihost_utils import sync_global_devices

    with _suppressed_stdout():
        sync_global_devices("keras_mobilenets")  # the first collective operation opens the connections, and prints it
    atexit.register(_shut_down)  # before JAX's own shutdown, which waits for the other processes


@contextlib.contextmanager
def _suppressed_stdout() -> Iterator[None]:
    """Suppresses what native libraries write to standard output."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def _watch(number: int, connection: socket.socket) -> None:
    """Exits when another process has ended before the training."""
    try:
        message = read_line(connection)
    except OSError:
        message = ""
    if message == "done":
        _group.finished.append(number)
        _check_finished()
    elif _group.exit_code is None:
        _exit(message or f"process {number} has ended or cannot be reached")


def _check_finished() -> None:
    if _group.in_collective and _group.finished and _group.exit_code is None:
        _exit(f"process {_group.finished[0]} has ended before the training")


def _exit(why: str) -> NoReturn:
    with _group.exit_lock:
        _send(why)
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        restored = "\n\033[?25h" if sys.stderr.isatty() else ""  # the line of a progress bar, and the cursor it hides
        print(
            f"{restored}keras-mobilenets: stopped, since {why}; start all {_group.count} processes again: "
            "the training resumes from its last checkpoint",
            file=sys.stderr,
            flush=True,
        )
        os._exit(2)


def _send(what: str) -> None:
    for connection in _group.connections.values():
        with contextlib.suppress(OSError):
            connection.sendall(f"{what}\n".encode())


def _shut_down() -> None:
    """Runs at exit. A process that stops early does not wait for the others, as JAX would."""
    if (error := getattr(sys, "last_value", None)) is not None:
        abort(error)
    if _group.exit_code is None:
        _send("done")
        for watch in _group.watchers:  # JAX would wait for a minute only
            watch.join()
        return
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(_group.exit_code)
