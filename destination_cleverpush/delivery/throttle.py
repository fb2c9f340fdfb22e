"""When the next request may start: pauses that the server asked for, the pace learned from its refusals, a hard cap.

All times are in seconds of one clock that the caller reads.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from destination_cleverpush.delivery.pace import Pace


@dataclass(frozen=True)
class ThrottleTuning:
    """How long to wait where the server does not say, and how even the requests are.

    Attributes:
        backoff_base_seconds, backoff_cap_seconds: the longest pause after the first refusal without a delay; it doubles
            with each one in a row, up to the cap.
        lag_seconds: a request that starts late may be made up for within this time.
    """

    backoff_base_seconds: float = 0.5
    backoff_cap_seconds: float = 60.0
    lag_seconds: float = 0.02


class Throttle:
    """One throttle for all requests to the channel: after a refusal (429) everybody waits, and goes on at a pace.

    Args:
        cap: requests per second at most, or None.
        rng: randomness for the jitter of delays that the server did not name.
    """

    def __init__(
        self,
        cap: float | None,
        rng: random.Random,
        tuning: ThrottleTuning = ThrottleTuning(),
    ) -> None:
        self._tuning = tuning
        self._cap = cap
        self._rng = rng
        self._pace = Pace()
        self._next = float("-inf")
        self._paused_until = float("-inf")
        self._refused_until = float("-inf")  # the end of the last pause that a refusal brought
        self._refusals_in_a_row = 0
        self.waited = 0.0

    def wait(self, now: float) -> float:
        """Seconds until the next request may start; 0 if it may start now."""
        return max(0.0, self._paused_until - now, self._next - now)

    def started(self, now: float) -> None:
        """A request starts. Requests are spread evenly; a late one may be made up for within a fiftieth of a second."""
        self._pace.started(now)
        if self.paces:
            self._next = max(self._next, now - self._tuning.lag_seconds) + 1 / (self.pace(now) or float("inf"))

    def taken(self, started: float) -> None:
        """The server took a request that started then."""
        self._refusals_in_a_row = 0
        self._pace.taken(started)

    def refused(self, started: float, now: float, delay: float | None) -> float:
        """The server refused a request (429): everybody pauses. Returns the delay that was decided, in seconds.

        Args:
            started: when the refused request started. Requests that were in flight at the last refusal tell nothing
                new, but for a delay that they name.
            delay: what the server asked for; None: exponential backoff with jitter.
        """
        new = started >= self._refused_until
        if delay is None:
            delay = self._backoff() if new else 0.0
        if new:
            self._pace.refused(started, now, now + delay)
        else:
            self._pace.refused_too(started, now)
        if delay:
            self.pause(now, delay)
            self._refused_until = self._paused_until
        return delay

    def pause(self, now: float, delay: float) -> None:
        """Nobody starts a request within `delay` seconds."""
        if now + delay <= self._paused_until:
            return
        until = now + delay
        self.waited += until - max(self._paused_until, now)
        self._paused_until = until
        self._next = max(self._next, until)  # nothing is made up for after a pause
        self._pace.paused(until)

    @property
    def paces(self) -> bool:
        """Whether a learned or configured pace spreads the requests after a pause."""
        return self._pace.known or self._cap is not None

    def pace(self, now: float) -> float | None:
        """The requests per second that may start, learned or configured; None where there is no such limit."""
        rate = min(self._pace.rate(now) or float("inf"), self._cap or float("inf"))
        return None if rate == float("inf") else rate

    def _backoff(self) -> float:
        doubled = self._tuning.backoff_base_seconds * 2.0 ** min(self._refusals_in_a_row, 16)
        longest = min(self._tuning.backoff_cap_seconds, doubled)
        self._refusals_in_a_row += 1
        return longest / 2 + self._rng.random() * longest / 2
