"""The CleverPush API for one channel with one key: an operation becomes a call, an answer what delivery acts on.

Sources: CleverPush API overview (developers.cleverpush.com) for the base URL and the header; the public Singer tap for
the reads.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple
from urllib.parse import urlencode

from destination_cleverpush.api.answers import classify, refused_by_a_page, unanswered, unknown_ids
from destination_cleverpush.api.exchange import Exchange
from destination_cleverpush.api.failures import (
    NO_CHANNEL,
    access_refused,
    firewall,
    no_such_route,
    not_cleverpush,
    proxy_refused,
    unreachable,
)
from destination_cleverpush.api.lookups import looked_up
from destination_cleverpush.api.reasons import BLOCKED, NOT_FOUND, SERVER_ERROR
from destination_cleverpush.api.reply import LARGEST_ANSWER_BYTES, LARGEST_LIST_BYTES, Reply
from destination_cleverpush.api.routes import CONTROL, Finding, Routes, finding, says_something
from destination_cleverpush.api.settings import Settings
from destination_cleverpush.api.transport import Transport
from destination_cleverpush.api.trouble import NoReply, Trouble
from destination_cleverpush.errors import Failure, config_error, transient_error
from destination_cleverpush.words import DELIVERED, Action, Answer, Operation, Underway, Verdict

READS_VOUCH_SECONDS = 10.0
"""For so long one read that passed the firewall says that it is the rows that are refused, and not the connector."""

_WITNESS_PATH = "/channels"
WITNESS = Action("read", {"plain": _WITNESS_PATH})
"""A read that changes nothing: whether CleverPush answers at all. Nothing of its answer is kept."""


class _Asked(NamedTuple):
    """A request, of whose answer `most` bytes are read, and the route that it goes to."""

    method: str
    path: str
    body: bytes | None
    most: int
    route: str


class Client:
    """Calls for one channel with one key. Safe to use from many threads at once.

    Args:
        tell: takes sentences for the log, such as which route was found.
        reads_vouch_seconds: see :data:`READS_VOUCH_SECONDS`.

    Raises:
        Failure: `config_error`, the environment names a proxy or a CA bundle that cannot be used.
    """

    def __init__(
        self,
        settings: Settings,
        tell: Callable[[str], None] = lambda _: None,
        *,
        reads_vouch_seconds: float = READS_VOUCH_SECONDS,
    ) -> None:
        self.settings = settings
        self._reads_vouch_seconds = reads_vouch_seconds
        self._vouched_until = -math.inf
        self._witness = threading.Lock()
        self._transport = Transport(settings)
        self._tell = tell
        self._routes = Routes(settings.endpoints, settings.channel_id)
        self._known_routes: set[Action] = set()
        self._turns: dict[Action, threading.Lock] = {}
        self._shown: Reply | None = None

    def send(self, operation: Operation) -> Answer:
        """Make one call, once, and say what its answer means. Never raises for anything the network does.

        While it is not known which of several routes for an action the server has, only one call of its kind is on its
        way; it tries one route after the other (:mod:`routes`), and the others wait for at most the time-out.

        A route that begins with `GET ` is a look-up: the payload becomes the query, and DELIVERED without `ids` says
        that there is definitely no such subscription. An answer that refuses an unknown tag or topic names it.
        """
        return _with_names(self._send(operation), operation)

    def begin(self, operation: Operation) -> Underway | Answer | None:
        """Make one call, as :meth:`send`, without waiting for its answer; an Answer where that is known at once.

        None where only :meth:`send` can, since it may have to wait: for a new connection, or since it is not known
        which route the action has.
        """
        asked = self._asked(operation)
        if asked is None:
            return None
        try:
            exchange = self._transport.begin(asked.method, asked.path, asked.body, asked.most)
        except NoReply as error:
            return self._unanswered(error)
        return None if exchange is None else _Underway(self, operation, asked, exchange)

    def find_route(self, action: Action) -> str | None:
        """Which route the server has for the action, by calls that change nothing, since they name no subscription.

        Returns:
            The path; None where the answers settle nothing.

        Raises:
            Failure: `config_error`, it has none of them.
        """
        if self._routes.settled(action) is None:
            answer, status = self._search(action, json.dumps({"channelId": self.settings.channel_id}).encode())
            if answer is None:
                raise self._no_route(action, self._routes.candidates(action), status)
        return self._routes.settled(action)

    def route(self, action: Action) -> str:
        """The path that the action's calls go to, as far as is known."""
        return self._routes.settled(action) or self._routes.candidates(action)[0]

    def read(self, path: str) -> Mapping[str, Any]:
        """A list or an object that CleverPush holds.

        Raises:
            Failure: `config_error` or `transient_error`, each in a sentence of its own; its cause is the
                :class:`NoReply` where no answer came.
        """
        try:
            reply = self._transport.exchange("GET", path, most=LARGEST_LIST_BYTES)
        except NoReply as error:
            raise self._unreachable(error) from error
        if failure := self._access_refused(reply):
            raise failure
        if reply.status == 404:
            raise (config_error(NO_CHANNEL) if "/channel/" in path else self.unreadable("404 (not found)"))
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
            overlong = f"a reply of more than {LARGEST_LIST_BYTES >> 20} MiB"
            raise self.unreadable("a reply that is not JSON" if reply.whole else overlong)
        return body

    def unreadable(self, what: str) -> Failure:
        """An answer to a read that is not CleverPush's; `what` it is instead."""
        return not_cleverpush(self.settings.base_url, what)

    def close(self) -> None:
        """Close the kept connections."""
        self._transport.close()

    def _asked(self, operation: Operation) -> _Asked | None:
        """The request for an operation; None while it is not known which route its action has."""
        route = self._routes.settled(operation.action)
        if route is None:
            return None
        if route.startswith("GET "):
            path = route[4:]
            query = urlencode({"channelId": self.settings.channel_id, **operation.payload})
            return _Asked("GET", f"{path}?{query}", None, LARGEST_LIST_BYTES, path)
        return _Asked("POST", route, self._body(operation.payload), LARGEST_ANSWER_BYTES, route)

    def _body(self, payload: Mapping[str, Any]) -> bytes:
        return json.dumps({"channelId": self.settings.channel_id, **payload}).encode()

    def _send(self, operation: Operation) -> Answer:
        action = operation.action
        if action is WITNESS:
            return self._see()
        if (asked := self._asked(operation)) is not None:
            return self._ask(action, asked)
        body = self._body(operation.payload)
        if len(self._routes.candidates(action)) == 1:
            return self._find_route(operation, body)
        turn = self._turns.setdefault(action, threading.Lock())
        if not turn.acquire(timeout=self.settings.request_timeout_seconds):
            return _undecided("was not called, since it is not known yet which route it has", None)
        try:
            if self._routes.settled(action) is None:
                return self._find_route(operation, body)
        finally:
            turn.release()
        return self._send(operation)

    def _find_route(self, operation: Operation, body: bytes) -> Answer:
        action, payload = operation.action, operation.payload
        answer, status = self._search(action, body)
        if answer is not None:
            return answer
        subscription = payload.get("subscriptionId") or payload.get("customAttributes", {}).get("user_id")
        with self._witness:
            enough = self._routes.lost(action, str(subscription))
        if enough:
            failure = self._no_route(action, self._routes.candidates(action), status)
            return Answer(Verdict.FATAL, status=status, failure=failure)
        return replace(_undecided(f"answered {status} as if it had no such route", status), lost=True)

    def _search(self, action: Action, body: bytes) -> tuple[Answer | None, int]:
        """Make the call at one route after the other; the answer that counts, or None and the status of the last."""
        status = 0
        for path in self._routes.candidates(action):
            try:
                reply = self._transport.exchange("POST", path, body)
            except NoReply as error:
                return self._unanswered(error), 0
            status = reply.status
            found = finding(reply, path, self._control)
            if found is Finding.UNSURE:
                return _undecided(f"answered {status}, which may mean that it has no such route", status), status
            if found is Finding.HERE and self._routes.settled(action) is None:
                self._routes.settle(action, path)
                self._tell(f"CleverPush takes {action.name} at {path}.")
            if found is not Finding.GONE:
                return self._judge(action, path, reply), status
        return None, status

    def _control(self) -> Reply | None:
        """How the server answers where it has no route: asked once, unless that says nothing."""
        with self._witness:
            if self._shown is None:
                body = json.dumps({"channelId": self.settings.channel_id}).encode()
                try:
                    reply = self._transport.exchange("POST", CONTROL, body)
                except NoReply:
                    return None
                if says_something(reply):
                    self._shown = reply
            return self._shown

    def _ask(self, action: Action, asked: _Asked) -> Answer:
        try:
            reply = self._transport.exchange(asked.method, asked.path, asked.body, asked.most)
        except NoReply as error:
            return self._unanswered(error)
        return self._judge_asked(action, asked, reply)

    def _judge_asked(self, action: Action, asked: _Asked, reply: Reply) -> Answer:
        if asked.method == "POST":
            return self._judge(action, asked.route, reply)
        return self._refused_entry(reply) or looked_up(reply, asked.route, self.settings.base_url, self._control)

    def _is_clear(self, action: Action, reply: Reply) -> bool:
        """Whether an answer can be judged without a further call."""
        status = reply.status
        return status < 300 or status == 429 or status >= 500 or (action in self._known_routes and status != 403)

    def _judge(self, action: Action, route: str, reply: Reply) -> Answer:
        if reply.status >= 300 and (refused := self._refused_entry(reply)):
            return refused
        answer = classify(reply)
        if answer is None:
            return self._no_such_route(action, route, reply.status)
        if answer.verdict is Verdict.DELIVERED:
            self._known_routes.add(action)
        elif answer.reason is NOT_FOUND and self._is_gone(action, route, reply):
            return replace(answer, gone=True)
        return answer

    def _is_gone(self, action: Action, route: str, reply: Reply) -> bool:
        """Whether a 404 or 410 is about the subscription, and does not say that there is no such route."""
        if action not in self._known_routes:
            found = finding(reply, route, self._control)
            speaks = "subscri" in reply.words().lower().replace(route.lower(), "")
            if reply.is_page or found is Finding.GONE or (found is Finding.UNSURE and not speaks):
                return False
            self._known_routes.add(action)
        return True

    def _no_such_route(self, action: Action, route: str, status: int) -> Answer:
        if action in self._known_routes or action.option:
            return Answer(Verdict.RETRY, SERVER_ERROR, f"answered {status} as if it had no such route", status)
        return Answer(Verdict.FATAL, status=status, failure=self._no_route(action, [route], status))

    def _no_route(self, action: Action, paths: Sequence[str], status: int) -> Failure:
        return no_such_route(self.settings.base_url, paths, status, action.option)

    def _unanswered(self, error: NoReply) -> Answer:
        if error.trouble in (Trouble.UNTRUSTED, Trouble.PROXY_REFUSED):
            return Answer(Verdict.FATAL, failure=self._unreachable(error))
        return unanswered(error, self.settings.request_timeout_seconds, self._transport.proxy)

    def _unreachable(self, error: NoReply) -> Failure:
        settings = self.settings
        return unreachable(settings.base_url, settings.request_timeout_seconds, error, self._transport.proxy)

    def _refused_entry(self, reply: Reply) -> Answer | None:
        if refused_by_a_page(reply):
            return self._blocked()
        if failure := self._access_refused(reply):
            return Answer(Verdict.FATAL, status=reply.status, words=reply.words(), failure=failure)
        return None

    def _access_refused(self, reply: Reply) -> Failure | None:
        if refused_by_a_page(reply):
            return firewall(self.settings.base_url, self._transport.proxy)
        if reply.status == 407:
            return proxy_refused(self.settings.base_url, self._transport.proxy)
        return access_refused(reply.status)

    def _see(self) -> Answer:
        """The answer to :data:`WITNESS`."""
        try:
            reply = self._transport.exchange("GET", _WITNESS_PATH)
        except NoReply as error:
            return self._unanswered(error)
        if reply.status == 200 and not reply.is_html:
            return DELIVERED
        return Answer(Verdict.RETRY, SERVER_ERROR, f"answered {reply.status}", reply.status)

    def _blocked(self) -> Answer:
        """A web page refused a call: it judges the row where reads still pass, and the way to CleverPush where not."""
        passed = self._reads_pass()
        if passed is False:
            return Answer(Verdict.FATAL, status=403, failure=firewall(self.settings.base_url, self._transport.proxy))
        verdict = Verdict.REJECTED if passed else Verdict.RETRY
        return Answer(verdict, BLOCKED, "was refused by a firewall (HTTP 403 with a web page)", 403)

    def _reads_pass(self) -> bool | None:
        """Whether the firewall lets reads pass; None where that cannot be said. Nothing of the answer is kept."""
        with self._witness:
            if time.monotonic() < self._vouched_until:
                return True
            try:
                reply = self._transport.exchange("GET", _WITNESS_PATH)
            except NoReply:
                return None
            if reply.status == 200 and not reply.is_html:
                self._vouched_until = time.monotonic() + self._reads_vouch_seconds
                return True
            return False if refused_by_a_page(reply) else None


def _undecided(summary: str, status: int | None) -> Answer:
    """It is not known yet whether there is a route; one call at a time finds out, and no row is judged by it."""
    return Answer(Verdict.RETRY, SERVER_ERROR, summary, status, congested=True, local=True)


def _with_names(answer: Answer, operation: Operation) -> Answer:
    return replace(answer, named=unknown_ids(answer, operation.payload)) if answer.reason else answer


class _Underway:
    """A call that was sent: an exchange whose answer the client judges."""

    __slots__ = ("_asked", "_client", "_exchange", "_operation", "_reply")

    def __init__(self, client: Client, operation: Operation, asked: _Asked, exchange: Exchange) -> None:
        self._client = client
        self._operation = operation
        self._asked = asked
        self._exchange = exchange
        self._reply: Reply | None = None

    @property
    def due(self) -> float:
        return self._exchange.due

    @property
    def blocks(self) -> bool:
        return self._reply is not None or self._exchange.blocks

    def fileno(self) -> int:
        return self._exchange.fileno()

    def look(self) -> Answer | None:
        try:
            reply = self._exchange.look()
        except NoReply as error:
            return self._client._unanswered(error)
        if reply is None:
            return None
        if self._client._is_clear(self._operation.action, reply):
            return self._judged(reply)
        self._reply = reply
        return None

    def wait(self) -> Answer:
        try:
            return self._judged(self._reply or self._exchange.wait())
        except NoReply as error:
            return self._client._unanswered(error)

    def _judged(self, reply: Reply) -> Answer:
        return _with_names(self._client._judge_asked(self._operation.action, self._asked, reply), self._operation)
