"""When the next request may start: pauses that the server asked for, a pace learned from its refusals, a hard cap.

All times are in seconds of one clock that the caller reads.
"""

from __future__ import annotations

import random
from collections import deque

BACKOFF_BASE_SECONDS = 0.5
BACKOFF_CAP_SECONDS = 60.0

_METER_SECONDS = 10
_LAG_SECONDS = 0.02
_SHORTEST_HOLD_SECONDS = 10.0
_LONGEST_HOLD_SECONDS = 120.0


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
        self._refused_at = float("-inf")
        self._refusals_in_a_row = 0
        self._resumed_at: float | None = None
        self._ceiling: float | None = None
        self._hold = _SHORTEST_HOLD_SECONDS
        self._taken: deque[list[float]] = deque()  # [whole second, requests taken in it]
        self.waited = 0.0

    def wait(self, now: float) -> float:
        """Seconds until the next request may start; 0 if it may start now."""
        return max(0.0, self._paused_until - now, self._next - now)

    def started(self, now: float) -> None:
        """A request starts. Requests are spread evenly; a late one may be made up for within a fiftieth of a second."""
        if self._resumed_at is None:
            self._resumed_at = now
        rate = self._rate(now)
        if rate:
            self._next = max(self._next, now - _LAG_SECONDS) + 1 / rate

    def taken(self, now: float) -> None:
        """The server took a request."""
        self._refusals_in_a_row = 0
        if not self._taken or self._taken[-1][0] != int(now):
            self._taken.append([int(now), 0])
            while self._taken[0][0] < int(now) - _METER_SECONDS:
                self._taken.popleft()
        self._taken[-1][1] += 1

    def refused(self, started: float, now: float, delay: float | None) -> float:
        """The server refused a request (429): everybody pauses. Returns the delay that was decided, in seconds.

        Args:
            started: when the refused request started. Requests that were in flight at the last refusal tell nothing
                new, but for a delay that they name.
            delay: what the server asked for; None: exponential backoff with jitter.
        """
        if started >= self._refused_at:
            self._learn(now)
            if delay is None:
                delay = self._backoff()
            self._refused_at = now
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
        measured = self._measured(now)
        if measured is None:
            if self._ceiling is not None:
                self._ceiling /= 2
            return
        quick = self._ceiling is not None and now - (self._resumed_at or now) < _SHORTEST_HOLD_SECONDS / 4
        confirmed = self._ceiling is not None and abs(measured / self._ceiling - 1) < 0.1
        self._hold = min(self._hold * 2, _LONGEST_HOLD_SECONDS) if confirmed else _SHORTEST_HOLD_SECONDS
        self._ceiling = measured * (0.9 if quick else 1.0)

    def _measured(self, now: float) -> float | None:
        """Requests taken per second since the last pause, over the last ten seconds at most."""
        count = sum(n for _, n in self._taken)
        if self._resumed_at is None or count < 2:
            return None
        since = max(self._resumed_at, now - _METER_SECONDS, self._taken[0][0])
        return count / max(1.0, now - since)

    def _rate(self, now: float) -> float | None:
        if self._ceiling is None or self._resumed_at is None:
            return self._cap
        held = max(0.0, now - self._resumed_at) / self._hold
        learned = self._ceiling * (0.98 + 0.02 * held**3)
        return min(learned, self._cap) if self._cap else learned
