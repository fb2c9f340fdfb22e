"""The CleverPush API for one channel with one key: an operation becomes a call, an answer what delivery acts on.

Sources: CleverPush API overview (developers.cleverpush.com) for the base URL and the header; the public Singer tap for
the reads.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Mapping
from typing import Any

from destination_cleverpush.api.answers import classify, refused_by_a_page, unanswered
from destination_cleverpush.api.failures import (
    NO_CHANNEL,
    access_refused,
    firewall,
    no_such_route,
    not_cleverpush,
    proxy_refused,
    unreachable,
)
from destination_cleverpush.api.reasons import BLOCKED, SERVER_ERROR
from destination_cleverpush.api.settings import Settings
from destination_cleverpush.api.transport import LARGEST_LIST_BYTES, Reply, Transport
from destination_cleverpush.api.trouble import NoReply, Trouble
from destination_cleverpush.errors import Failure, config_error, transient_error
from destination_cleverpush.words import DELIVERED, Action, Answer, Operation, Verdict

READS_VOUCH_SECONDS = 10.0
"""For so long one read that passed the firewall says that it is the rows that are refused, and not the connector."""


WITNESS = Action("read", {"plain": "/channels"})
"""A read that changes nothing: whether CleverPush answers at all. Nothing of its answer is kept."""


class Client:
    """Calls for one channel with one key. Safe to use from many threads at once.

    Raises:
        Failure: `config_error`, the environment names a proxy or a CA bundle that cannot be used.
    """

    def __init__(self, settings: Settings, *, reads_vouch_seconds: float = READS_VOUCH_SECONDS) -> None:
        self.settings = settings
        self._reads_vouch_seconds = reads_vouch_seconds
        self._vouched_until = -math.inf
        self._witness = threading.Lock()
        self._transport = Transport(settings)
        self._routes: dict[Action, str] = {}
        self._known_routes: set[Action] = set()

    def send(self, operation: Operation) -> Answer:
        """Make one call, once, and say what its answer means. Never raises for anything the network does."""
        action, payload = operation
        if action is WITNESS:
            return DELIVERED if self._reads_pass() else Answer(Verdict.RETRY, SERVER_ERROR, "did not answer")
        route = self._routes.get(action) or self._choose(action)
        body = json.dumps({"channelId": self.settings.channel_id, **payload}).encode()
        try:
            reply = self._transport.exchange("POST", route, body)
        except NoReply as error:
            return self._unanswered(error)
        if reply.status >= 300:
            if refused_by_a_page(reply):
                return self._blocked()
            if failure := self._access_refused(reply):
                return Answer(Verdict.FATAL, status=reply.status, words=reply.words(), failure=failure)
        answer = classify(reply)
        if answer is None:
            return self._no_such_route(action, reply.status)
        if answer.verdict is Verdict.DELIVERED:
            self._known_routes.add(action)
        return answer

    def read(self, path: str) -> Mapping[str, Any]:
        """A list or an object that CleverPush holds.

        Raises:
            Failure: `config_error` or `transient_error`, each in a sentence of its own.
        """
        address = self.settings.base_url
        try:
            reply = self._transport.exchange("GET", path, most=LARGEST_LIST_BYTES)
        except NoReply as error:
            raise self._unreachable(error) from None
        if failure := self._access_refused(reply):
            raise failure
        if reply.status == 404:
            raise (config_error(NO_CHANNEL) if "/channel/" in path else not_cleverpush(address, "404 (not found)"))
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
            raise not_cleverpush(address, "a reply that is not JSON" if reply.whole else overlong)
        return body

    def close(self) -> None:
        """Close the kept connections."""
        self._transport.close()

    def _choose(self, action: Action) -> str:
        first = next(iter(action.routes.values()))
        chosen = self.settings.endpoints.get(action.option or "", "")
        route = self._routes[action] = action.routes.get(chosen, first)
        return route

    def _no_such_route(self, action: Action, status: int) -> Answer:
        if action in self._known_routes:
            return Answer(Verdict.RETRY, SERVER_ERROR, f"answered {status} as if it had no such route", status)
        url = self.settings.base_url + self._routes[action]
        return Answer(Verdict.FATAL, status=status, failure=no_such_route(url, status, action.option))

    def _unanswered(self, error: NoReply) -> Answer:
        if error.trouble in (Trouble.UNTRUSTED, Trouble.PROXY_REFUSED):
            return Answer(Verdict.FATAL, failure=self._unreachable(error))
        return unanswered(error, self.settings.request_timeout_seconds)

    def _unreachable(self, error: NoReply) -> Failure:
        settings = self.settings
        return unreachable(settings.base_url, settings.request_timeout_seconds, error, self._transport.proxy)

    def _access_refused(self, reply: Reply) -> Failure | None:
        if refused_by_a_page(reply):
            return firewall(self.settings.base_url, self._transport.proxy)
        if reply.status == 407:
            return proxy_refused(self.settings.base_url, self._transport.proxy)
        return access_refused(reply.status)

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
                reply = self._transport.exchange("GET", "/channels")
            except NoReply:
                return None
            if reply.status == 200 and not reply.is_html:
                self._vouched_until = time.monotonic() + self._reads_vouch_seconds
                return True
            return False if refused_by_a_page(reply) else None
