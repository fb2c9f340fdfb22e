"""Why no answer came, read from what `requests`, urllib3 and the system raise."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from enum import Enum

import requests
import urllib3

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM})
_TUNNEL = re.compile(r"Tunnel connection failed: (\d+)")  # http.client's own words
_TUNNEL_MAY_PASS = frozenset({408, 425, 429})
# of which urllib3 makes a connection that was refused one too
_TIMED_OUT = (TimeoutError, urllib3.exceptions.TimeoutError, requests.exceptions.Timeout)


class Trouble(Enum):
    """What went wrong."""

    EXHAUSTED = "this machine has no descriptor, port or memory left"
    SILENT = "it did not come in time"
    UNCONNECTED = "no connection came about: a wrong host or port, no route, refused"
    PROXY = "no connection to the proxy came about, or it could not go on"
    PROXY_REFUSED = "the proxy does not want to be used like this"
    BROKEN = "the connection broke"
    UNTRUSTED = "the certificate is not trusted"
    TLS = "no TLS connection came about"


class NoReply(Exception):
    """An exchange that ended without an answer.

    Attributes:
        trouble: what went wrong.
        sent: the server may have seen something of the body, so that it can have been the body's fault.
        crowded: a new connection was closed before it gave any answer, as servers do that have enough of them.
        why: the system's words for it in brackets, after a blank, such as ` (connection refused)`; empty without any.
    """

    def __init__(self, trouble: Trouble, *, sent: bool = True, crowded: bool = False, why: str = "") -> None:
        super().__init__(trouble.value)
        self.why = why
        self.trouble = trouble
        self.sent = sent
        self.crowded = crowded


def trouble_of(error: BaseException) -> Trouble:
    """What went wrong, by the exception that came out and those that it stands for."""
    causes = list(_causes(error))
    if any(isinstance(c, MemoryError) or (isinstance(c, OSError) and c.errno in _EXHAUSTED) for c in causes):
        return Trouble.EXHAUSTED
    if isinstance(error, requests.exceptions.SSLError):
        return Trouble.UNTRUSTED if "CERTIFICATE_VERIFY_FAILED" in str(error) else Trouble.TLS
    if any(isinstance(c, _TIMED_OUT) and not isinstance(c, urllib3.exceptions.NewConnectionError) for c in causes):
        return Trouble.SILENT
    for cause in causes:
        if isinstance(cause, OSError) and (refused := _TUNNEL.search(str(cause))):
            status = int(refused[1])
            final = 400 <= status < 500 and status not in _TUNNEL_MAY_PASS
            return Trouble.PROXY_REFUSED if final else Trouble.PROXY
    if any(isinstance(c, urllib3.exceptions.ProxyError) for c in causes):
        return Trouble.PROXY
    never = any(isinstance(c, urllib3.exceptions.NewConnectionError) for c in causes)
    return Trouble.UNCONNECTED if never else Trouble.BROKEN


def why(error: BaseException) -> str:
    """What :attr:`NoReply.why` holds for an exception."""
    words = next((c.strerror for c in _causes(error) if isinstance(c, OSError) and c.errno and c.strerror), "")
    return f" ({words[0].lower()}{words[1:]})" if words else ""


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and those that it wraps: as cause, as urllib3's `reason`, or among its arguments."""
    seen: set[int] = set()
    waiting: list[BaseException] = [error]
    while waiting:
        error = waiting.pop(0)
        if id(error) in seen:
            continue
        seen.add(id(error))
        yield error
        inner = (error.__cause__, getattr(error, "reason", None), *error.args)
        waiting += [part for part in inner if isinstance(part, BaseException)]
