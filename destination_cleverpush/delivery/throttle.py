"""When the next request may start: pauses that the server asked for, a pace learned from its refusals, a hard cap.

All times are in seconds of one clock that the caller reads.
"""

from __future__ import annotations

import random
from collections import deque

BACKOFF_BASE_SECONDS = 0.5
BACKOFF_CAP_SECONDS = 60.0

_METER_SECONDS = 2.0
_SHORTEST_METER_SECONDS = 0.25
_BACK_OFF = 0.98  # where the pace continues after a pause, as a share of what was taken
_PROBE = 0.05  # how far above that it is after one hold; it grows with the third power of time
_CONFIRMED_WITHIN = 0.1
_LAG_SECONDS = 0.02
_SHORTEST_HOLD_SECONDS = 2.0
_LONGEST_HOLD_SECONDS = 120.0
_LONGER_WHEN_CONFIRMED = 3.0


class Throttle:
    """One throttle for all requests to the channel.

    After a refusal (429) everybody waits, and the pace continues slightly below the rate that was taken before it.
    It stays near that rate for a while and then probes beyond it, ever faster, as TCP CUBIC does: an estimate that was
    too low corrects itself, and one that was right is seldom tested again.

    Args:
        cap: requests per second at most, or None.
        rng: randomness for the jitter of delays that the server did not name.
    """

    def __init__(self, cap: float | None, rng: random.Random) -> None:
        self._cap = cap
        self._rng = rng
        self._next = float("-inf")
        self._paused_until = float("-inf")
        self._refused_at: float | None = None  # or when the first request started
        self._refusals_in_a_row = 0
        self._resumed_at: float | None = None
        self._ceiling: float | None = None
        self._hold = _SHORTEST_HOLD_SECONDS
        self._taken: deque[float] = deque()  # when requests were taken, in the last seconds
        self.waited = 0.0

    def wait(self, now: float) -> float:
        """Seconds until the next request may start; 0 if it may start now."""
        return max(0.0, self._paused_until - now, self._next - now)

    def started(self, now: float) -> None:
        """A request starts. Requests are spread evenly; a late one may be made up for within a fiftieth of a second."""
        if self._resumed_at is None:
            self._resumed_at = self._refused_at = now
        rate = self._rate(now)
        if rate:
            self._next = max(self._next, now - _LAG_SECONDS) + 1 / rate

    def taken(self, now: float) -> None:
        """The server took a request."""
        self._refusals_in_a_row = 0
        self._taken.append(now)
        while self._taken[0] < now - _METER_SECONDS:
            self._taken.popleft()

    def refused(self, started: float, now: float, delay: float | None) -> float:
        """The server refused a request (429): everybody pauses. Returns the delay that was decided, in seconds.

        Args:
            started: when the refused request started. Requests that were in flight at the last refusal tell nothing
                new, but for a delay that they name.
            delay: what the server asked for; None: exponential backoff with jitter.
        """
        if self._resumed_at is None or started >= self._resumed_at:
            self._learn(now)
            if delay is None:
                delay = self._backoff()
        if delay:
            self.pause(now, delay)
        return delay or 0.0

    def pause(self, now: float, delay: float) -> None:
        """Nobody starts a request within `delay` seconds."""
        if now + delay <= self._paused_until:
            return
        until = max(self._paused_until, now + delay)
        self.waited += until - max(self._paused_until, now)
        self._paused_until = until
        self._resumed_at = until
        self._next = max(self._next, until)  # nothing is made up for after a pause
        self._taken.clear()

    @property
    def paces(self) -> bool:
        """Whether a learned or configured pace spreads the requests after a pause."""
        return self._ceiling is not None or self._cap is not None

    def _backoff(self) -> float:
        longest = min(BACKOFF_CAP_SECONDS, BACKOFF_BASE_SECONDS * 2.0 ** min(self._refusals_in_a_row, 16))
        self._refusals_in_a_row += 1
        return longest / 2 + self._rng.random() * longest / 2

    def _learn(self, now: float) -> None:
        """Estimate what the server takes, from what it took right before this refusal.

        Where it refused soon after a pause, it had saved up a burst in that pause, which therefore counts as time.
        """
        if self._resumed_at is None or self._refused_at is None:
            return
        active = now - self._resumed_at
        if active >= _METER_SECONDS:
            measured = sum(at > now - _METER_SECONDS for at in self._taken) / _METER_SECONDS
        else:
            measured = len(self._taken) / max(_SHORTEST_METER_SECONDS, now - self._refused_at)
        self._refused_at = now
        if measured <= 0:
            return
        confirmed = self._ceiling is not None and abs(measured / self._ceiling - 1) < _CONFIRMED_WITHIN
        longer = min(self._hold * _LONGER_WHEN_CONFIRMED, _LONGEST_HOLD_SECONDS)
        self._hold = longer if confirmed else _SHORTEST_HOLD_SECONDS
        self._ceiling = measured

    def _rate(self, now: float) -> float | None:
        if self._ceiling is None or self._resumed_at is None:
            return self._cap
        held = max(0.0, now - self._resumed_at) / self._hold
        learned = self._ceiling * (_BACK_OFF + _PROBE * held**3)
        return min(learned, self._cap) if self._cap else learned
