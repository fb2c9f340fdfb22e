"""What goes wrong, and when: scripted or random, and the same for the same seed and order of requests.

    {
      "seed": 1,                        randomness
      "time_scale": 60,                 seconds of the rules that pass in one real second (default 1)
      "latency": 0.05 | {"low": 0.01, "high": 0.1} | {"median": 0.02, "sigma": 1.0},
                                        seconds for every request: constant, uniform, or lognormal (heavy tail)
      "rate_limit": {"rate": 200, "burst": 20, "retry_after": 1},
                                        requests per real second, 429 above; without burst: per whole second
      "rules": [{
        "route": "/subscription/sync",  only this path
        "subscription": "u1",           only requests about this subscription
        "nth": [1, 2],                  only the first and second request that match the rest (from 1)
        "from": 10, "until": 20,        only between these seconds since the rules were set
        "probability": 0.1,             only so often
        "count": 5,                     only so many times
        "kind": "status" | "reset_before" | "reset_after" | "hang" | "truncated" | "html" | "delay",
        "status": 500, "headers": {"Retry-After": "3"}, "body": {"error": "text"} | "text",
        "retry_after_date": 3, "reset_epoch": 3,    seconds from now, as an HTTP date or X-RateLimit-Reset
        "seconds": 2                    for hang (then the connection closes) and delay
      }]
    }

The first rule that matches is applied. `reset_before` closes the connection before the request is processed,
`reset_after` after; `truncated` and `html` process it and spoil the answer.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Mapping
from email.utils import formatdate
from typing import Any, NamedTuple

KINDS = frozenset({"status", "reset_before", "reset_after", "hang", "truncated", "html", "delay"})


class Fault(NamedTuple):
    """What happens to one request instead of, or besides, its proper answer."""

    kind: str
    status: int
    headers: dict[str, str]
    body: Any
    seconds: float


class Faults:
    """The faults of one run.

    Args:
        settings: as the module describes.
        now: monotonic seconds at which the rules begin.
    """

    def __init__(self, settings: Mapping[str, Any], now: float) -> None:
        self._rng = random.Random(settings.get("seed", 0))
        self._latency = settings.get("latency", 0.0)
        self._limit: Mapping[str, float] = settings.get("rate_limit", {})
        self._rules = [dict(rule) for rule in settings.get("rules", ())]
        for rule in self._rules:
            if rule.get("kind") not in KINDS:
                raise ValueError(f"a fault's kind must be one of {sorted(KINDS)}")
        self._began = now
        self._scale = float(settings.get("time_scale", 1.0))
        self._seen = [0] * len(self._rules)
        self._used = [0] * len(self._rules)
        self._tokens, self._filled_at = float(self._limit.get("burst", 0)), now
        self._window, self._in_window = -1, 0

    def latency(self) -> float:
        """Seconds that the next answer takes."""
        given = self._latency
        if not isinstance(given, Mapping):
            return float(given)
        if "median" in given:
            return self._rng.lognormvariate(math.log(given["median"]), given["sigma"])
        return self._rng.uniform(given["low"], given["high"])

    def choose(self, path: str, subscription: str | None, now: float) -> Fault | None:
        """What goes wrong with a request that arrives at `now` (monotonic seconds); None: nothing."""
        if self._limit and not self._admit(now):
            headers = {"Retry-After": str(self._limit["retry_after"])} if "retry_after" in self._limit else {}
            return Fault("status", 429, headers, {"error": "Too many requests"}, 0.0)
        elapsed = (now - self._began) * self._scale
        for number, rule in enumerate(self._rules):
            if self._matches(number, rule, path, subscription, elapsed):
                self._used[number] += 1
                return _fault(rule)
        return None

    def _matches(
        self, number: int, rule: Mapping[str, Any], path: str, subscription: str | None, elapsed: float
    ) -> bool:
        if rule.get("route", path) != path or rule.get("subscription", subscription) != subscription:
            return False
        if not rule.get("from", 0.0) <= elapsed < rule.get("until", math.inf):
            return False
        self._seen[number] += 1
        return (
            self._seen[number] in rule.get("nth", (self._seen[number],))
            and self._used[number] < rule.get("count", math.inf)
            and self._rng.random() < rule.get("probability", 1.0)
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


def _fault(rule: Mapping[str, Any]) -> Fault:
    headers = {name: str(value) for name, value in rule.get("headers", {}).items()}
    if "retry_after_date" in rule:
        headers["Retry-After"] = formatdate(math.ceil(time.time() + rule["retry_after_date"]), usegmt=True)
    if "reset_epoch" in rule:
        headers["X-RateLimit-Reset"] = str(math.ceil(time.time() + rule["reset_epoch"]))
    status = int(rule.get("status", 500 if rule["kind"] == "status" else 200))
    return Fault(rule["kind"], status, headers, rule.get("body", {"error": "fault"}), float(rule.get("seconds", 3600)))
