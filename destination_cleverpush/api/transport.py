"""One HTTP exchange with one host over kept connections.

Calls go through `requests`' pooled adapter with prepared requests. `Session.request` looks up proxies, netrc,
cookies and redirects on every call, which costs more than twice as much; here the environment's proxies and CA bundle
are resolved once, and a redirect is never followed, so that the key goes nowhere else.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from enum import Enum
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter

from destination_cleverpush.api.reasons import LONGEST_WORDS
from destination_cleverpush.api.settings import Settings

LARGEST_ANSWER_BYTES = 1 << 16
LARGEST_LIST_BYTES = 1 << 22


class Trouble(Enum):
    """Why no answer came."""

    SILENT = "it did not come in time"
    UNCONNECTED = "no connection came about: a wrong host or port, no route"
    PROXY = "no connection to the proxy came about, or it refused"
    BROKEN = "the connection broke"
    UNTRUSTED = "the certificate is not trusted"
    TLS = "no TLS connection came about"


class NoReply(Exception):
    """An exchange that ended without an answer."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.value)
        self.trouble = trouble


class Reply:
    """An HTTP answer: status, headers (case-insensitive) and body, which is `whole` unless it is overlong.

    The body is kept without the blanks before it.
    """

    __slots__ = ("body", "headers", "status", "whole")

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes, *, whole: bool) -> None:
        self.status = status
        self.headers = headers
        self.body = body.lstrip()
        self.whole = whole

    @property
    def is_page(self) -> bool:
        """Whether the body is a web page: of a server that knows no such route, or of something in between."""
        return self.body.startswith(b"<")

    def json(self) -> Any:
        """The body as JSON, or None where it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    def words(self) -> str:
        """CleverPush's own words: `error`, `message` and `errors` where they are there, else the text."""
        body = self.json()
        if isinstance(body, Mapping):
            parts = [body[name] for name in ("error", "message", "errors") if body.get(name)]
            found = "; ".join(part if isinstance(part, str) else json.dumps(part, ensure_ascii=False) for part in parts)
        else:
            found = self.body.decode("utf-8", "replace")
        return " ".join(found.split())[:LONGEST_WORDS]


class Transport:
    """Exchanges with the API's address, with the private key. Safe to use from many threads at once."""

    def __init__(self, settings: Settings) -> None:
        self._address = settings.base_url
        self._timeout = settings.request_timeout_seconds
        self._adapter = _Adapter(settings.connections)
        self._headers: dict[str, str] = {
            "Authorization": settings.api_key,
            "Content-Type": "application/json",
            "Accept-Encoding": "gzip, deflate",
            "User-Agent": f"airbyte-destination-cleverpush {requests.utils.default_user_agent()}",
        }
        # Proxies and the CA bundle from the environment, resolved once for the one host that is called.
        chosen = requests.Session().merge_environment_settings(settings.base_url, {}, None, None, None)
        self._environment: dict[str, Any] = {name: chosen[name] for name in ("proxies", "verify", "cert")}

    def exchange(self, method: str, path: str, body: bytes | None = None, most: int = LARGEST_ANSWER_BYTES) -> Reply:
        """Ask once. Of the answer's body `most` bytes are read.

        Raises:
            NoReply: no answer came.
        """
        try:
            return self._exchange(method, self._address + path, body, most)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise NoReply(_trouble(error)) from error

    def close(self) -> None:
        """Close the kept connections."""
        self._adapter.close()

    def _exchange(self, method: str, url: str, body: bytes | None, most: int) -> Reply:
        request = requests.PreparedRequest()
        request.method, request.url, request.body = method, url, body
        request.headers = self._headers  # type: ignore[assignment]
        if body is not None:
            request.headers = {**self._headers, "Content-Length": str(len(body))}  # type: ignore[assignment]
        deadline = time.monotonic() + 2 * self._timeout
        response = self._adapter.send(request, stream=True, timeout=self._timeout, **self._environment)
        content = b""
        # Each read waits for at most the time-out; the deadline ends an answer that trickles in for ever.
        while chunk := response.raw.read1(LARGEST_ANSWER_BYTES, decode_content=True):
            content += chunk
            if len(content) >= most:
                response.close()
                return Reply(response.status_code, response.headers, content, whole=False)
            if time.monotonic() > deadline:
                response.close()
                raise requests.exceptions.ReadTimeout
        return Reply(response.status_code, response.headers, content, whole=True)


class _Adapter(HTTPAdapter):
    """requests' adapter for calls to one host, where what is the same for every call is worked out once.

    That is the connection pool (proxy, TLS) and the request target of each route. Cookies are not kept. Each method is
    one that requests documents for subclasses.
    """

    def __init__(self, connections: int) -> None:
        super().__init__(pool_connections=1, pool_maxsize=connections)
        self._pool: Any = None
        self._targets: dict[str | None, str] = {}

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """The one pool."""
        if self._pool is None:
            self._pool = super().get_connection_with_tls_context(*args, **kwargs)
        return self._pool

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:
        """What stands in the request line: the path, or the whole URL for a proxy."""
        target = self._targets.get(request.url)
        if target is None:
            target = self._targets[request.url] = super().request_url(request, proxies)
        return target

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """Status, headers and the unread body."""
        response = requests.Response()
        response.status_code, response.headers, response.raw, response.request = resp.status, resp.headers, resp, req
        return response


def _trouble(error: Exception) -> Trouble:
    if isinstance(error, requests.exceptions.SSLError):
        return Trouble.UNTRUSTED if "CERTIFICATE_VERIFY_FAILED" in str(error) else Trouble.TLS
    if isinstance(error, requests.exceptions.Timeout | urllib3.exceptions.TimeoutError | TimeoutError):
        return Trouble.SILENT
    cause = getattr(error.args[0] if error.args else None, "reason", None)
    if isinstance(error, requests.exceptions.ProxyError) or isinstance(cause, urllib3.exceptions.ProxyError):
        return Trouble.PROXY
    return Trouble.UNCONNECTED if isinstance(cause, urllib3.exceptions.NewConnectionError) else Trouble.BROKEN
