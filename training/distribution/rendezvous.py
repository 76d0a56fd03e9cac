"""Rendezvous of the processes at the coordinator, over TCP, and a relay to JAX's coordination service.

Process 0 listens at the coordinator's address. The first line of a connection tells whether it is a process that joins
or a connection to JAX's coordination service, which listens on this machine alone.
"""

import contextlib
import os
import socket
import threading
import time

from keras_mobilenets.errors import UserError, first_line

PATIENCE = 5.0  # seconds after the deadline to wait for the answer of process 0


def accept_processes(host: str, port: int, processes: int, deadline: float, service: int) -> dict[int, socket.socket]:
    """Accepts all other processes; afterwards, the port relays to JAX's service.

    Args:
        host: Address of this machine.
        port: Port.
        processes: Their number, with this one.
        deadline: When all must be there, by `time.monotonic`, in seconds.
        service: The local port of JAX's service.

    Returns:
        The connections by the number of the process.

    Raises:
        UserError: The port cannot be listened at, or a process is missing at the deadline.
    """
    try:
        listener = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=2 * processes
        )
    except OSError as error:
        raise UserError(
            f"process 0 cannot listen at {host}:{port} ({os.strerror(error.errno or 0)}); "
            "give an address of this machine and a free port"
        ) from error
    connections: dict[int, socket.socket] = {}
    changed = threading.Condition()

    def greet(connection: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):
            word, *numbers = read_line(connection).split()
            if word == "jax":
                _pump_both(connection, _connect("127.0.0.1", service, time.monotonic() + 60))
            elif word == "join":
                number, count = map(int, numbers)
                with changed:
                    if count != processes:
                        why = f"process 0 was started with {processes} processes, this one with {count}"
                    elif number in connections:
                        why = f"there is a process {number} already"
                    else:
                        connections[number] = _keep_alive(connection)
                        changed.notify()
                        return
                connection.sendall(f"no {why}\n".encode())
                connection.close()

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=greet, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    with changed:
        if not changed.wait_for(lambda: len(connections) == processes - 1, deadline - time.monotonic()):
            missing = ", ".join(str(number) for number in range(1, processes) if number not in connections)
            listener.close()
            raise UserError(
                f"process {missing} of {processes} did not connect to {host}:{port} in time; start them all"
            )
    for connection in connections.values():
        connection.sendall(b"yes\n")
    return connections


def join(host: str, port: int, processes: int, process_id: int, deadline: float) -> socket.socket:
    """Connects to process 0 and waits for the others; returns the connection.

    Raises:
        UserError: Process 0 does not answer, refuses this one, or has stopped waiting.
    """
    connection = _keep_alive(_connect(host, port, deadline))
    try:
        connection.sendall(f"join {process_id} {processes}\n".encode())
        connection.settimeout(max(0.0, deadline - time.monotonic()) + PATIENCE)
        word, _, why = read_line(connection).partition(" ")
    except OSError as error:
        raise UserError(f"no answer from {host}:{port} ({error}); is it process 0 that runs there?") from error
    if word == "no":
        raise UserError(why)
    if word != "yes":
        raise UserError(f"process 0 at {host}:{port} has stopped while it waited for the others; start them all again")
    connection.settimeout(None)
    return connection


def start_relay(host: str, port: int) -> int:
    """Starts a relay to JAX's service and returns its local port; here a connection outlives the service's end."""
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
    """An unused port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def read_line(connection: socket.socket) -> str:
    """Reads up to the next line break, and not beyond; empty at the end of the connection."""
    received = b""
    while not received.endswith(b"\n"):
        if not (byte := connection.recv(1)):
            return ""
        received += byte
    return received.decode(errors="replace").strip()


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
    """Connects, with retries until the deadline."""
    while True:
        try:
            connection = socket.create_connection((host, port), max(1.0, deadline - time.monotonic()))
            connection.settimeout(None)
            return connection
        except OSError as error:
            if time.monotonic() + 0.2 > deadline:
                raise UserError(
                    f"cannot reach process 0 at {host}:{port} ({first_line(error)}); "
                    "start it there, or correct the coordinator's address"
                ) from error
        time.sleep(0.2)


def _keep_alive(connection: socket.socket) -> socket.socket:
    """A connection with keepalive: a machine that disappears is noticed within half a minute."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, option):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return connection
