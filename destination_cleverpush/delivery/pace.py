"""The pace that a server takes, learned from its refusals (429). All times are in seconds of the caller's clock.

The shape is that of TCP CUBIC (RFC 9438): after a refusal the rate climbs back to the one that was taken before it,
fast at first and ever slower, stays close to it, and then probes beyond it, ever faster. So an estimate that was too
low corrects itself, and one that was right costs a refusal, and the pause that comes with it, seldom.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True)
class PaceTuning:
    """The shape of the climb and of the probes.

    Attributes:
        climb_from: where the climb begins after a pause, as a share of a ceiling that is well known.
        probe: how far below the ceiling the rate is one hold before it is reached, and how far above it one hold later.
        shortest_hold_seconds: how long an estimate is held at least before more is tried.
        hold_per_delay: a probe that fails costs a pause: the longer the server's pauses, the longer the holds,
        longest_hold_per_delay: up to so many pauses.
        shortest_delay_seconds, longest_delay_seconds: pauses shorter or longer than these count as these.
        longer_when_confirmed: how many times longer an estimate is held that a refusal has confirmed.
        confirmed_within: how far, as a share, a measured rate may be from the ceiling to confirm it.
        meter_seconds, longest_meter_seconds: over how long the taken requests are counted, the longer the steadier.
        shortest_measure_seconds: a shorter time counts as this, lest few requests look like a high rate.
        first_burst_seconds: how long a burst that the server had saved up may last, in the cautious reading.
        hidden_by_burst_seconds: how long such a burst hides that the rate is too high.
    """

    climb_from: float = 0.98
    probe: float = 0.05
    shortest_hold_seconds: float = 1.0
    hold_per_delay: float = 2.0
    longest_hold_per_delay: float = 60.0
    shortest_delay_seconds: float = 0.1
    longest_delay_seconds: float = 10.0
    longer_when_confirmed: float = 5.0
    confirmed_within: float = 0.15
    meter_seconds: float = 1.5
    longest_meter_seconds: float = 10.0
    shortest_measure_seconds: float = 0.05
    first_burst_seconds: float = 0.25
    hidden_by_burst_seconds: float = 0.1


class Pace:
    """An estimate of how many requests per second the server takes; none before its first refusal."""

    def __init__(self, tuning: PaceTuning = PaceTuning()) -> None:
        self._tuning = tuning
        self._taken: deque[float] = deque()  # when requests were taken, since the last pause
        self._paused_at = 0.0
        self._resumed_at: float | None = None  # None: nothing was sent yet
        self._ceiling: float | None = None
        self._hold = self._first_hold = self._tuning.shortest_hold_seconds
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
        while self._taken[0] < now - self._tuning.longest_meter_seconds:
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
        return self._ceiling * (1 + self._tuning.probe * held**3)

    def refused(self, now: float, until: float) -> None:
        """The server refused a request that it could have taken if the estimate were right, and pauses until then."""
        if self._resumed_at is None:
            return
        active = now - self._resumed_at
        most, least = self._measure(now, active)
        tested = self.rate(now)
        confirmed = False
        if tested is not None and self._ceiling is not None:
            near = abs(most / self._ceiling - 1) < self._tuning.confirmed_within
            confirmed = near and active >= self._tuning.meter_seconds
            # A burst that the server had saved up hides for a while that it was asked for too much.
            hidden = self._tuning.hidden_by_burst_seconds / active if active >= self._tuning.meter_seconds else 0.0
            most = min(most, tested * (1 - hidden))
        if most <= 0:
            return
        delay = min(max(until - now, self._tuning.shortest_delay_seconds), self._tuning.longest_delay_seconds)
        self._first_hold = max(self._tuning.shortest_hold_seconds, self._tuning.hold_per_delay * delay)
        longer = min(self._hold * self._tuning.longer_when_confirmed, self._tuning.longest_hold_per_delay * delay)
        self._hold = longer if confirmed else self._first_hold
        self._ceiling = most
        below = 1 - min(self._tuning.climb_from, least / most)
        self._level_at = until + self._hold * (below / self._tuning.probe) ** (1 / 3)

    def _measure(self, now: float, active: float) -> tuple[float, float]:
        """What the server took per second, at most and at least.

        Soon after a pause these differ, since it may have saved up a burst meanwhile: then the pause counts as time for
        the least. Later, both are what it took in the last seconds, more of them the steadier the pace was.
        """
        window = min(self._tuning.longest_meter_seconds, max(self._tuning.meter_seconds, self._hold))
        if active >= window:
            most = least = sum(at > now - window for at in self._taken) / window
        else:
            most = len(self._taken) / max(active, self._tuning.shortest_measure_seconds)
            least = len(self._taken) / max(now - self._paused_at, self._tuning.first_burst_seconds)
        return most, (most if active >= self._tuning.meter_seconds else least)
