"""One HTTP exchange with one host over kept connections.

Calls go through `requests`' pooled adapter with prepared requests. `Session.request` looks up proxies, netrc,
cookies and redirects on every call, which costs more than twice as much; here the environment's proxies and CA bundle
are resolved once, and a redirect is never followed, so that the key goes nowhere else.
"""

from __future__ import annotations

import http.client
import queue
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter

from destination_cleverpush.api.deadline import PIECE_BYTES, Call, Calls, bounded
from destination_cleverpush.api.environment import Proxy, require_bundle, unusable_proxy
from destination_cleverpush.api.exchange import FAILURES, Exchange, give_back, no_reply
from destination_cleverpush.api.reply import LARGEST_ANSWER_BYTES, Reply, read_reply
from destination_cleverpush.api.settings import Settings


class Transport:
    """Exchanges with the API's address, with the private key. Safe to use from many threads at once.

    Raises:
        Failure: `config_error`, the environment names a proxy or a CA bundle that cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        self._address = settings.base_url
        self._timeout = settings.request_timeout_seconds
        self._calls = Calls()
        self._heads: dict[tuple[str, str], bytes] = {}
        self._headers: dict[str, str] = {
            "Authorization": settings.api_key,
            "Content-Type": "application/json",
            "Accept-Encoding": "gzip, deflate",
            "User-Agent": f"airbyte-destination-cleverpush {requests.utils.default_user_agent()}",
        }
        # Proxies and the CA bundle from the environment, resolved once for the one host that is called.
        chosen = requests.Session().merge_environment_settings(self._address, {}, None, None, None)
        self._environment: dict[str, Any] = {name: chosen[name] for name in ("proxies", "verify", "cert")}
        self.proxy = Proxy.of(self._address, chosen["proxies"])
        if self._address.startswith("https:") and isinstance(chosen["verify"], str):
            require_bundle(chosen["verify"])
        try:
            self._adapter = _Adapter(settings.connections, self._calls, self._request("GET", "/"), self._environment)
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
            raise unusable_proxy(self.proxy, error) from None

    def exchange(self, method: str, path: str, body: bytes | None = None, most: int = LARGEST_ANSWER_BYTES) -> Reply:
        """Ask once, within twice the time-out (:class:`Call`). Of the answer's body `most` bytes are read.

        Raises:
            NoReply: no answer came.
        """
        call = self._calls.now = Call(self._timeout)
        request = self._request(method, path, body)
        try:
            response = self._adapter.send(request, stream=True, timeout=self._timeout, **self._environment)
            return read_reply(response.raw, most)
        except FAILURES as error:
            raise no_reply(error, call) from error

    def begin(
        self, method: str, path: str, body: bytes | None = None, most: int = LARGEST_ANSWER_BYTES
    ) -> Exchange | None:
        """Ask, and do not wait for the answer; None where only :meth:`exchange` can, since it may have to wait.

        That is where no connection is kept, or the body is long.

        Raises:
            NoReply: it cannot be asked.
        """
        if body is not None and len(body) > PIECE_BYTES:
            return None
        connection = self._adapter.kept_connection()
        if connection is None:
            return None
        call = Call(self._timeout)
        try:
            request = self._head(connection, method, path)
            if body is not None:
                request += b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
            with suppress(BrokenPipeError, ConnectionResetError):  # there may be an answer all the same
                connection.sock.settimeout(call.wait())
                connection.sock.sendall(request)
                call.sent = True
            connection.sock.settimeout(0.0)
            return Exchange(self._calls, call, connection, self._adapter.kept, method=method, most=most)
        except FAILURES as error:
            give_back(connection, self._adapter.kept, usable=False)
            raise no_reply(error, call) from error

    def close(self) -> None:
        """Close the kept connections."""
        self._adapter.close()

    def _head(self, connection: Any, method: str, path: str) -> bytes:
        """A request as it is sent but for its body and the length of that, as the connection itself writes it."""
        head = self._heads.get((method, path))
        if head is None:
            self._calls.now = Call(self._timeout)
            body = b"" if method == "POST" else None
            head = self._adapter.head(connection, self._request(method, path, body), self._environment["proxies"])
            if body is not None:
                before, _, after = head.partition(b"\r\nContent-Length: 0\r\n")
                head = before + b"\r\n" + after[:-2]
                self._heads[method, path] = head
        return head

    def _request(self, method: str, path: str, body: bytes | None = None) -> requests.PreparedRequest:
        request = requests.PreparedRequest()
        request.method, request.url, request.body = method, self._address + path, body
        request.headers = self._headers  # type: ignore[assignment]
        if body is not None:
            request.headers = {**self._headers, "Content-Length": str(len(body))}  # type: ignore[assignment]
        return request


class _Adapter(HTTPAdapter):
    """requests' adapter for calls to one host, where what is the same for every call is worked out once.

    That is the connection pool (proxy, TLS). Cookies are not kept. What is overridden, requests documents for
    subclasses.
    """

    def __init__(
        self, connections: int, calls: Calls, request: requests.PreparedRequest, environment: Mapping[str, Any]
    ) -> None:
        super().__init__(pool_connections=1, pool_maxsize=connections)
        verify, cert = environment["verify"], environment["cert"]
        pool: Any = super().get_connection_with_tls_context(request, verify, environment["proxies"], cert)
        super().cert_verify(pool, request.url, verify, cert)  # type: ignore[no-untyped-call]
        pool.ConnectionCls = bounded(pool.ConnectionCls, calls)
        self._pool = pool
        self._forwarded = pool.proxy_headers if str(request.url).startswith("http:") else {}

    @property
    def kept(self) -> queue.Queue[Any]:
        """The pool's connections, None in place of those that were not made yet."""
        kept: queue.Queue[Any] = self._pool.pool
        return kept

    def kept_connection(self) -> Any:
        """A connection over which can be asked at once, taken from the kept ones; None where there is none."""
        try:
            connection = self.kept.get_nowait()
        except queue.Empty:
            return None
        if connection is not None and connection.is_connected:
            return connection
        give_back(connection, self.kept, usable=False)
        return None

    def head(self, connection: Any, request: requests.PreparedRequest, proxies: Any) -> bytes:
        """What a kept connection would send for a request, as :meth:`send` has it; nothing is sent."""
        wire, connection.sock = connection.sock, (sink := _Sink())
        try:
            connection.request(
                request.method,
                self.request_url(request, proxies),
                body=request.body,
                headers={**request.headers, **self._forwarded},
            )
        finally:
            http.client.HTTPConnection.close(connection)  # it is ready for a request again
            connection.sock = wire
        return bytes(sink.taken)

    def get_connection_with_tls_context(self, *_args: Any, **_options: Any) -> Any:
        """The one pool."""
        return self._pool

    def cert_verify(self, *_args: Any) -> None:
        """The pool has its certificates."""

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """Status, headers and the unread body."""
        response = requests.Response()
        response.status_code, response.headers, response.raw, response.request = resp.status, resp.headers, resp, req
        return response


class _Sink:
    """Takes what a connection sends, in its socket's place."""

    def __init__(self) -> None:
        self.taken = bytearray()

    def sendall(self, data: bytes) -> None:
        self.taken += data

    def settimeout(self, _seconds: float) -> None:
        """It never waits."""

    def close(self) -> None:
        """There is nothing to close."""
