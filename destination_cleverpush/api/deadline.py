"""One deadline over a whole call, whatever the server does with it.

http.client and `requests` bound each silence, never their sum: a header line that trickles, `100 Continue` without
end, a chunk extension or a gzip header that goes on for ever each keep a call for hours. Here the connection's own
methods look at the deadline of the call that their thread is in, so that no further thread is needed and a call costs
a few reads of the clock. It works the same over TLS and proxies, since the socket is read where they all end up.
"""

from __future__ import annotations

import http.client
import io
import threading
import time
from collections.abc import Callable
from typing import Any

PIECE_BYTES = 1 << 14  # what is sent between two looks at the clock; a record of TLS holds as much
_LEAST_WAIT_SECONDS = 0.001


class Call:
    """A call on its way.

    It may take twice the time-out, and each silence within it the time-out. Looking up the host's name is left to the
    system's resolver, whose own limit holds; each of the host's addresses is tried for at most the time-out; and what
    is under way when the deadline comes (a TLS handshake) ends by the time-out.

    Attributes:
        silence: seconds, the longest that is waited for the next bytes.
        deadline: when it ends, on the monotonic clock.
        fresh: its connection was made for it.
        sent: the server may have seen something of the body.
        answered: status and headers came.
        received: what has come of the answer before it is read.
    """

    __slots__ = ("answered", "deadline", "fresh", "received", "sent", "silence")

    def __init__(self, timeout: float) -> None:
        self.silence = timeout
        self.deadline = time.monotonic() + 2 * timeout
        self.fresh = self.sent = self.answered = False
        self.received = memoryview(b"")

    def wait(self) -> float:
        """Seconds that the next step may take.

        Raises:
            TimeoutError: the deadline has passed.
        """
        left = self.deadline - time.monotonic()
        if left < _LEAST_WAIT_SECONDS:
            raise TimeoutError("timed out")
        return min(left, self.silence)


class Calls(threading.local):
    """The call that each thread is in."""

    now: Call


def bounded(connection_class: type[Any], calls: Calls) -> type[Any]:
    """A class of urllib3's connections that keeps to the deadline of its thread's call."""

    class Bounded(connection_class):  # type: ignore[misc]
        def connect(self) -> None:
            call = calls.now
            call.fresh = True
            self.timeout = call.wait()
            super().connect()

        gathered: list[Any] | None = None  # pieces of a request, which leave in one write where they are short

        def request(self, *args: Any, **options: Any) -> None:
            self.gathered = []
            try:
                super().request(*args, **options)
                self._send_gathered()
            finally:
                self.gathered = None
            calls.now.sent = True

        def _send_gathered(self) -> None:
            if self.gathered:
                data, self.gathered = b"".join(self.gathered), None
                super().send(data)

        def send(self, data: Any) -> None:
            if len(data) <= PIECE_BYTES:
                if self.gathered is None:
                    super().send(data)
                else:
                    self.gathered.append(data)
                return
            self._send_gathered()
            call = calls.now
            for start in range(0, len(data), PIECE_BYTES):
                if self.sock is not None:
                    self.sock.settimeout(call.wait())
                super().send(data[start : start + PIECE_BYTES])
                call.sent = True

        def getresponse(self) -> Any:
            response = super().getresponse()
            calls.now.answered = True
            return response

        def response_class(self, sock: Any, *args: Any, **options: Any) -> http.client.HTTPResponse:
            return _Response(_Incoming(sock, calls.now), *args, **options)  # type: ignore[arg-type]

    return Bounded


class _Response(http.client.HTTPResponse):
    """An answer; interim ones (RFC 9110, 15.2) are passed over, as http.client itself passes over 100."""

    def begin(self) -> None:
        super().begin()
        while 100 <= self.status < 200 and self.status != 101:
            self.headers = self.msg = None  # type: ignore[assignment]
            super().begin()


class _Incoming(io.RawIOBase):
    """What a socket receives, in place of the socket's own file: each read waits for as long as the call may."""

    def __init__(self, sock: Any, call: Call) -> None:
        self._file = sock.makefile("rb", buffering=0)  # keeps the socket open until it is closed itself
        self._receive: Callable[[Any], int] = sock.recv_into
        self._sock = sock
        self._call = call

    def makefile(self, _mode: str) -> io.BufferedReader:
        """What http.client asks a socket for."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if received := self._call.received:
            count = min(len(buffer), len(received))
            buffer[:count] = received[:count]
            self._call.received = received[count:]
            return count
        wait = self._call.wait()
        if wait < self._call.silence:
            self._sock.settimeout(wait)
        return self._receive(buffer)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
            super().close()
