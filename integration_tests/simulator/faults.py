"""What goes wrong, and when: scripted or random, and the same for the same seed and order of requests.

    {
      "seed": 1,                        randomness
      "time_scale": 60,                 seconds of `from` and `until` that pass in one real second (default 1)
      "latency": 0.05 | {"low": 0.01, "high": 0.1} | {"median": 0.02, "sigma": 1.0},
                                        seconds for every request: constant, uniform, or lognormal (heavy tail)
      "rate_limit": {"rate": 200, "burst": 20, "retry_after": 1},
                                        requests per second, 429 above: a bucket that holds `burst` requests;
                                        without burst: a count that starts anew each second
      "connections": 8,                 open connections at once; requests on further ones are reset
      "rules": [{
        "route": "/subscription/sync",  only this path
        "subscription": "u1",           only requests about this subscription (native ID or user_id, as sent)
        "nth": 2 | [1, 2],              only the first and second request that match the rest (from 1)
        "from": 10, "until": 20,        only between these seconds since the rules were set: an outage
        "probability": 0.1,             only so often
        "count": 5,                     only so many times
        "kind": "status" | "reset_before" | "reset_after" | "hang" | "truncated" | "html" | "delay" | "firewall" |
                "interim" | "continue" | "trickle_header" | "trickle_chunk" | "trickle_gzip",
        "status": 500, "headers": {"Retry-After": "3"}, "body": {"error": "text"} | "text" | "<html>",
                                        for status; the status also for html (200 if not given), firewall (403)
                                        and interim (103). A redirect is 302 with a Location
        "retry_after_date": 3, "reset_epoch": 3,    seconds from now, as Retry-After with an HTTP date and as
                                        X-RateLimit-Reset with the seconds since 1970, both rounded up
        "seconds": 2                    for delay, and for hang (an hour if not given); for continue and those that
                                        trickle, the pause after each piece (0.05 if not given)
      }]
    }

All is optional but a rule's `kind`. Durations are real seconds, whatever the time scale.

The limits are asked first; then the first rule that matches is applied, and the later ones do not count the request.
`status`, `firewall` (a web page, as of a firewall in front of the API) and `reset_before` answer or close the
connection before the request is processed, `reset_after`, `truncated`, `html` and those that trickle after; `delay`
processes it late, also if the client has gone meanwhile; `interim` sends an interim answer (102, 103) before the proper
one. `hang` and `continue` (`100 Continue` without end) never process it; `hang` closes the connection at its end. What
trickles, byte by byte and without end: a header line, the extension of a chunk, the file name in a gzip header.

Chance is drawn per request from the seed, what the request is about and how many requests about that came before it,
so that the same calls meet the same fate however those of several subscriptions interleave.
"""

from __future__ import annotations

import math
import random
import time
from collections import Counter
from collections.abc import Mapping, Set
from email.utils import formatdate
from typing import Any, NamedTuple

_JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
_GZIP = b"\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\x03"  # a file name follows, up to a zero byte (RFC 1952)
TRICKLES = {
    "continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "trickle_header": (_JSON + b"X-Slow: ", b"a"),
    "trickle_chunk": (_JSON + b"Transfer-Encoding: chunked\r\n\r\n2;", b"a"),
    "trickle_gzip": (_JSON + b"Content-Encoding: gzip\r\nContent-Length: 100000000\r\n\r\n" + _GZIP, b"a"),
}
"""How the answers begin that never end, and what is repeated."""
_STATUS = {"status": 500, "firewall": 403, "interim": 103}
KINDS = frozenset({"reset_before", "reset_after", "hang", "truncated", "html", "delay", *_STATUS, *TRICKLES})
_SETTINGS = {"seed", "time_scale", "latency", "rate_limit", "connections", "rules"}
_FIREWALL_PAGE = "<html><head><title>Request blocked</title></head><body>This request was blocked.</body></html>"
_LATENCIES: tuple[Set[str], ...] = ({"low", "high"}, {"median", "sigma"})
_CONDITIONS = {"route", "subscription", "nth", "from", "until", "probability", "count"}
_EFFECTS = {"kind", "status", "headers", "body", "retry_after_date", "reset_epoch", "seconds"}


class Fault(NamedTuple):
    """What happens to one request instead of, or besides, its proper answer; `seconds` as the module describes."""

    kind: str
    status: int
    headers: dict[str, str]
    body: Any
    seconds: float


class Fate(NamedTuple):
    """What becomes of one request: seconds that it waits for its answer, and what goes wrong with it, if anything."""

    latency: float
    fault: Fault | None


class Faults:
    """The faults of one run.

    Args:
        settings: as the module describes.
        now: monotonic seconds at which the rules begin.

    Raises:
        ValueError: a setting that the module does not describe.
    """

    def __init__(self, settings: Mapping[str, Any], now: float) -> None:
        _check(settings)
        self._seed = settings.get("seed", 0)
        self._latency = settings.get("latency", 0.0)
        self._limit: Mapping[str, float] = settings.get("rate_limit", {})
        self.connections: int | None = settings.get("connections")
        self._rules = [dict(rule) for rule in settings.get("rules", ())]
        self._began = now
        self._scale = float(settings.get("time_scale", 1.0))
        self._asked: Counter[str] = Counter()
        self._unused = random.Random(0)
        self._seen = [0] * len(self._rules)
        self._used = [0] * len(self._rules)
        self._tokens, self._filled_at = float(self._limit.get("burst", 0)), now
        self._window, self._in_window = -1, 0

    def decide(self, path: str, subscription: str | None, now: float) -> Fate:
        """What becomes of a request about a subscription, if any, that arrives at `now` (monotonic seconds)."""
        chance = self._chance(subscription or path)
        latency = self._draw_latency(chance)
        if self._limit and not self._admit(now):
            headers = {"Retry-After": str(self._limit["retry_after"])} if "retry_after" in self._limit else {}
            return Fate(latency, Fault("status", 429, headers, {"error": "Too many requests"}, 0.0))
        elapsed = (now - self._began) * self._scale
        for number, rule in enumerate(self._rules):
            drawn = chance.random()  # for every rule, so that one rule's window does not shift another's chance
            if self._matches(number, rule, path, subscription, elapsed) and drawn < rule.get("probability", 1.0):
                self._used[number] += 1
                return Fate(latency, _fault(rule))
        return Fate(latency, None)

    def _chance(self, about: str) -> random.Random:
        if not self._rules and not isinstance(self._latency, Mapping):
            return self._unused
        self._asked[about] += 1
        return random.Random(f"{self._seed}/{self._asked[about]}/{about}")

    def _draw_latency(self, chance: random.Random) -> float:
        given = self._latency
        if not isinstance(given, Mapping):
            return float(given)
        if "median" in given:
            return chance.lognormvariate(math.log(given["median"]), given["sigma"])
        return chance.uniform(given["low"], given["high"])

    def _matches(
        self, number: int, rule: Mapping[str, Any], path: str, subscription: str | None, elapsed: float
    ) -> bool:
        if rule.get("route", path) != path or rule.get("subscription", subscription) != subscription:
            return False
        if not rule.get("from", 0.0) <= elapsed < rule.get("until", math.inf):
            return False
        self._seen[number] += 1
        nth = rule.get("nth", self._seen[number])
        return self._seen[number] in (nth if isinstance(nth, list) else (nth,)) and self._used[number] < rule.get(
            "count", math.inf
        )

    def _admit(self, now: float) -> bool:
        rate = float(self._limit["rate"])
        if "burst" in self._limit:
            self._tokens = min(float(self._limit["burst"]), self._tokens + (now - self._filled_at) * rate)
            self._filled_at = now
            admitted = self._tokens >= 1
            self._tokens -= admitted
            return admitted
        if int(now - self._began) != self._window:
            self._window, self._in_window = int(now - self._began), 0
        self._in_window += 1
        return self._in_window <= rate


def _check(settings: Mapping[str, Any]) -> None:
    _known("faults", settings, _SETTINGS)
    latency, limit = settings.get("latency", 0.0), settings.get("rate_limit")
    if not isinstance(latency, int | float) and not (isinstance(latency, Mapping) and latency.keys() in _LATENCIES):
        raise ValueError("latency is a number of seconds, low and high, or median and sigma")
    if limit is not None:
        _known("a rate limit", limit, {"rate", "burst", "retry_after"})
        if "rate" not in limit:
            raise ValueError("a rate limit needs a rate")
    connections = settings.get("connections", 1)
    if not isinstance(connections, int) or connections < 1:
        raise ValueError("connections is a number from 1")
    for rule in settings.get("rules", ()):
        _known("a rule", rule, _CONDITIONS | _EFFECTS)
        if rule.get("kind") not in KINDS:
            raise ValueError(f"a rule's kind must be one of {sorted(KINDS)}")
        if rule["kind"] == "delay" and "seconds" not in rule:
            raise ValueError("a delay needs seconds")


def _known(what: str, given: Any, names: Set[str]) -> None:
    if not isinstance(given, Mapping):
        raise ValueError(f"{what} must be an object")
    if unknown := sorted(given.keys() - names):
        raise ValueError(f"{what} cannot have {unknown[0]!r}, only {sorted(names)}")


def _fault(rule: Mapping[str, Any]) -> Fault:
    headers = {name: str(value) for name, value in rule.get("headers", {}).items()}
    if "retry_after_date" in rule:
        headers["Retry-After"] = formatdate(math.ceil(time.time() + rule["retry_after_date"]), usegmt=True)
    if "reset_epoch" in rule:
        headers["X-RateLimit-Reset"] = str(math.ceil(time.time() + rule["reset_epoch"]))
    kind = rule["kind"]
    return Fault(
        kind,
        int(rule.get("status", _STATUS.get(kind, 200))),
        headers,
        rule.get("body", _FIREWALL_PAGE if kind == "firewall" else {"error": "fault"}),
        float(rule.get("seconds", 0.05 if kind in TRICKLES else 3600)),
    )
