"""What was measured: how it is counted, kept and compared. Nothing here measures, starts or waits."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tools.bench.target import Request

BUCKET_SECONDS = 0.5


class Spread(NamedTuple):
    """The middle one of several runs, and the ends."""

    median: float
    low: float
    high: float


class Tally(NamedTuple):
    """What a server's notes say of a run.

    Attributes:
        rate: rows that were taken per second, from the start of the first request to the end of the last one.
        taken, refused, failed: requests that were answered with 200, 429, and 5xx.
        missing: rows that were never taken.
        repeated: times that a row was taken which had been taken before.
    """

    rate: float
    taken: int
    refused: int
    failed: int
    missing: int
    repeated: int


@dataclass(frozen=True)
class Run:
    """One run of one contender; times in seconds, memory in bytes.

    Attributes:
        contender: its key.
        case: what is special about the run; empty in parts where all runs do the same.
        number: of the round, from 0. Runs of one round were made in turn.
        rows: that it was given; 0 for wrk.
        states: that came out.
        exit_code: None where it was killed, since it took too long.
        timeline: requests taken and refused in each half second; kept for a few runs only.
    """

    contender: str
    case: str
    number: int
    rows: int
    rate: float
    taken: int
    refused: int
    failed: int
    missing: int
    repeated: int
    states: int
    exit_code: int | None
    seconds: float
    cpu_seconds: float
    peak_memory: int
    timeline: list[list[int]] = field(default_factory=list)


@dataclass(frozen=True)
class Part:
    """A part that was measured at one time: when, where, of what, and its runs. `load` is that of before."""

    date: str
    machine: str
    load: float
    versions: dict[str, str]
    runs: list[Run]

    def of(self, contender: str, case: str | None = None) -> list[Run]:
        """A contender's runs by number of the round, of one case or of all."""
        return [run for run in self.runs if run.contender == contender and case in (None, run.case)]

    def contenders(self) -> list[str]:
        """Who took part, in the order of their first runs."""
        return list(dict.fromkeys(run.contender for run in self.runs))


def tally(requests: Sequence[Request], rows: int) -> Tally:
    """Count a run of so many rows, numbered from 1; 0: rows do not matter."""
    taken = [request for request in requests if request.status == 200]
    times = Counter(request.row for request in taken)
    missing = sum(1 for row in range(1, rows + 1) if not times[row])
    return Tally(
        rate=round(len(taken) / _seconds(requests), 2) if taken else 0.0,
        taken=len(taken),
        refused=sum(request.status == 429 for request in requests),
        failed=sum(request.status >= 500 for request in requests),
        missing=missing,
        repeated=sum(count - 1 for count in times.values()) if rows else 0,
    )


def timeline(requests: Sequence[Request]) -> list[list[int]]:
    """Requests taken, and refused, in each half second from the first start on, by when they were answered."""
    began = min(request.started for request in requests)
    found = [[0, 0] for _ in range(int(_seconds(requests) / BUCKET_SECONDS) + 1)]
    for request in requests:
        bucket = found[int((request.ended - began) / BUCKET_SECONDS)]
        bucket[request.status == 429] += request.status in (200, 429)
    return found


def _seconds(requests: Sequence[Request]) -> float:
    """From the start of the first request to the end of the last one; nginx tells milliseconds, so at least one."""
    return max(max(r.ended for r in requests) - min(r.started for r in requests), 0.001)


def spread(values: Sequence[float]) -> Spread:
    """The spread of at least one value."""
    return Spread(statistics.median(values), min(values), max(values))


def ratios(part: Part, above: str, below: str, case: str | None = None) -> Spread | None:
    """How one contender's rates stand to another's, over the rounds that both ran; None: there are none.

    A round counts where both got all their rows through.
    """
    over = {run.number: run.rate for run in part.of(below, case) if _counts(run)}
    found = [run.rate / over[run.number] for run in part.of(above, case) if run.number in over and _counts(run)]
    return spread(found) if found else None


def _counts(run: Run) -> bool:
    return run.missing == 0 and run.rate > 0


def fill(needs: Sequence[float], budget: float) -> list[float]:
    """Seconds for each, which together take the budget at most.

    Who needs little gets all of it; the others share what is left in equal parts.
    """
    left, given = budget, [0.0] * len(needs)
    for place, index in enumerate(sorted(range(len(needs)), key=lambda index: needs[index])):
        given[index] = min(needs[index], left / (len(needs) - place))
        left -= given[index]
    return given


def read(path: Path) -> dict[str, Part]:
    """The parts in a file; none where it does not exist."""
    if not path.exists():
        return {}
    parts: dict[str, dict[str, Any]] = json.loads(path.read_text())
    return {name: Part(**{**part, "runs": [Run(**run) for run in part["runs"]]}) for name, part in parts.items()}


def merge(path: Path, name: str, part: Part, order: Sequence[str]) -> None:
    """Put a part into a file, in place of an older one of that name; the others stay as they are.

    The file is written whole or not at all, one run a line, so that a change of one part is seen as such.
    """
    parts = {**read(path), name: part}
    texts = []
    for key in sorted(parts, key=lambda key: order.index(key) if key in order else len(order)):
        about = {**asdict(parts[key]), "runs": None}
        runs = ",\n".join("   " + json.dumps(asdict(run)) for run in parts[key].runs)
        texts.append(f" {json.dumps(key)}: {json.dumps(about).removesuffix('null}')}[\n{runs}\n ]}}")
    fresh = path.with_suffix(".new")
    fresh.write_text("{\n" + ",\n".join(texts) + "\n}\n")
    fresh.replace(path)


def median(runs: Sequence[Run], of: Callable[[Run], float]) -> float:
    """The middle one of a value over runs."""
    return statistics.median(of(run) for run in runs)


def calls_per_thousand(run: Run) -> float:
    """Calls of any outcome for each 1,000 rows that were read."""
    return 1000 * (run.taken + run.refused + run.failed) / run.rows


def labels(parts: Mapping[str, Part]) -> list[str]:
    """All contenders of some parts, in the order of their first runs."""
    return list(dict.fromkeys(name for part in parts.values() for name in part.contenders()))
