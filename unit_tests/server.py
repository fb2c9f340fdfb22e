"""A real HTTP server on a loopback socket that answers as it is told, and remembers what it was asked."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple


class Asked(NamedTuple):
    """A request as it arrived; header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Canned(NamedTuple):
    """An answer. `raw` takes the place of all else: bytes for the bare socket, after which it is closed.

    `trickle` is the pause in seconds after each byte of the body; `silence` the seconds before the answer begins.
    """

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = {}
    raw: bytes | None = None
    trickle: float = 0.0
    silence: float = 0.0


def said(status: int, words: Any = None, **headers: str) -> Canned:
    """An answer with a JSON body: an object with the error's words, or any other value as it is."""
    body = {"error": words} if isinstance(words, str) else {} if words is None else words
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Canned(status, json.dumps(body).encode(), {"Content-Type": "application/json", **named})


class Server:
    """Runs within a `with` block, on a free port.

    Args:
        answer: what to answer; an exception of its own drops the connection.
        tls: serve HTTPS with this context.
    """

    def __init__(self, answer: Callable[[Asked], Canned] | Canned, tls: ssl.SSLContext | None = None) -> None:
        self.answer = answer if callable(answer) else lambda _: answer
        self.asked: list[Asked] = []
        self.connections = 0
        self._closing = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            timeout = 30

            def setup(self) -> None:
                outer.connections += 1
                super().setup()

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except OSError:  # the client went away
                    self.close_connection = True

            def respond(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                asked = Asked(self.command, self.path, headers, body)
                outer.asked.append(asked)
                outer._give(self, outer.answer(asked))

            do_GET = do_POST = do_CONNECT = respond  # noqa: N815 - names that http.server looks for

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self._scheme = "https" if tls else "http"
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def _give(self, handler: BaseHTTPRequestHandler, canned: Canned) -> None:
        if canned.silence:
            self._closing.wait(canned.silence)
        if canned.raw is not None:
            handler.wfile.write(canned.raw)
            handler.close_connection = True
            return
        handler.send_response_only(canned.status)
        lengthless = canned.status in (204, 304) or canned.status < 200
        for name, value in {"Content-Length": str(len(canned.body)), **canned.headers}.items():
            if not (lengthless and name == "Content-Length"):
                handler.send_header(name, value)
        handler.end_headers()
        if canned.trickle:
            for byte in canned.body:
                if self._closing.wait(canned.trickle):
                    break
                handler.wfile.write(bytes([byte]))
        elif not lengthless:
            handler.wfile.write(canned.body)

    @property
    def written(self) -> list[Asked]:
        """The writing calls among what was asked."""
        return [asked for asked in self.asked if asked.method == "POST"]

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()


def closed_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def wait_until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for something that happens soon.

    Raises:
        AssertionError: it did not.
    """
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "this did not happen in time"
        time.sleep(0.005)
