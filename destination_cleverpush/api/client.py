"""The CleverPush API for one channel with one key: an operation becomes a call, an answer what delivery acts on.

Sources: CleverPush API overview (developers.cleverpush.com) for the base URL and the header; the public Singer tap for
the reads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from destination_cleverpush.api.answers import classify, unanswered
from destination_cleverpush.api.failures import (
    NO_CHANNEL,
    access_refused,
    no_such_route,
    not_cleverpush,
    unreachable,
)
from destination_cleverpush.api.reasons import SERVER_ERROR
from destination_cleverpush.api.settings import Settings
from destination_cleverpush.api.transport import LARGEST_LIST_BYTES, NoReply, Transport, Trouble
from destination_cleverpush.errors import config_error, transient_error
from destination_cleverpush.words import DELIVERED, Action, Answer, Operation, Verdict


class Client:
    """Calls for one channel with one key. Safe to use from many threads at once."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._transport = Transport(settings)
        self._routes: dict[Action, str] = {}
        self._known_routes: set[Action] = set()

    def send(self, operation: Operation) -> Answer:
        """Make one call, once, and say what its answer means. Never raises for anything the network does."""
        action, payload = operation
        route = self._routes.get(action) or self._choose(action)
        body = json.dumps({"channelId": self.settings.channel_id, **payload}).encode()
        try:
            reply = self._transport.exchange("POST", route, body)
        except NoReply as error:
            return self._unanswered(error)
        answer = classify(reply)
        if answer is None:
            return self._no_such_route(action, reply.status)
        if answer is DELIVERED:
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
            raise unreachable(address, self.settings.request_timeout_seconds, error) from None
        if failure := access_refused(reply.status):
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
        timeout = self.settings.request_timeout_seconds
        if error.trouble is Trouble.UNTRUSTED:
            return Answer(Verdict.FATAL, failure=unreachable(self.settings.base_url, timeout, error))
        return unanswered(error, timeout)
