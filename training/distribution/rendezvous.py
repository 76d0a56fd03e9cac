"""The connections behind `distributed`: who has come, a line to each process, and a way to JAX's service.

Process 0 listens at the coordinator's address. What comes in says in its first line whether it is a process that joins
or a connection to JAX's own coordination service, which listens on this machine alone.
"""

import contextlib
import os
import socket
import threading
import time

from keras_mobilenets.errors import UserError, first_line

PATIENCE = 5.0  # seconds beyond the deadline that a process waits for what process 0 says of the roll


def accept_processes(host: str, port: int, processes: int, deadline: float, service: int) -> dict[int, socket.socket]:
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
            word, *numbers = read_line(line).split()
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
                        lines[number] = _keep_alive(line)
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


def join(host: str, port: int, processes: int, process_id: int, deadline: float) -> socket.socket:
    """Comes to process 0 and waits until all have; the line to it."""
    line = _keep_alive(_connect(host, port, deadline))
    try:
        line.sendall(f"join {process_id} {processes}\n".encode())
        line.settimeout(max(0.0, deadline - time.monotonic()) + PATIENCE)
        word, _, why = read_line(line).partition(" ")
    except OSError as error:
        raise UserError(f"no answer from {host}:{port} ({error}); is it process 0 that runs there?") from error
    if word == "no":
        raise UserError(why)
    if word != "yes":
        raise UserError(f"process 0 at {host}:{port} has stopped while it waited for the others; start them all again")
    line.settimeout(None)
    return line


def start_relay(host: str, port: int) -> int:
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


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def read_line(line: socket.socket) -> str:
    """What stands before the next line break; nothing behind it is taken. Empty at the end."""
    said = b""
    while not said.endswith(b"\n"):
        if not (byte := line.recv(1)):
            return ""
        said += byte
    return said.decode(errors="replace").strip()


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
                    f"cannot reach process 0 at {host}:{port} ({first_line(error)}); "
                    "start it there, or mend the coordinator's address"
                ) from error
        time.sleep(0.2)


def _keep_alive(line: socket.socket) -> socket.socket:
    """A connection whose other end is missed within half a minute when its machine is gone without a word."""
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, option):
            line.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return line
