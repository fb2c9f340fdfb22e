"""The CleverPush API over HTTP: routes, authentication, time-outs, and answers classified into a few kinds.

Sources: CleverPush API overview and Subscriptions (developers.cleverpush.com) for the base URL, the header and
`/subscription/sync`; the destination's public description for unsubscribe and the tag routes; CleverPush's public iOS
SDK for the routes `/subscription/tag` and `/subscription/untag`; the public Singer tap for the reads.

Calls go through `requests`' pooled adapter with prepared requests. `Session.request` looks up proxies, netrc,
cookies and redirects on every call, which costs more than twice as much; here the environment's proxies and CA bundle
are resolved once, and a redirect is never followed, so that the key goes nowhere else.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import Any

import requests
import urllib3
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from requests.adapters import HTTPAdapter

from destination_cleverpush.answers import DELIVERED, Answer, Verdict
from destination_cleverpush.config import Config, ObjectType, TagEndpoints
from destination_cleverpush.errors import config_error, transient_error
from destination_cleverpush.operations import Action, Operation
from destination_cleverpush.reasons import (
    CHANNEL_NOT_FOUND,
    INVALID_KEY,
    LONGEST_WORDS,
    NO_PERMISSION,
    ROW_STATUSES,
    recognise,
)

RETRY_STATUSES = frozenset({408, 425, 500, 502, 503, 504})
"""Answers that may be different the next time."""

_LARGEST_ANSWER_BYTES = 1 << 16
_LARGEST_LIST_BYTES = 1 << 22
# Assumed: how servers commonly begin when they do not know a path; no public source has CleverPush's own words.
# Only the beginning counts, since a row's values may be quoted later.
_UNKNOWN_ROUTE = re.compile(
    r"\W*(cannot post\b|((the )?requested )?(route|endpoint|path|url) (was )?not found|no such (route|endpoint))",
    re.IGNORECASE,
)
_TAG_ROUTES = {
    TagEndpoints.ADD_REMOVE: ("/subscription/tag/add", "/subscription/tag/remove"),
    TagEndpoints.TAG_UNTAG: ("/subscription/tag", "/subscription/untag"),
}


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


class Client:
    """Calls for one channel with one key. Safe to use from many threads at once."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._channel = config.channel_id
        base = config.advanced.base_url
        add, remove = _TAG_ROUTES[config.advanced.tag_endpoints]
        self._urls = {
            Action.SYNC: f"{base}/subscription/sync",
            Action.UNSUBSCRIBE: f"{base}/subscription/unsubscribe",
            Action.ADD_TAG: base + add,
            Action.REMOVE_TAG: base + remove,
        }
        self._known_routes: set[Action] = set()
        self._adapter = _Adapter(config.advanced.max_concurrency)
        session = requests.Session()
        self._headers: dict[str, str] = {
            "Authorization": config.api_key,
            "Content-Type": "application/json",
            "Accept-Encoding": "gzip, deflate",
            "User-Agent": f"airbyte-destination-cleverpush {requests.utils.default_user_agent()}",
        }
        self._timeout = config.advanced.request_timeout_seconds
        # Proxies and the CA bundle from the environment, resolved once for the one host that is called.
        settings = session.merge_environment_settings(base, {}, None, None, None)
        self._environment: dict[str, Any] = {name: settings[name] for name in ("proxies", "verify", "cert")}

    def send(self, operation: Operation) -> Answer:
        """Make one call, once, and say what its answer means. Never raises for anything the network does."""
        body = json.dumps({"channelId": self._channel, **operation.payload}).encode()
        try:
            reply = self._exchange("POST", self._urls[operation.action], body)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            return self._broken(error)
        answer = self._classify(reply, operation.action)
        if answer is DELIVERED:
            self._known_routes.add(operation.action)
        return answer

    def check(self) -> None:
        """Validate the key against the channel, with calls that need the private key.

        Raises:
            AirbyteTracedException: `config_error` or `transient_error`, each failure in a sentence of its own.
        """
        channels = self._read("/channels").get("channels")
        if not isinstance(channels, list):
            raise self._not_cleverpush("a reply without a list of channels")
        ids = [str(channel["_id"]) for channel in channels if isinstance(channel, Mapping) and "_id" in channel]
        if self._channel not in ids:
            twin = next((i for i in ids if i.lower() == self._channel.lower()), None)
            hint = f" There is a channel '{twin}' that differs only in upper and lower case." if twin else ""
            raise config_error(CHANNEL_NOT_FOUND + hint)
        if self._config.object_type is ObjectType.TAGS:
            tags = self._read(f"/channel/{self._channel}/tags?limit=1&skip=0").get("tags")
            if not isinstance(tags, list):
                raise self._not_cleverpush("a reply without a list of tags")

    def close(self) -> None:
        """Close the kept connections."""
        self._adapter.close()

    def _read(self, route: str) -> Mapping[str, Any]:
        try:
            reply = self._exchange("GET", self._config.advanced.base_url + route, None, _LARGEST_LIST_BYTES)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise self._unreachable(error) from None
        if fatal := self._fatal(reply):
            raise fatal
        if reply.status == 404:
            raise (config_error(CHANNEL_NOT_FOUND) if "/channel/" in route else self._not_cleverpush("404 (not found)"))
        if reply.status == 429:
            raise transient_error(
                "CleverPush is limiting requests (HTTP 429). Try again later; if it goes on, reduce the frequency of "
                "your sync schedule."
            )
        if reply.status != 200:
            raise transient_error(
                f"CleverPush answered the check with HTTP {reply.status}. This is likely to pass: try again in a few "
                "minutes."
            )
        body = reply.json()
        if not isinstance(body, Mapping):
            overlong = f"a reply of more than {_LARGEST_LIST_BYTES >> 20} MiB"
            raise self._not_cleverpush("a reply that is not JSON" if reply.whole else overlong)
        return body

    def _exchange(self, method: str, url: str, body: bytes | None, most: int = _LARGEST_ANSWER_BYTES) -> Reply:
        request = requests.PreparedRequest()
        request.method, request.url, request.body = method, url, body
        request.headers = self._headers  # type: ignore[assignment]
        if body is not None:
            request.headers = {**self._headers, "Content-Length": str(len(body))}  # type: ignore[assignment]
        deadline = time.monotonic() + 2 * self._timeout
        response = self._adapter.send(request, stream=True, timeout=self._timeout, **self._environment)
        content = b""
        # Each read waits for at most the time-out; the deadline ends an answer that trickles in for ever.
        while chunk := response.raw.read1(_LARGEST_ANSWER_BYTES, decode_content=True):
            content += chunk
            if len(content) >= most:
                response.close()
                return Reply(response.status_code, response.headers, content, whole=False)
            if time.monotonic() > deadline:
                response.close()
                raise requests.exceptions.ReadTimeout
        return Reply(response.status_code, response.headers, content, whole=True)

    def _classify(self, reply: Reply, action: Action) -> Answer:
        status = reply.status
        if 200 <= status < 300:
            return _taken(reply)
        words = reply.words()
        if fatal := self._fatal(reply):
            return Answer(Verdict.FATAL, status=status, words=words, error=fatal)
        if status == 405 or (status == 404 and (reply.is_page or _UNKNOWN_ROUTE.match(words))):
            return self._no_such_route(status, action)
        if status in ROW_STATUSES:
            return _refused(status, words, f"answered {status}")
        if status == 429:
            return Answer(
                Verdict.THROTTLED,
                "server_error",
                "answered 429",
                429,
                words,
                named_delay(reply.headers),
                congested=True,
            )
        if status in RETRY_STATUSES:
            delay = named_delay(reply.headers) if status == 503 else None
            return Answer(
                Verdict.RETRY,
                "server_error",
                f"answered {status}",
                status,
                words,
                delay,
                congested=status == 503,
            )
        return Answer(
            Verdict.FATAL,
            status=status,
            words=words,
            error=transient_error(
                f"CleverPush answered HTTP {status}, which this destination does not expect. The rows that were not "
                "delivered will be sent again with the next attempt. If it goes on, check the API Address under "
                "Advanced."
            ),
        )

    def _fatal(self, reply: Reply) -> AirbyteTracedException | None:
        if reply.status == 401:
            return config_error(INVALID_KEY)
        if reply.status == 403:
            return config_error(NO_PERMISSION)
        if 300 <= reply.status < 400:
            return config_error(
                f"The API Address answered with a redirect (HTTP {reply.status}). It is not followed, so that the API "
                "key goes nowhere else. Check the API Address under Advanced; the default is https://api.cleverpush.com."
            )
        return None

    def _no_such_route(self, status: int, action: Action) -> Answer:
        if action in self._known_routes:
            return Answer(Verdict.RETRY, "server_error", f"answered {status} as if it had no such route", status)
        tags = "" if action in (Action.SYNC, Action.UNSUBSCRIBE) else " and Tag Endpoints"
        return Answer(
            Verdict.FATAL,
            status=status,
            error=config_error(
                f"{self._urls[action]} does not exist (HTTP {status}). Check the API Address{tags} under Advanced; the "
                "default address is https://api.cleverpush.com."
            ),
        )

    def _broken(self, error: Exception) -> Answer:
        if _certificate_refused(error):
            return Answer(Verdict.FATAL, error=self._unreachable(error))
        timed_out = _timed_out(error)
        if timed_out:
            summary = f"gave no answer within {self._timeout:g} s"
        else:
            summary = "could not be connected to" if _never_connected(error) else "broke off the connection"
        return Answer(Verdict.RETRY, "no_answer", summary, congested=timed_out)

    def _unreachable(self, error: Exception) -> AirbyteTracedException:
        host = self._config.advanced.base_url
        if _certificate_refused(error):
            return config_error(
                f"The TLS connection to {host} failed: its certificate is not trusted. If a proxy of your network "
                "inspects traffic, give the connector its CA certificate (REQUESTS_CA_BUNDLE); else check the API "
                "Address under Advanced."
            )
        if isinstance(error, requests.exceptions.SSLError):
            return transient_error(f"The TLS connection to {host} failed. Check the API Address under Advanced.")
        if _timed_out(error):
            return transient_error(
                f"{host} gave no answer within {self._timeout:g} seconds. Try again; if it goes on, raise Request "
                "Time-out under Advanced, or check the network between Airbyte and CleverPush."
            )
        if isinstance(error, requests.exceptions.ProxyError):
            return transient_error(
                f"The proxy on the way to {host} could not be used. Check the proxy settings of Airbyte."
            )
        return transient_error(
            f"{host} could not be reached. Check the API Address under Advanced, and that Airbyte's network lets "
            "connections to it out."
        )

    def _not_cleverpush(self, what: str) -> AirbyteTracedException:
        return config_error(
            f"{self._config.advanced.base_url} answered with {what}, which is not what CleverPush answers. Check the "
            "API Address under Advanced; the default is https://api.cleverpush.com."
        )


def named_delay(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """How many seconds the server asks to wait, or None.

    Reads `Retry-After` in seconds or as an HTTP date (RFC 9110), measured against the answer's own `Date` where there
    is one, then `RateLimit-Reset` and `X-RateLimit-Reset`, in seconds or as an epoch time.
    """
    now = time.time() if now is None else now
    delay = _seconds(headers.get("Retry-After"), now)
    if delay is None and (when := _http_date(headers.get("Retry-After"))) is not None:
        delay = when - (_http_date(headers.get("Date")) or now)
    for name in ("RateLimit-Reset", "X-RateLimit-Reset"):
        if delay is None:
            delay = _seconds(headers.get(name), now)
    return delay if delay is not None and delay > 0 else None


_EPOCH_FROM = 1e9  # a larger number is no number of seconds to wait (31 years) but a time
_EPOCH_MILLIS_FROM = 1e12


def _seconds(value: str | None, now: float) -> float | None:
    try:
        seconds = float(value or "")
    except ValueError:
        return None
    if not 0 <= seconds < float("inf"):
        return None
    if seconds >= _EPOCH_MILLIS_FROM:
        seconds /= 1000
    return seconds - now if seconds >= _EPOCH_FROM else seconds


def _http_date(value: str | None) -> float | None:
    try:
        when = parsedate_to_datetime(value or "")
        return (when if when.tzinfo else when.replace(tzinfo=timezone.utc)).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None


def _taken(reply: Reply) -> Answer:
    """A 2xx answer: taken, unless it is a web page of something in between, or says itself that it is not."""
    if reply.is_page or "html" in reply.headers.get("Content-Type", ""):
        return Answer(Verdict.RETRY, "no_answer", f"answered with a web page (HTTP {reply.status})", reply.status)
    if reply.body.startswith(b"{") and b'"' in reply.body[:64] and reply.whole:
        parsed = reply.json()
        if parsed is None:
            return Answer(Verdict.RETRY, "no_answer", f"answered {reply.status} with a broken body", reply.status)
        # Assumed: no public source says what a refusal with status 200 would look like.
        if isinstance(parsed, Mapping) and (parsed.get("success") is False or parsed.get("error")):
            return _refused(reply.status, reply.words(), f"answered {reply.status} with an error")
    return DELIVERED


def _refused(status: int, words: str, summary: str) -> Answer:
    """An answer that judges the row, or says that the channel itself is not there."""
    code = recognise(status if status in ROW_STATUSES else 422, words)
    if code == "channel_not_found":
        return Answer(Verdict.FATAL, status=status, words=words, error=config_error(CHANNEL_NOT_FOUND))
    return Answer(Verdict.REJECTED, code, summary, status, words)


def _timed_out(error: Exception) -> bool:
    return isinstance(error, requests.exceptions.Timeout | urllib3.exceptions.TimeoutError | TimeoutError)


def _never_connected(error: Exception) -> bool:
    """Whether no connection came about: a wrong host or port, no route, or a proxy that is not there."""
    cause = getattr(error.args[0] if error.args else None, "reason", None)
    return isinstance(cause, urllib3.exceptions.NewConnectionError | urllib3.exceptions.ProxyError)


def _certificate_refused(error: Exception) -> bool:
    return isinstance(error, requests.exceptions.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error)
