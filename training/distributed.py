"""Several processes, on one machine or on many, that train one model together on the JAX backend.

Process 0 takes the roll at the coordinator's address and keeps a line open to every other process. What JAX's own
coordination service says goes through the same port: the loss of a process shows on the line, while JAX, whose answer
is an abort with a stack trace, still sees an open connection.
"""

import atexit
import contextlib
import importlib.util
import os
import pickle
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn, TypeVar

from keras_mobilenets.errors import UserError, first_line

T = TypeVar("T")
TIMEOUT = 300.0  # seconds that processes wait for each other at the start
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
        service = _free_port()
        lines = _take_roll(host, port, processes, deadline, service)
    else:
        lines = {0: _answer_roll(host, port, processes, process_id, deadline)}
        service = _relay_to(host, port)
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
    """What `make` gives in process 0, in all processes; each of them calls this, in the same order."""
    if _group.count == 1:
        return make()
    import numpy as np
    from jax.experimental.multihost_utils import broadcast_one_to_all

    content = pickle.dumps(make()) if is_first() else b""
    length = int(broadcast_one_to_all(np.int32(len(content))))
    buffer = np.frombuffer(content or bytes(length), np.uint8)
    return pickle.loads(np.asarray(broadcast_one_to_all(buffer)).tobytes())


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


def _take_roll(host: str, port: int, processes: int, deadline: float, service: int) -> dict[int, socket.socket]:
    """Lets every other process come in; afterwards, the port leads on to JAX's service."""
    try:
        listener = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=2 * processes
        )
    except OSError as error:
        raise UserError(
            f"process 0 cannot listen at {host}:{port} ({os.strerror(error.errno or 0)}); "
            "give an address of this machine and a free port"
        ) from error
    lines: dict[int, socket.socket] = {}
    changed = threading.Condition()

    def greet(line: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):
            word, *numbers = _read_line(line).split()
            if word == "jax":
                _pump_both(line, _connect("127.0.0.1", service, time.monotonic() + 60))
            elif word == "join":
                number, count = map(int, numbers)
                with changed:
                    if count != processes:
                        why = f"process 0 was started with {processes} processes, this one with {count}"
                    elif number in lines:
                        why = f"there is a process {number} already"
                    else:
                        lines[number] = _kept_alive(line)
                        changed.notify()
                        return
                line.sendall(f"no {why}\n".encode())
                line.close()

    def accept() -> None:
        while True:
            line, _ = listener.accept()
            threading.Thread(target=greet, args=(line,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    with changed:
        if not changed.wait_for(lambda: len(lines) == processes - 1, deadline - time.monotonic()):
            missing = ", ".join(str(number) for number in range(1, processes) if number not in lines)
            listener.close()
            raise UserError(f"process {missing} of {processes} did not come to {host}:{port} in time; start them all")
    for line in lines.values():
        line.sendall(b"yes\n")
    return lines


def _answer_roll(host: str, port: int, processes: int, process_id: int, deadline: float) -> socket.socket:
    line = _kept_alive(_connect(host, port, deadline))
    try:
        line.sendall(f"join {process_id} {processes}\n".encode())
        line.settimeout(max(0.0, deadline - time.monotonic()) + NOTICE)
        word, _, why = _read_line(line).partition(" ")
    except OSError as error:
        raise UserError(f"no answer from {host}:{port} ({error}); is it process 0 that runs there?") from error
    if word == "no":
        raise UserError(why)
    if word != "yes":
        raise UserError(f"process 0 at {host}:{port} has stopped while it waited for the others; start them all again")
    line.settimeout(None)
    return line


def _relay_to(host: str, port: int) -> int:
    """A local port that leads to JAX's service; a connection that the service's end has lost stays open here."""
    listener = socket.create_server(("127.0.0.1", 0))

    def lead(near: socket.socket) -> None:
        with contextlib.suppress(OSError, UserError):
            far = _connect(host, port, time.monotonic() + 60)
            far.sendall(b"jax\n")
            _pump_both(near, far, hold=True)

    def accept() -> None:
        while True:
            near, _ = listener.accept()
            threading.Thread(target=lead, args=(near,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


def _pump_both(near: socket.socket, far: socket.socket, hold: bool = False) -> None:
    def pump(source: socket.socket, target: socket.socket, hold: bool) -> None:
        with contextlib.suppress(OSError):
            while content := source.recv(65536):
                target.sendall(content)
        if hold:
            threading.Event().wait()  # both sockets live as long as the process
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    threading.Thread(target=pump, args=(far, near, hold), daemon=True).start()
    pump(near, far, False)


def _watch(number: int, line: socket.socket) -> None:
    """Ends this process when another one has ended before the training."""
    try:
        said = _read_line(line)
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
    if getattr(sys, "last_value", None) is not None:
        leave(sys.last_value)
    if _group.left is None:
        _say("done")
        for watch in _group.watches:  # JAX would wait for a minute only
            watch.join()
        return
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(_group.left)


def _connect(host: str, port: int, deadline: float) -> socket.socket:
    """Tries until the deadline."""
    while True:
        try:
            line = socket.create_connection((host, port), max(1.0, deadline - time.monotonic()))
            line.settimeout(None)
            return line
        except OSError as error:
            if time.monotonic() + 0.2 > deadline:
                raise UserError(
                    f"cannot reach process 0 at {host}:{port} ({error.strerror or error}); "
                    "start it there, or mend the coordinator's address"
                ) from error
        time.sleep(0.2)


def _kept_alive(line: socket.socket) -> socket.socket:
    """A connection whose other end is missed within half a minute when its machine is gone without a word."""
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, option):
            line.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return line


def _read_line(line: socket.socket) -> str:
    """What stands before the next line break; nothing behind it is taken. Empty at the end."""
    said = b""
    while not said.endswith(b"\n"):
        if not (byte := line.recv(1)):
            return ""
        said += byte
    return said.decode(errors="replace").strip()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]
