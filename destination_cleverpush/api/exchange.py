"""A call on its way over a kept connection, for one who does not wait: it is sent, and read when its answer is there.

What has come is collected without waiting until the answer is there in full. Most answers have a form that is read
here; http.client and urllib3 read any other. Only an answer whose form does not show its end has to be waited for.
"""

from __future__ import annotations

import http.client
import queue
import re
import ssl
import time
from typing import Any

import requests
import urllib3

from destination_cleverpush.api.deadline import Call, Calls
from destination_cleverpush.api.reply import Reply, read_reply
from destination_cleverpush.api.trouble import NoReply, Trouble, trouble_of, why

FAILURES = (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException, OSError, MemoryError)
"""What an exchange without an answer raises."""

_PIECE_BYTES = 1 << 16
_LONGEST_HEAD_BYTES = 1 << 14
_MORE = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_LENGTH = re.compile(rb"\ncontent-length:[ \t]*(\d{1,10})[ \t]*\r?\n", re.IGNORECASE)
_ENCODED = re.compile(rb"\ntransfer-encoding:", re.IGNORECASE)
# Stricter than it need be: what does not match is read by http.client (RFC 9112, 4 and 5; no folded lines).
_PLAIN = re.compile(
    rb"HTTP/1\.1 ((?!204|304)[2-5]\d\d)(?: [ -~]*)?\r\n((?:[!#-'*+.\w-]+:[\t -~\x80-\xff]*\r\n)+)\r\n", re.ASCII
)
_CHUNK = re.compile(rb"([0-9a-fA-F]{1,8})\r\n")
_FIELD = re.compile(rb"([^:]+):[ \t]*([^\r]*)\r\n")
_BODILESS = (b" 204", b" 304")  # whatever length they name (RFC 9112, 6.3)
_LAST_CHUNK = b"\r\n0\r\n\r\n"


class Exchange:
    """A call that was sent, over a connection taken from `kept`, to which it is given back.

    Attributes:
        due: when to look also if nothing has come, on the monotonic clock.
        blocks: the answer's end does not show: :meth:`wait` for it, in a thread that may.
    """

    __slots__ = ("_call", "_calls", "_connection", "_fileno", "_kept", "_method", "_most", "_received", "blocks", "due")

    def __init__(
        self, calls: Calls, call: Call, connection: Any, kept: queue.Queue[Any], *, method: str, most: int
    ) -> None:
        self._calls = calls
        self._call = call
        self._connection = connection
        self._kept = kept
        self._most = most
        self._method = method
        self._received = b""
        self._fileno: int = connection.sock.fileno()
        self.blocks = False
        self.due = time.monotonic() + call.wait()

    def fileno(self) -> int:
        """The descriptor on which the answer comes."""
        return self._fileno

    def look(self) -> Reply | None:
        """Take what has come, without waiting; None while the answer is not there in full.

        Raises:
            NoReply: no answer came.
        """
        try:
            while not self._take():
                pass
        except _MORE:
            if time.monotonic() < self.due:
                return None
            raise self._failed(TimeoutError("timed out")) from None
        except FAILURES as error:
            raise self._failed(error) from error
        if self.blocks:
            return None
        reply = plain(self._received, self._most)
        if reply is None:
            return self.wait()
        give_back(self._connection, self._kept, usable=True)
        return reply

    def wait(self) -> Reply:
        """The answer; waits for what has not come.

        Raises:
            NoReply: no answer came.
        """
        self._calls.now = self._call
        self._call.received = memoryview(self._received)
        try:
            self._connection.sock.settimeout(self._call.silence)  # from here on it may wait, until the call's deadline
            reply = read_reply(self._response(), self._most)
        except FAILURES as error:
            raise self._failed(error) from error
        give_back(self._connection, self._kept, usable=reply.whole)
        return reply

    def _response(self) -> urllib3.HTTPResponse:
        """The answer as http.client and urllib3 read it."""
        response = self._connection.response_class(self._connection.sock, method=self._method)
        response.begin()
        self._call.answered = True
        if response.will_close:
            self._connection.close()  # its socket stays open for the response
        return urllib3.HTTPResponse(
            response,
            urllib3.HTTPHeaderDict(response.headers.items()),
            response.status,
            preload_content=False,
            original_response=response,
            request_method=self._method,
        )

    def _take(self) -> bool:
        """Take a piece; returns whether there is to be no other."""
        piece = self._connection.sock.recv(_PIECE_BYTES) or b""  # urllib3's TLS within TLS says 0 at the end
        self._received = self._received + piece if self._received else piece
        if not piece:
            return True
        whole = is_whole(self._received)
        if whole:
            return True
        self.blocks = whole is None or len(self._received) > self._most
        self.due = time.monotonic() + self._call.wait()
        return self.blocks

    def _failed(self, error: BaseException) -> NoReply:
        give_back(self._connection, self._kept, usable=False)
        return no_reply(error, self._call)


def plain(received: bytes, most: int) -> Reply | None:
    """An answer of the form that most have, read without http.client's parser, which takes a third of a call.

    That is HTTP/1.1 over a connection that is kept, and a short body of a named length or in chunks, that has come with
    nothing after it. None: it has another form.
    """
    if len(received) > most or received.find(b"\r\n\r\n", 0, _LONGEST_HEAD_BYTES) < 0:
        return None
    if (head := _PLAIN.match(received)) is None:
        return None
    headers = urllib3.HTTPHeaderDict()
    for name, value in _FIELD.findall(head[2]):
        headers.add(name.decode("ascii"), value.decode("latin-1"))
    if headers.get("Connection", "keep-alive").lower() != "keep-alive" or "Content-Encoding" in headers:
        return None
    body: bytes | None = received[head.end() :]
    if (encoding := headers.get("Transfer-Encoding")) is not None:
        body = _joined(received, head.end()) if encoding == "chunked" and "Content-Length" not in headers else None
    elif headers.get("Content-Length") != str(len(received) - head.end()):
        return None
    return None if body is None else Reply(int(head[1]), headers, body, whole=True)


def _joined(received: bytes, at: int) -> bytes | None:
    """A body that came in chunks from `at` on; None: it is not wholly there, something is after it, or it has more."""
    body = b""
    while chunk := _CHUNK.match(received, at):
        size = int(chunk[1], 16)
        at = chunk.end() + size
        if not size:
            return body if received[at:] == b"\r\n" else None
        body += received[chunk.end() : at]
        if received[at : at + 2] != b"\r\n":
            return None
        at += 2
    return None


def give_back(connection: Any, kept: queue.Queue[Any], *, usable: bool) -> None:
    """Keep a connection for other calls; one that is not usable is closed, and made anew when it is wanted."""
    if connection is not None and not usable:
        connection.close()
    try:
        kept.put_nowait(connection)
    except queue.Full:
        if connection is not None:
            connection.close()


def no_reply(error: BaseException, call: Call) -> NoReply:
    """What it means that an exchange ended with an exception."""
    trouble = trouble_of(error)
    crowded = trouble is Trouble.BROKEN and call.fresh and not call.answered
    return NoReply(trouble, sent=call.sent, crowded=crowded, why=why(error))


def is_whole(received: bytes) -> bool | None:
    """Whether an answer to a GET or a POST is there in full; None where what there is of it does not show that."""
    if (end := _HEAD_END.search(received)) is None:
        return False
    head = received[: end.end()]
    if head[8:10] == b" 1":  # an interim answer (RFC 9110, 15.2)
        return None
    if _ENCODED.search(head):
        return received.endswith(_LAST_CHUNK) or None
    if head[8:12] in _BODILESS:
        return True
    length = _LENGTH.search(head)
    return None if length is None else len(received) - len(head) >= int(length[1])
