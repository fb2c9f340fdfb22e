"""The pace that a server takes, learned from its refusals (429). All times are in seconds of the caller's clock.

The shape is that of TCP CUBIC (RFC 9438): after a refusal the rate climbs back to the one that was taken before it,
fast at first and ever slower, stays close to it, and then probes beyond it, ever faster. So an estimate that was too
low corrects itself, and one that was right costs a refusal, and the pause that comes with it, seldom.
"""

from __future__ import annotations

from collections import deque

_CLIMB_FROM = 0.98  # of the ceiling, where the ceiling is well known
_PROBE = 0.05  # how far below the ceiling a hold before it is reached, and how far above it a hold later
_SHORTEST_HOLD_SECONDS = 1.0
_HOLD_PER_DELAY = 2.0  # a probe that fails costs a pause: the longer the server's pauses, the fewer probes
_LONGEST_HOLD_PER_DELAY = 60.0
_SHORTEST_DELAY_SECONDS = 0.1
_LONGEST_DELAY_SECONDS = 10.0
_LONGER_WHEN_CONFIRMED = 5.0
_CONFIRMED_WITHIN = 0.15
_METER_SECONDS = 1.5
_LONGEST_METER_SECONDS = 10.0
_SHORTEST_MEASURE_SECONDS = 0.05
_FIRST_BURST_SECONDS = 0.25
_HIDDEN_BY_BURST_SECONDS = 0.1


class Pace:
    """An estimate of how many requests per second the server takes; none before its first refusal."""

    def __init__(self) -> None:
        self._taken: deque[float] = deque()  # when requests were taken, since the last pause
        self._paused_at = 0.0
        self._resumed_at: float | None = None  # None: nothing was sent yet
        self._ceiling: float | None = None
        self._hold = self._first_hold = _SHORTEST_HOLD_SECONDS
        self._level_at = 0.0  # when the rate reaches the ceiling

    @property
    def known(self) -> bool:
        """Whether there is an estimate."""
        return self._ceiling is not None

    def started(self, now: float) -> None:
        """A request starts; the first one starts the measuring."""
        if self._resumed_at is None:
            self._resumed_at = self._paused_at = now

    def taken(self, now: float) -> None:
        """The server took a request."""
        self._taken.append(now)
        while self._taken[0] < now - _LONGEST_METER_SECONDS:
            self._taken.popleft()

    def paused(self, now: float, until: float) -> None:
        """Nothing starts before `until`: measuring starts anew then."""
        if self._resumed_at is None or now >= self._resumed_at:
            self._paused_at = now
        self._resumed_at = until
        self._taken.clear()

    def rate(self, now: float) -> float | None:
        """Requests per second that may start at this moment, or None while nothing is known."""
        if self._ceiling is None:
            return None
        held = (now - self._level_at) / self._hold
        if held > 1:  # more is taken than was thought: find out quickly how much
            held = 1 + (now - self._level_at - self._hold) / self._first_hold
        return self._ceiling * (1 + _PROBE * held**3)

    def refused(self, now: float, until: float) -> None:
        """The server refused a request that it could have taken if the estimate were right, and pauses until then."""
        if self._resumed_at is None:
            return
        active = now - self._resumed_at
        most, least = self._measure(now, active)
        tested = self.rate(now)
        confirmed = False
        if tested is not None and self._ceiling is not None:
            confirmed = active >= _METER_SECONDS and abs(most / self._ceiling - 1) < _CONFIRMED_WITHIN
            # A burst that the server had saved up hides for a while that it was asked for too much.
            hidden = _HIDDEN_BY_BURST_SECONDS / active if active >= _METER_SECONDS else 0.0
            most = min(most, tested * (1 - hidden))
        if most <= 0:
            return
        delay = min(max(until - now, _SHORTEST_DELAY_SECONDS), _LONGEST_DELAY_SECONDS)
        self._first_hold = max(_SHORTEST_HOLD_SECONDS, _HOLD_PER_DELAY * delay)
        longer = min(self._hold * _LONGER_WHEN_CONFIRMED, _LONGEST_HOLD_PER_DELAY * delay)
        self._hold = longer if confirmed else self._first_hold
        self._ceiling = most
        below = 1 - min(_CLIMB_FROM, least / most)
        self._level_at = until + self._hold * (below / _PROBE) ** (1 / 3)

    def _measure(self, now: float, active: float) -> tuple[float, float]:
        """What the server took per second, at most and at least.

        Soon after a pause these differ, since it may have saved up a burst meanwhile: then the pause counts as time for
        the least. Later, both are what it took in the last seconds, more of them the steadier the pace was.
        """
        window = min(_LONGEST_METER_SECONDS, max(_METER_SECONDS, self._hold))
        if active >= window:
            most = least = sum(at > now - window for at in self._taken) / window
        else:
            most = len(self._taken) / max(active, _SHORTEST_MEASURE_SECONDS)
            least = len(self._taken) / max(now - self._paused_at, _FIRST_BURST_SECONDS)
        return most, (most if active >= _METER_SECONDS else least)
