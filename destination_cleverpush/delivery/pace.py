"""The pace that a server takes, learned from its refusals (429). All times are in seconds of the caller's clock.

A refusal costs the pause that the server asks for, so as much as possible is read from each. What counts is when
requests started, since answers come late. How the rate follows from what was taken depends on the kind of the limit,
and this shows in the requests that were in flight at the refusal: a *bucket* of tokens fills again and goes on taking
some, a *counter* takes nothing until its period ends.

- A bucket has taken what it held, and what flowed in meanwhile: its rate is what was taken over the time, to which the
  time that it takes to fill is added. That is assumed at first, and known when two refusals can be compared.
- A counter has taken the same number in each period that ended in a refusal. When periods begin is unknown: it is where
  the counts agree.

The estimate is then held a little below, and after a while more is tried, ever faster. So an estimate that was too low
corrects itself, and one that was right costs a pause seldom.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median_low


@dataclass(frozen=True)
class PaceTuning:
    """How the limit is read from a refusal, how long the estimate is held, and how more is tried.

    Attributes:
        burst_seconds: how long a bucket is assumed to fill, until two refusals tell that it is longer.
        overcounted: a time that begins and ends with a request holds less than it touches, by one request at most.
        silent_intervals: a bucket takes one request per interval; who takes none for so many of them is a counter.
        longest_memory: after a silence the server counts as a counter for two refusals that show none, after several
            silences for so many.
        period_seconds: over how long a counter counts, and the longest that a bucket is believed to fill.
        phases: how many moments are tried for the beginning of a counter's periods.
        counted_within: how much, as a share, more than at best the counts may differ at other moments to be believed.
        deepest_cut: less than this share of the last estimate is believed of a counter only if nothing else fits.
        believed_rise: how much of a rise is believed at once (as a power), since a burst may have hidden the limit.
        raised: an estimate so many times the last says that the limit is another one.
        meter_seconds: how far back taken requests are counted.
        kept, kept_of_counter: the share of the estimate that is held. A bucket that is overrun by little refuses late,
            a counter in each period.
        probe, steepness: how far the rate goes beyond it; the longer, the faster, with this power.
        quick_per_delay: the unit of time of that growth, in pauses of the server.
        hold_per_delay: how long a first estimate is held, in pauses of the server: a probe that fails costs one.
        doubted_hold_per_delay: the same where but one request was refused, which may be chance, or few were taken,
        doubted_hold_seconds: and at least so long where pauses are short.
        sure_after: fewer requests than this are few, and an estimate from them is held as much shorter.
        longer_when_confirmed: how many times longer an estimate is held that a probe has confirmed,
        longest_hold_per_delay: up to so many pauses.
        confirmed_within: how far, as a share, a new estimate may be from the last to confirm it.
        shortest_delay_seconds, longest_delay_seconds: pauses shorter or longer than these count as these.
    """

    burst_seconds: float = 0.1
    overcounted: float = 0.3
    silent_intervals: float = 3.0
    longest_memory: int = 4
    period_seconds: float = 1.0
    phases: int = 100
    counted_within: float = 0.005
    deepest_cut: float = 0.8
    believed_rise: float = 0.8
    raised: float = 2.0
    meter_seconds: float = 10.0
    kept: float = 0.995
    kept_of_counter: float = 0.99
    probe: float = 0.02
    steepness: int = 5
    quick_per_delay: float = 0.8
    hold_per_delay: float = 30.0
    doubted_hold_per_delay: float = 24.0
    doubted_hold_seconds: float = 8.0
    sure_after: int = 24
    longer_when_confirmed: float = 5.0
    longest_hold_per_delay: float = 60.0
    confirmed_within: float = 0.15
    shortest_delay_seconds: float = 1.0
    longest_delay_seconds: float = 10.0


@dataclass
class _Refusal:
    """One that was not read yet: when its request started and was answered, and until when all pause.

    And since when was measured, and which of the requests that started later, before anybody knew, were taken (when
    they started), and which refused (when they started and were answered).
    """

    started: float
    answered: float
    since: float
    until: float
    delay: float
    taken_later: list[float] = field(default_factory=list)
    refused_later: list[tuple[float, float]] = field(default_factory=list)

    @property
    def silence(self) -> float:
        """For how many seconds, as far as was seen, all were refused; one may have overtaken others on its way.

        Requests that wait for each other on their way arrive together, so their answers come together, too: what lies
        between starts says something only if it lies between answers as well.
        """
        refused = sorted([(self.started, self.answered), *self.refused_later])
        bounds = [bisect_left(refused, (at,)) for at in sorted(self.taken_later)]
        runs = [refused[early:late] for early, late in pairwise([0, *bounds, len(refused)])]
        return max(min(_span([at for at, _ in run]), _span([at for _, at in run])) for run in runs if run)


def _span(times: list[float]) -> float:
    return max(times) - min(times)


class Pace:
    """An estimate of how many requests per second the server takes; none before its first refusal."""

    def __init__(self, tuning: PaceTuning = PaceTuning()) -> None:
        self._tuning = tuning
        self._taken: deque[float] = deque()  # when requests started that were taken
        self._since: float | None = None  # the end of the last pause, or the first start
        self._refusal: _Refusal | None = None
        self._estimate: float | None = None
        self._sure = False  # whether it was read from more than a few requests
        self._burst = tuning.burst_seconds
        self._before: tuple[int, float] | None = None  # what a bucket took before it refused, in how many seconds
        self._silences = 0  # more than 0: the server is a counter
        self._ends: list[float] = []  # when a counter refused
        self._hold = 0.0
        self._quick = 1.0
        self._probe_at = 0.0

    @property
    def known(self) -> bool:
        """Whether there is an estimate."""
        return self._estimate is not None or (self._refusal is not None and bool(self._taken))

    def started(self, now: float) -> None:
        """A request starts; the first one starts the measuring."""
        if self._since is None:
            self._since = now

    def taken(self, started: float) -> None:
        """The server took a request that started then."""
        if self._refusal is not None and started > self._refusal.started:
            self._refusal.taken_later.append(started)
        self._taken.append(started)
        while self._taken[0] < started - self._tuning.meter_seconds:
            self._taken.popleft()

    def paused(self, until: float) -> None:
        """Nothing starts before `until`: measuring starts anew then."""
        self._since = until
        if self._refusal is not None:
            self._refusal.until = until

    def refused(self, started: float, now: float, until: float) -> None:
        """The server refused a request that it could have taken if the estimate were right, and pauses until then."""
        if self._since is not None:
            self._refusal = _Refusal(started, now, self._since, until, until - now)

    def refused_too(self, started: float, now: float) -> None:
        """The server refused a request that was in flight when it refused another."""
        if self._refusal is not None:
            self._refusal.refused_later.append((started, now))

    def rate(self, now: float) -> float | None:
        """Requests per second that may start at this moment, or None while nothing is known."""
        if self._refusal is not None and now >= self._refusal.until:
            self._read(self._refusal)
        if self._estimate is None:
            return None
        probing = max(0.0, now - self._probe_at) / self._quick
        kept = self._tuning.kept_of_counter if self._silences else self._tuning.kept
        return self._estimate * (kept + self._tuning.probe * ((1 + probing) ** self._tuning.steepness - 1))

    def _read(self, refusal: _Refusal) -> None:
        """Estimate anew, when all is known of a refusal: at the end of its pause."""
        tuning, self._refusal = self._tuning, None
        taken = sorted(self._taken)
        recent = [at for at in taken if refusal.since <= at <= refusal.started]
        if not recent:
            return
        if refusal.silence > tuning.silent_intervals / self._rate_of(self._fullest(recent, refusal.started)):
            self._silences = min(self._silences + 2, tuning.longest_memory)
        else:  # a bucket, or a counter shortly before its period's end
            self._silences = max(self._silences - 1, 0)
        found = self._of_counter(taken, refusal.started) if self._silences else self._of_bucket(recent, refusal.started)
        if self._estimate is not None and self._sure and found > self._estimate:
            found = self._estimate * (found / self._estimate) ** tuning.believed_rise
            if found > self._estimate * tuning.raised:
                self._burst, self._before = tuning.burst_seconds, None  # a new limit: it was in seconds of the old
        self._plan(refusal, found, len(recent))
        self._estimate, self._sure = found, len(recent) >= tuning.sure_after

    def _plan(self, refusal: _Refusal, found: float, count: int) -> None:
        """Decide how long the new estimate is held."""
        tuning = self._tuning
        delay = min(max(refusal.delay, tuning.shortest_delay_seconds), tuning.longest_delay_seconds)
        self._quick = tuning.quick_per_delay * delay
        if not self._confirms(found):
            clear = count >= tuning.sure_after and (bool(refusal.refused_later) or self._silences > 0)
            doubted = max(tuning.doubted_hold_seconds, tuning.doubted_hold_per_delay * min(refusal.delay, delay))
            self._hold = (tuning.hold_per_delay * delay if clear else doubted) * min(1.0, count / tuning.sure_after)
        elif refusal.started > self._probe_at or self._silences:
            self._hold = min(self._hold * tuning.longer_when_confirmed, tuning.longest_hold_per_delay * delay)
        else:
            return  # it may have been chance: more is tried when it was to be tried
        self._probe_at = refusal.until + self._hold

    def _confirms(self, found: float) -> bool:
        return self._estimate is not None and abs(found / self._estimate - 1) <= self._tuning.confirmed_within

    def _of_bucket(self, taken: list[float], refused: float) -> float:
        """The highest rate that was taken in any time up to the refusal, the time that the bucket fills added."""
        count, seconds = self._fullest(taken, refused)
        wrong = self._estimate is not None and not self._confirms(self._rate_of((count, seconds)))
        if wrong and self._before is not None and count > self._before[0] and seconds > self._before[1]:
            # What it took more in a longer time tells the rate; the rest is what it had held.
            burst = (self._before[0] * seconds - count * self._before[1]) / (count - self._before[0])
            self._burst = min(max(burst, self._burst), self._tuning.period_seconds)
        self._before = count, seconds
        return self._rate_of(self._fullest(taken, refused))

    def _fullest(self, taken: list[float], refused: float) -> tuple[int, float]:
        """Of the times up to the refusal the one with the highest rate: how many were taken, in how many seconds."""
        return max(((n + 1, refused - at) for n, at in enumerate(reversed(taken))), key=self._rate_of)

    def _rate_of(self, time: tuple[int, float]) -> float:
        return (time[0] - self._tuning.overcounted) / (time[1] + self._burst)

    def _of_counter(self, taken: list[float], refused: float) -> float:
        """What is taken in a period, where periods begin when no more was taken in any of them than before refusals.

        One refusal leaves open when that is: then the most counts that it can be.
        """
        period = self._tuning.period_seconds
        self._ends = [*(at for at in self._ends if at > taken[0]), refused]
        found: list[tuple[int, float]] = []  # by how much the counts differ, and the rate
        for phase in range(self._tuning.phases):
            begin = refused - period * (phase + 0.5) / self._tuning.phases
            begins = [begin - period * n for n in range(int((begin - taken[0]) / period) + 2)]
            cuts = [bisect_right(taken, refused), *(bisect_left(taken, at) for at in begins)]
            most = max(late - early for late, early in pairwise(cuts))
            least = min(bisect_right(taken, at) - bisect_left(taken, at - (at - begin) % period) for at in self._ends)
            found.append((most - least, most / period))
        slack = self._tuning.counted_within * max(rate for _, rate in found) * period
        agreed = [rate for differ, rate in found if differ <= min(found)[0] + slack]
        if self._estimate is None or len(self._ends) == 1:
            return max(agreed)
        return median_low([rate for rate in agreed if rate >= self._estimate * self._tuning.deepest_cut] or agreed)
