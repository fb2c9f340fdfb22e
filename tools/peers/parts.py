"""The parts of the comparison. Each gets a share of the time, and chooses by it how many rows everybody sends."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.bench import work
from tools.bench.target import Behaviour, start_target
from tools.bench.tracking import Model
from tools.peers.contenders import ALL, Job, run
from tools.peers.results import Run, fill, tally, timeline

ROWS = 10_000
LIMIT = 200
LIMITED_ROWS = 4_000
SIZES = (1_000, 10_000, 100_000, 1_000_000)
EACH, END = "a state after every record", "one state at the end"
UNCHANGED, CHANGED, UNTRACKED = "tracking, none changed", "tracking, 1 % changed", "no tracking"
LATENCIES = {"0ms": 0.0, "20ms": 0.02, "50ms": 0.05, "200ms": 0.2}

_FEWEST_ROWS = 50
_SHORTEST_SECONDS = 3  # of sending, so that a rate says something
_PATIENCE = 3  # times the expected duration, until a run is killed
_OVERTIME = 1.5  # times a part's share, until no further round is begun
_WRK_SECONDS = 5
_REFRESHES_SHARE = 0.3  # of that part's time goes to the refresh that calls for every row


@dataclass(frozen=True)
class Effort:
    """How many rounds there are, and how long a part may take."""

    rounds: int
    seconds: float


@dataclass(frozen=True)
class Case:
    """What a contender is to do in a part."""

    contender: str
    behaviour: Behaviour
    kind: work.Kind = "subscriptions"
    rows_per_state: int = 100
    name: str = ""
    rows: int = ROWS

    @property
    def guess(self) -> float:
        """Rows per second, roughly."""
        guess = ALL[self.contender].guess(self.behaviour.latency)
        return min(guess, self.behaviour.rate or guess)

    def rows_in(self, seconds: float) -> int:
        """Rows that fit into so many seconds with its start, in tens."""
        fitting = self.guess * max(_SHORTEST_SECONDS, seconds - ALL[self.contender].start_seconds)
        return min(self.rows, max(_FEWEST_ROWS, int(fitting) // 10 * 10))

    @property
    def need(self) -> float:
        """Seconds that all rows take, roughly."""
        if not ALL[self.contender].has_rows:
            return _WRK_SECONDS
        return ALL[self.contender].start_seconds + self.rows / self.guess


def in_rounds(cases: Sequence[Case], effort: Effort, *, timelines: bool = False) -> Iterator[Run]:
    """All cases in turn, over and over: so whatever else the machine does falls on all of them."""
    seconds = fill([case.need for case in cases], effort.seconds / effort.rounds)
    for number in _numbers(effort):
        for case, share in zip(cases, seconds, strict=True):
            yield measure(case, case.rows_in(share), number, with_timeline=timelines and number == 0)


def _numbers(effort: Effort) -> Iterator[int]:
    """The numbers of the rounds that there is time for."""
    began = time.monotonic()
    for number in range(effort.rounds):
        if number and (time.monotonic() - began) * (number + 1) / number > effort.seconds * _OVERTIME:
            return
        yield number


def measure(case: Case, rows: int, number: int = 0, *, with_timeline: bool = False) -> Run:
    """One run of one case, with a server of its own."""
    contender = ALL[case.contender]
    count = rows if contender.has_rows else 0
    with _place() as directory:
        with start_target(case.behaviour) as target:
            job = Job(directory, target.url, case.kind, rows, case.rows_per_state, _WRK_SECONDS)
            expected = contender.start_seconds + rows / case.guess
            ran = run(contender, job, at_most=60 + _PATIENCE * expected)
        counted = tally(target.requests, count)
    return Run(
        contender=case.contender,
        case=case.name,
        number=number,
        rows=count,
        **counted._asdict(),
        states=ran.states,
        exit_code=ran.exit_code,
        seconds=ran.seconds,
        cpu_seconds=ran.cpu_seconds,
        peak_memory=ran.peak_memory,
        timeline=timeline(target.requests) if with_timeline and target.requests else [],
    )


def _rates(latency: float, *contenders: str, kind: work.Kind = "subscriptions") -> Callable[[Effort], Iterator[Run]]:
    behaviour = Behaviour(latency=latency, reads_bodies=True)
    return lambda effort: in_rounds([Case(name, behaviour, kind) for name in contenders], effort)


def _limit(effort: Effort) -> Iterator[Run]:
    """Those that are fast enough to meet the limit at all."""
    refusal = {"Retry-After": "1"}
    behaviour = Behaviour(latency=0.02, rate=LIMIT, burst=20, refusal=refusal, reads_bodies=True)
    cases = [Case(name, behaviour, rows=LIMITED_ROWS) for name in ("ours", "ours-64", "dlt", "dlt-64")]
    return in_rounds(cases, effort, timelines=True)


def _failures(effort: Effort) -> Iterator[Run]:
    behaviour = Behaviour(latency=0.02, failures=0.01, reads_bodies=True)
    names = ("ours", "ours-64", "dlt", "dlt-row", "drt", "plain", "pyairbyte")
    return in_rounds([Case(name, behaviour) for name in names], effort)


def _states(effort: Effort) -> Iterator[Run]:
    behaviour = Behaviour(reads_bodies=True)
    return in_rounds(
        [
            Case(name, behaviour, rows_per_state=per_state, name=case)
            for name in ("ours", "plain")
            for case, per_state in ((EACH, 1), (END, ROWS))
        ],
        effort,
    )


def _refresh(effort: Effort) -> Iterator[Run]:
    """A model of the same size with and without change tracking, and a sync of the others, who know of no change."""
    behaviour, seconds = Behaviour(latency=0.02, reads_bodies=True), effort.seconds / effort.rounds
    people = Case("ours", behaviour, rows=100_000).rows_in(seconds * _REFRESHES_SHARE)
    others = [Case(name, behaviour, name=UNTRACKED) for name in ("dlt", "drt", "plain")]
    with _place() as tracked, _place() as untracked, start_target(behaviour) as target:
        known = Model(tracked, people, target.url)
        unknown = Model(untracked, people, target.url, tracks=False)
        for number in _numbers(effort):
            yield _refreshed(known, people, UNCHANGED, 0.0, number)
            yield _refreshed(known, people, CHANGED, 0.01, number)
            yield _refreshed(unknown, people, UNTRACKED, 0.01, number)
            for case in others:
                yield measure(case, case.rows_in(seconds / 10), number)


def _refreshed(model: Model, people: int, case: str, changed: float, number: int) -> Run:
    found = model.refresh(changed)
    return Run(
        contender="ours",
        case=case,
        number=number,
        rows=people,
        rate=round(people / found.seconds, 2),
        taken=found.calls,
        refused=0,
        failed=0,
        missing=0,
        repeated=0,
        states=0,
        exit_code=0,
        seconds=found.seconds,
        cpu_seconds=0.0,
        peak_memory=found.peak_memory,
    )


def _growth(effort: Effort) -> Iterator[Run]:
    """Memory and CPU over the number of rows: this connector up to 1,000,000, others as far as the time goes."""
    began = time.monotonic()
    for place, name in enumerate(("ours", "plain", "dlt", "drt")):
        ends = effort.seconds * (place + 3) / 6  # half of the time is for this connector
        for size in SIZES:
            case = Case(name, Behaviour(reads_bodies=True), name=f"{size} rows", rows=size)
            if size > SIZES[0] and time.monotonic() - began + case.need > ends:
                break
            yield measure(case, size)


@dataclass(frozen=True)
class Measured:
    """How a part is measured, what it says, and how much of the time it gets beside the others."""

    about: str
    weight: float
    runs: Callable[[Effort], Iterator[Run]]


_FAST = ("ours", "ours-64", "dlt", "dlt-64", "drt", "plain", "wrk")

PARTS: Mapping[str, Measured] = {
    "0ms": Measured("the server answers at once", 4, _rates(0.0, *_FAST, "pyairbyte")),
    "20ms": Measured("after 20 ms", 4, _rates(0.02, *_FAST)),
    "50ms": Measured("after 50 ms", 8, _rates(0.05, *_FAST, "dlt-row", "pyairbyte")),
    "200ms": Measured("after 200 ms", 5, _rates(0.2, *_FAST)),
    "tags": Measured("tags, after 50 ms", 4, _rates(0.05, *_FAST, kind="tags")),
    "limit": Measured(f"after 20 ms, at most {LIMIT} requests per second, Retry-After: 1", 9, _limit),
    "failures": Measured("after 20 ms, one request in a hundred fails with 503", 6, _failures),
    "states": Measured("at once, a state after every record", 3, _states),
    "refresh": Measured("after 20 ms, a refresh with 1 % changed rows", 3, _refresh),
    "growth": Measured("at once, more and more rows", 8, _growth),
}


def load() -> float:
    """How many processes wanted a processor in the last minute."""
    return round(os.getloadavg()[0], 2)


@contextmanager
def _place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="cleverpush-peers-") as name:
        yield Path(name)
