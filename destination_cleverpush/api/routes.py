"""Which of an action's routes the server has, settled by its own answers (nobody outside CleverPush can look it up).

What "no such route" looks like is shown by a control: a call to a route that surely does not exist. Only an answer
equal to the control's, a 405 or a web page with 404 means that a route is not there.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from enum import Enum
from urllib.parse import quote

from destination_cleverpush.api.reply import Reply
from destination_cleverpush.words import Action

CONTROL = "/subscription/no-such-route-control"
"""Assumed not to exist; beside the routes that are looked for, so that the same part of the server answers."""

LOST_SUBSCRIPTIONS = 10
"""So many different subscriptions find no route before it is the server that is believed to have none: an unknown
subscription may look just like an unknown route."""

LOST_CALLS = 3
"""So many calls for each subscription say the same where the input has fewer subscriptions than that."""

_SETTLES_NOTHING = frozenset({401, 403, 407, 408, 425, 429})
_SPEAKS = re.compile(r"subscri|\btags?|channel|topic|attribute|field|e-?mail|phone", re.IGNORECASE)


class Finding(Enum):
    """What an answer says about the route that it came from."""

    HERE = "it exists"
    GONE = "it does not"
    NOTHING = "nothing; the answer is about something else"
    UNSURE = "it may not exist: the control was not answered in a way that helps"


def finding(reply: Reply, path: str, control: Callable[[], Reply | None]) -> Finding:
    """What an answer from `path` says about it. `control` is asked where it matters; None: it could not be had."""
    status = reply.status
    if 200 <= status < 300:
        broken = reply.is_html or (reply.body.startswith(b"{") and reply.whole and reply.json() is None)
        return Finding.NOTHING if broken else Finding.HERE
    if status == 405 or (status == 404 and reply.is_page):
        return Finding.GONE
    if reply.is_page or not says_something(reply):
        return Finding.NOTHING
    shown = control()
    if shown is None:
        return Finding.UNSURE
    if (status, _words(reply, path)) == (shown.status, _words(shown, CONTROL)):
        return Finding.GONE
    return Finding.HERE if _SPEAKS.search(reply.words()) else Finding.NOTHING


def says_something(reply: Reply) -> bool:
    """Whether an answer that is no success can be about the route at all, and not about the key or an outage."""
    return reply.status < 500 and reply.status not in _SETTLES_NOTHING and not 300 <= reply.status < 400


def _words(reply: Reply, path: str) -> str:
    return reply.words().replace(path, "{path}")


class Routes:
    """The routes of one sync: candidates, and what was settled. Pure; the caller sees to one finding out at a time.

    Args:
        endpoints: by the name of an option, its value: the name of a route, or anything else (`auto`) to find out.
        channel_id: takes the place of `{channel_id}` in routes.
    """

    def __init__(self, endpoints: Mapping[str, str], channel_id: str) -> None:
        self._endpoints = dict(endpoints)
        self._channel = quote(channel_id, safe="")
        self._settled: dict[Action, str] = {}
        self._likely: dict[str | None, str] = {}
        self._lost: dict[Action, Counter[str]] = {}

    def settled(self, action: Action) -> str | None:
        """The route that the action's calls go to; None while it is to be found out."""
        path = self._settled.get(action)
        if path is None and action.option is None:
            path = self._settled[action] = self.candidates(action)[0]
        return path

    def candidates(self, action: Action) -> list[str]:
        """The routes to try, the likeliest first: the one whose sibling was found, else in the action's own order."""
        chosen = self._endpoints.get(action.option or "", "")
        names = [chosen] if chosen in action.routes else list(action.routes)
        names.sort(key=lambda name: name != self._likely.get(action.option))
        return [self._path(action, name) for name in names]

    def settle(self, action: Action, path: str) -> None:
        """The action's route is known, and with it the option for its siblings."""
        self._settled[action] = path
        self._likely[action.option] = next(name for name in action.routes if self._path(action, name) == path)

    def lost(self, action: Action, subscription: str) -> bool:
        """Note that a subscription found none of the routes; whether that is enough to say that there is none."""
        lost = self._lost.setdefault(action, Counter())
        lost[subscription] += 1
        return len(lost) >= LOST_SUBSCRIPTIONS or min(lost.values()) >= LOST_CALLS

    def _path(self, action: Action, name: str) -> str:
        return action.routes[name].replace("{channel_id}", self._channel)
