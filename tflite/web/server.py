"""Serves a site to phones on the same network, with the headers that threads need."""

import contextlib
import functools
import shutil
import socket
import ssl
import subprocess
import tempfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from keras_mobilenets.errors import UserError, first_line, first_of

HEADERS = {  # without them a page gets no SharedArrayBuffer, and WebAssembly no threads
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


class _Handler(SimpleHTTPRequestHandler):
    extensions_map = SimpleHTTPRequestHandler.extensions_map | {".js": "text/javascript", ".wasm": "application/wasm"}

    def end_headers(self) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """A phone that loads the page is nothing to report."""

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # the phone went away, or does not take the certificate
            super().handle()


def server(folder: Path, port: int, *, is_secure: bool) -> ThreadingHTTPServer:
    """A server of a folder, on all addresses of this machine.

    Args:
        folder: The site.
        port: 0 for any that is free.
        is_secure: Whether it speaks HTTPS, by a certificate that it signs itself: browsers give threads, WebGPU and
            cameras to pages by HTTPS or of their own machine only.

    Returns:
        The server; `serve_forever` answers requests.

    Raises:
        UserError: The port is taken, or openssl, which makes the certificate, is missing or fails.
    """
    handler = functools.partial(_Handler, directory=str(folder))
    try:
        made = ThreadingHTTPServer(("", port), handler)
    except (OSError, OverflowError) as error:
        raise UserError(f"cannot serve at port {port}: {first_line(error)}; give --port another") from error
    if is_secure:
        try:
            made.socket = _context().wrap_socket(made.socket, server_side=True, do_handshake_on_connect=False)
        except UserError:
            made.server_close()
            raise
    return made


def address() -> str:
    """This machine's address on its network; 127.0.0.1 without one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # of no machine (RFC 5737); nothing is sent
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def _context() -> ssl.SSLContext:
    openssl = shutil.which("openssl")
    if openssl is None:
        raise UserError("openssl makes the certificate, and is not installed: apt-get install openssl, or give --http")
    with tempfile.TemporaryDirectory() as folder:
        key, certificate = Path(folder) / "key.pem", Path(folder) / "certificate.pem"
        command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        names = f"subjectAltName=IP:{address()},IP:127.0.0.1,DNS:localhost"
        ends = ["-days", "7", "-subj", "/CN=keras-mobilenets", "-addext", names]
        done = subprocess.run(
            [*command, *ends, "-keyout", str(key), "-out", str(certificate)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )
        if done.returncode:
            raise UserError(f"openssl makes no certificate: {first_of(done.stderr)}; give --http")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
    return context
