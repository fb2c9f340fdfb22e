"""A server that says on the bare socket whatever it likes, at whatever pace."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator

Script = Callable[[socket.socket, threading.Event], None]
"""What is done with each connection, until it returns or the event is set."""


@contextlib.contextmanager
def wire(script: Script, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Its address, while it runs."""
    ending = threading.Event()

    def serve(sock: socket.socket) -> None:
        with contextlib.suppress(OSError), sock:
            if tls:
                sock = tls.wrap_socket(sock, server_side=True)
            with sock:
                script(sock, ending)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True).start()

    listening = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        ending.set()
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()


def read_request(sock: socket.socket) -> bytes:
    """One request with its body."""
    data = b""
    while b"\r\n\r\n" not in data and (more := sock.recv(1 << 16)):
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
    while len(body) < length and (more := sock.recv(1 << 16)):
        body += more
    return head + b"\r\n\r\n" + body


def then_without_end(start: bytes, again: bytes, pause: float) -> Script:
    """Read the request, say `start`, and then `again` after each pause."""

    def script(sock: socket.socket, ending: threading.Event) -> None:
        read_request(sock)
        sock.sendall(start)
        while not ending.wait(pause):
            sock.sendall(again)

    return script


def reset(sock: socket.socket) -> None:
    """Close so that the other side gets a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
