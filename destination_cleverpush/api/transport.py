"""One HTTP exchange with one host over kept connections.

Calls go through `requests`' pooled adapter with prepared requests. `Session.request` looks up proxies, netrc,
cookies and redirects on every call, which costs more than twice as much; here the environment's proxies and CA bundle
are resolved once, and a redirect is never followed, so that the key goes nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter

from destination_cleverpush.api.deadline import Call, Calls, bounded
from destination_cleverpush.api.environment import Proxy, require_bundle, unusable_proxy
from destination_cleverpush.api.reasons import LONGEST_WORDS
from destination_cleverpush.api.settings import Settings
from destination_cleverpush.api.trouble import NoReply, Trouble, trouble_of, why

LARGEST_ANSWER_BYTES = 1 << 16
LARGEST_LIST_BYTES = 1 << 22


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

    @property
    def is_html(self) -> bool:
        """Whether it is a web page, or says that it is one."""
        return self.is_page or "html" in self.headers.get("Content-Type", "")

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
    """Exchanges with the API's address, with the private key. Safe to use from many threads at once.

    Raises:
        Failure: `config_error`, the environment names a proxy or a CA bundle that cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        self._address = settings.base_url
        self._timeout = settings.request_timeout_seconds
        self._calls = Calls()
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
        try:
            return self._exchange(self._request(method, path, body), most)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, MemoryError) as error:
            trouble = trouble_of(error)
            crowded = trouble is Trouble.BROKEN and call.fresh and not call.answered
            raise NoReply(trouble, sent=call.sent, crowded=crowded, why=why(error)) from error

    def close(self) -> None:
        """Close the kept connections."""
        self._adapter.close()

    def _request(self, method: str, path: str, body: bytes | None = None) -> requests.PreparedRequest:
        request = requests.PreparedRequest()
        request.method, request.url, request.body = method, self._address + path, body
        request.headers = self._headers  # type: ignore[assignment]
        if body is not None:
            request.headers = {**self._headers, "Content-Length": str(len(body))}  # type: ignore[assignment]
        return request

    def _exchange(self, request: requests.PreparedRequest, most: int) -> Reply:
        response = self._adapter.send(request, stream=True, timeout=self._timeout, **self._environment)
        content = b""
        while chunk := response.raw.read1(LARGEST_ANSWER_BYTES, decode_content=True):
            content += chunk
            if len(content) >= most:
                response.close()
                return Reply(response.status_code, response.headers, content, whole=False)
        return Reply(response.status_code, response.headers, content, whole=True)


class _Adapter(HTTPAdapter):
    """requests' adapter for calls to one host, where what is the same for every call is worked out once.

    That is the connection pool (proxy, TLS) and the request target of each route. Cookies are not kept. Each method is
    one that requests documents for subclasses.
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
        self._targets: dict[str | None, str] = {}

    def get_connection_with_tls_context(self, *_args: Any, **_options: Any) -> Any:
        """The one pool."""
        return self._pool

    def cert_verify(self, *_args: Any) -> None:
        """The pool has its certificates."""

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:
        """What stands in the request line: the path, or the whole URL for a proxy."""
        if "?" in str(request.url):  # as many as there are queries
            return super().request_url(request, proxies)
        target = self._targets.get(request.url)
        if target is None:
            target = self._targets[request.url] = super().request_url(request, proxies)
        return target

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """Status, headers and the unread body."""
        response = requests.Response()
        response.status_code, response.headers, response.raw, response.request = resp.status, resp.headers, resp, req
        return response
