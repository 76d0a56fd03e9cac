"""Several processes, on one machine or on many, that train one model together on the JAX backend.

Process 0 takes the roll at the coordinator's address and keeps a line open to every other process. What JAX's own
coordination service says goes through the same port: the loss of a process shows on the line, while JAX, whose answer
is an abort with a stack trace, still sees an open connection.
"""

import atexit
import contextlib
import importlib.util
import io
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn, TypeVar

import numpy as np

from keras_mobilenets.errors import UserError, first_line
from keras_mobilenets.training.distribution.rendezvous import answer_roll, free_port, read_line, relay_to, take_roll

T = TypeVar("T")
TIMEOUT = 300.0  # seconds that processes wait for each other at the start
ARRAY = "array of this number"  # the key that stands for one in JSON
NOTICE = 5.0  # seconds in which a line tells why a collective operation has failed


class _Group:
    """The processes that train together, as one of them sees them; a process alone is number 0 of 1."""

    def __init__(self) -> None:
        self.number, self.count = 0, 1
        self.lines: dict[int, socket.socket] = {}
        self.ends = threading.Lock()
        self.watches: list[threading.Thread] = []
        self.needed = False  # whether the end of another process is the end of this one, though it ended well
        self.gone: list[int] = []
        self.left: int | None = None  # the exit code of a process that stops before the others


_group = _Group()


def join_processes(coordinator: str, processes: int, process_id: int, *, timeout: float = TIMEOUT) -> None:
    """Makes this process one of several that train a model together; each then calls `fit` with the same arguments.

    Call it before any model is built; KERAS_BACKEND must be jax, or Keras not yet be imported. Every process uses all
    devices that JAX sees in it. In `fit`, each process decodes and augments its own share of every batch; loss, metrics
    and BatchNorm statistics are those of the whole batch. Process 0 alone writes the run folder and says what is there
    to resume from. All weights and the checkpoint come from process 0; data must be there for every process.

    When a process stops or is killed, the others print one line and exit with code 2, whatever they are doing. Started
    again, the training goes on at its last checkpoint.

    Args:
        coordinator: "host:port" of process 0, the same for all: process 0 listens there. JAX opens further
            connections between all processes.
        processes: How many there are.
        process_id: Number of this one, 0 to processes − 1.
        timeout: Seconds to wait for the others.

    Raises:
        UserError: An argument is wrong, JAX is missing or not Keras's backend, or not all processes come in time.
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
        lines = take_roll(host, port, processes, deadline, service)
    else:
        lines = {0: answer_roll(host, port, processes, process_id, deadline)}
        service = relay_to(host, port)
    _start_jax(service, processes, process_id, deadline)
    _group.number, _group.count, _group.lines = process_id, processes, lines
    _group.watches = [threading.Thread(target=_watch, args=item, daemon=True) for item in lines.items()]
    for watch in _group.watches:
        watch.start()


def check(coordinator: str, processes: int, process_id: int) -> tuple[str, int]:
    """The host and the port of a coordinator's address.

    Raises:
        UserError: It is none, the number of this process is out of range, or JAX is not installed.
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


def share() -> tuple[int, int]:
    """Number of this process, and of all."""
    return _group.number, _group.count


def is_first() -> bool:
    """Whether this process keeps the run folder; always, where it trains alone."""
    return _group.number == 0


def from_first(make: Callable[[], T]) -> T:
    """What `make` gives in process 0, in all processes; each of them calls this, in the same order.

    Args:
        make: Gives what JSON knows, and NumPy arrays in its places.
    """
    if _group.count == 1:
        return make()
    from jax.experimental.multihost_utils import broadcast_one_to_all

    content = _packed(make()) if is_first() else b""
    length = int(broadcast_one_to_all(np.int32(len(content))))
    buffer = np.frombuffer(content or bytes(length), np.uint8)
    return _unpacked(np.asarray(broadcast_one_to_all(buffer)).tobytes())


def check_same(asked: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuses a process that was started for another training than process 0; its data may lie elsewhere.

    Args:
        asked: What is asked of the training, by parts, such as {"recipe": {"epochs": 3}}.

    Raises:
        UserError: It was; the message names the first difference.
    """
    if _group.count == 1:
        return
    for part, values in from_first(lambda: asked).items():
        for key, value in values.items():
            own = asked.get(part, {}).get(key)
            if own != value and (part, key) != ("data", "name"):
                raise UserError(
                    f"process {_group.number} has {part} {key} {own} where process 0 has {value}; "
                    "start all processes with the same arguments and the same data"
                )


@contextlib.contextmanager
def leaving() -> Iterator[None]:
    """Lets the other processes end where the block raises here."""
    try:
        yield
    except BaseException as error:
        leave(error)
        raise


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Inside the block, no process can go on without the others."""
    _group.needed = True
    _miss()
    try:
        yield
    finally:
        _group.needed = False


def leave(error: BaseException) -> None:
    """Tells the others that this process stops before the end, and why.

    An error that another process's end has caused does not come back from here: its line ends this process.
    """
    if _group.count == 1 or _group.left is not None:
        return
    if not isinstance(error, UserError | KeyboardInterrupt):
        time.sleep(NOTICE)
    _group.left = 130 if isinstance(error, KeyboardInterrupt) else 2 if isinstance(error, UserError) else 1
    _say(f"process {_group.number} has stopped: {first_line(error) or type(error).__name__}")


def refuse(what: str) -> None:
    """Refuses what only a process alone can do.

    Raises:
        UserError: There are several.
    """
    if _group.count > 1:
        raise UserError(f"{what} is not for several processes: start it in one, without --distributed")


def _packed(value: Any) -> bytes:
    """JSON and the arrays beside it, as .npz; no pickle, which runs what it reads."""
    arrays: list[np.ndarray] = []

    def taken_out(array: Any) -> dict[str, int]:
        if not isinstance(array, np.ndarray):
            raise TypeError(f"{type(array).__name__} cannot be sent")
        arrays.append(array)
        return {ARRAY: len(arrays) - 1}

    text, content = json.dumps(value, default=taken_out), io.BytesIO()
    np.savez(content, text, *arrays, allow_pickle=False)
    return content.getvalue()


def _unpacked(content: bytes) -> Any:
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:

        def put_back(found: dict[str, Any]) -> Any:
            return archive[f"arr_{found[ARRAY] + 1}"] if ARRAY in found else found

        return json.loads(str(archive["arr_0"]), object_hook=put_back)


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

    with _silent():
        sync_global_devices("keras_mobilenets")  # the first collective operation opens the connections, and says so
    atexit.register(_goodbye)  # before JAX's own end, which waits for the others


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Leaves out what libraries write to standard output beside Python."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def _watch(number: int, line: socket.socket) -> None:
    """Ends this process when another one has ended before the training."""
    try:
        said = read_line(line)
    except OSError:
        said = ""
    if said == "done":
        _group.gone.append(number)
        _miss()
    elif _group.left is None:
        _end(said or f"process {number} has ended or cannot be reached")


def _miss() -> None:
    if _group.needed and _group.gone and _group.left is None:
        _end(f"process {_group.gone[0]} has ended before the training")


def _end(why: str) -> NoReturn:
    with _group.ends:
        _say(why)
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        restored = "\n\033[?25h" if sys.stderr.isatty() else ""  # the line of a progress bar, and the cursor it hides
        print(
            f"{restored}keras-mobilenets: stopped, since {why}; start all {_group.count} processes again: "
            "the training goes on at its last checkpoint",
            file=sys.stderr,
            flush=True,
        )
        os._exit(2)


def _say(what: str) -> None:
    for line in _group.lines.values():
        with contextlib.suppress(OSError):
            line.sendall(f"{what}\n".encode())


def _goodbye() -> None:
    """At the interpreter's end. A process that stops early does not wait for the others, as JAX would."""
    if (error := getattr(sys, "last_value", None)) is not None:
        leave(error)
    if _group.left is None:
        _say("done")
        for watch in _group.watches:  # JAX would wait for a minute only
            watch.join()
        return
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(_group.left)
