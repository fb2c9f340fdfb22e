"""How many requests may be in flight: found out by watching the answers.

Additive increase, multiplicative decrease, as in TCP and in Vector's adaptive request concurrency, with the doubling of
TCP's slow start in the beginning, but no faster than a server can tell that it is too fast. Congestion is a 429, a 503,
a time-out, or a latency that has doubled.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LimitTuning:
    """How the limit moves.

    Attributes:
        start: requests in flight in the beginning.
        growing_seconds: in so short a time it grows by a factor of 2.7 at most, lest the limit of a server that answers
            quickly is overrun by far before it is heard of.
        fewest_samples: answers over which a mean latency is taken, at least; more where more are in flight.
        cut: what a sign of congestion leaves of the limit.
        risen: how many times the usual latency counts as congestion,
        slack_seconds: and by how much it must have risen besides, since the shortest latencies vary most.
        cut_doubling, cut_climbing: what such a rise leaves of the limit, while it doubles and later.
        reopen_seconds: after which one more is tried where more in flight than there are connections for had failed.
        helped: a cut that leaves more than this share of the latency did not help: load is not its cause.
    """

    start: int = 4
    growing_seconds: float = 0.15
    fewest_samples: int = 16
    cut: float = 0.7
    risen: float = 2.0
    slack_seconds: float = 0.001
    cut_doubling: float = 0.5
    cut_climbing: float = 0.8
    helped: float = 0.9
    reopen_seconds: float = 10.0


class AdaptiveLimit:
    """The number of requests that may be in flight, between 1 and `maximum`. Times are in seconds."""

    def __init__(self, maximum: int, tuning: LimitTuning = LimitTuning()) -> None:
        self._tuning = tuning
        self._maximum = maximum
        self._ceiling = maximum  # what there are connections for, as far as is known
        self._ceiling_at = float("-inf")
        self._limit = float(min(tuning.start, maximum))
        self._doubling = True
        self._cut_at = float("-inf")
        self._baseline: float | None = None
        self._before_cut: float | None = None
        self._sum = 0.0
        self._samples = 0
        self._window = tuning.fewest_samples

    @property
    def value(self) -> int:
        """Requests that may be in flight now."""
        return int(self._limit)

    def answered(self, started: float, now: float, in_flight: int) -> None:
        """A request was answered; `in_flight` counts it. The limit grows only while it is what holds requests back."""
        if in_flight >= int(self._limit):
            more = min(1.0, (now - started) / self._tuning.growing_seconds)
            grown = self._limit + (more if self._doubling else 1 / self._limit)
            self._limit = min(grown, float(self._top(now)))
        if started < self._cut_at:
            return  # its latency is that of the load before the cut
        self._sum += now - started
        self._samples += 1
        if self._samples >= self._window:
            self._judge_latency(self._sum / self._samples, started, now)
            self._sum, self._samples, self._window = 0.0, 0, max(self._tuning.fewest_samples, self.value)

    def congested(self, started: float, now: float, *, factor: float | None = None) -> None:
        """An answer said that too much is in flight. What was started before the last cut says nothing new."""
        if started < self._cut_at:
            return
        self._cut_at = now
        self._doubling = False
        self._limit = max(1.0, self._limit * (factor or self._tuning.cut))

    def exhausted(self, in_flight: int, now: float) -> None:
        """A request could not be made at all: there are connections for those in flight, and for no more."""
        self._ceiling = max(1, min(self._ceiling, in_flight))
        self._ceiling_at = now
        self._limit = min(self._limit, float(self._ceiling))

    def restart(self) -> None:
        """Begin with one request again, and double from there: nobody knows what the server takes after a pause."""
        self._limit = 1.0
        self._doubling = True

    def _top(self, now: float) -> int:
        if self._ceiling < self._maximum and now - self._ceiling_at > self._tuning.reopen_seconds:
            self._ceiling, self._ceiling_at = self._ceiling + 1, now
        return self._ceiling

    def _judge_latency(self, mean: float, started: float, now: float) -> None:
        """Lower the limit when latency has doubled; if that does not help, load is not the cause: accept it."""
        if self._baseline is None:
            self._baseline = mean
        elif self._before_cut is not None:
            if mean > self._before_cut * self._tuning.helped:
                self._baseline = mean
            self._before_cut = None
        elif mean > self._baseline * self._tuning.risen + self._tuning.slack_seconds:
            factor = self._tuning.cut_doubling if self._doubling else self._tuning.cut_climbing
            self.congested(started, now, factor=factor)
            self._before_cut = mean
        self._baseline = min(mean, self._baseline)
