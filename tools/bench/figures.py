"""The figures. Each compares two runs made in turn on the same machine, so that what is printed are ratios.

Rates are taken from the target's own notes, from the start of the first request to the end of the last one: start-up
counts for nobody, and finding the speed counts for the connector.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3  # type: ignore[import-untyped]

from integration_tests.object_stores import start_moto
from integration_tests.platform_double import CONNECTOR
from integration_tests.simulator.process import start_simulator
from tools.bench.bare import prepare
from tools.bench.connector import run_connector, write_files, write_rows
from tools.bench.target import Behaviour, Request, Target, start_target, taken_per_second
from tools.bench.tracking import Model
from tools.bench.work import CHANNEL, KEY

IN_FLIGHT = 64
THREADS = 32  # the default of max_concurrency
LIMIT = 200
_ON_ITS_WAY_SECONDS = 0.1
_CLOCK_SECONDS = 0.002


@dataclass(frozen=True)
class Effort:
    """How long the benchmark takes: repetitions and rows.

    `limits` are syncs against a limit: rows, the share of it that is to be reached, and that may be refused, and how
    many such syncs there are.
    """

    repetitions: int
    slow_rows: int
    fast_rows: int
    many_rows: int
    limits: tuple[tuple[int, float, float, int], ...]


_SHORT, _LONG = (4_000, 0.92, 0.015, 5), (30_000, 0.95, 0.01, 1)
QUICK = Effort(repetitions=3, slow_rows=12_000, fast_rows=6_000, many_rows=200_000, limits=(_SHORT,))
FULL = Effort(repetitions=5, slow_rows=25_000, fast_rows=20_000, many_rows=1_000_000, limits=(_SHORT, _LONG))


@dataclass(frozen=True)
class Figure:
    """One line of the table. `value` is what `goal` is about; the rest is for the reader."""

    name: str
    what: str
    value: float
    goal: str
    reached: bool
    measured: str


def beside_wrk(effort: Effort) -> Iterator[Figure]:
    """(a) 50 ms latency, 64 in flight: the share of what wrk gets with 64 connections."""
    behaviour = Behaviour(latency=0.05)
    ours, theirs = [], []
    with _workplace() as directory:
        rows = write_rows(directory / "rows", effort.slow_rows, rows_per_state=100)
        seconds = max(3, round(effort.slow_rows * behaviour.latency / IN_FLIGHT))
        for _ in range(effort.repetitions):
            ours.append(_connector_rate(directory, rows, effort.slow_rows, behaviour, IN_FLIGHT))
            with start_target(behaviour) as target:
                script = _wrk_script(directory, target, rows)
                command = ["wrk", "-t1", f"-c{IN_FLIGHT}", f"-d{seconds}s", "-s", str(script), target.url]
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            theirs.append(target.rate)
    yield _share("a", "50 ms latency, 64 in flight: connector / wrk -c64", ours, theirs, 0.95)


def beside_bare_loops(effort: Effort) -> Iterator[Figure]:
    """(b) No latency: the share of what a bare loop over the same requests gets in as many threads.

    There are two loops: through the adapter of `requests` as it comes, and through the connector's own transport.
    """
    ours: list[float] = []
    loops: dict[str, list[float]] = {"requests": [], "connector": []}
    with _workplace() as directory:
        rows = write_rows(directory / "rows", effort.fast_rows, rows_per_state=100)
        for _ in range(effort.repetitions):
            ours.append(_connector_rate(directory, rows, effort.fast_rows, Behaviour(), THREADS))
            for adapter, rates in loops.items():
                rates.append(_loop_rate(directory, rows, effort.fast_rows, adapter))
    what = f"no latency, {THREADS} threads: connector / bare loop, "
    yield _share("b", what + "requests' adapter", ours, loops["requests"], 0.85)
    yield _share("b", what + "its own transport", ours, loops["connector"], 0.85)


def states(effort: Effort) -> Iterator[Figure]:
    """(c) No latency: a state after every record, beside one state at the end."""
    many, one = [], []
    with _workplace() as directory:
        each = write_rows(directory / "each", effort.fast_rows, rows_per_state=1)
        single = write_rows(directory / "single", effort.fast_rows, rows_per_state=effort.fast_rows)
        for _ in range(effort.repetitions):
            many.append(_connector_rate(directory, each, effort.fast_rows, Behaviour(), THREADS))
            one.append(_connector_rate(directory, single, effort.fast_rows, Behaviour(), THREADS))
    yield _share("c", "no latency: a state after every record / one at the end", many, one, 0.95)


def memory(effort: Effort) -> Iterator[Figure]:
    """(d) Peak resident memory after many rows, over that after 10,000; a state after every record."""
    peaks = []
    with _workplace() as directory:
        for count in (10_000, effort.many_rows):
            rows = write_rows(directory / "rows", count, rows_per_state=1)
            with start_target(Behaviour()) as target:
                run = run_connector(directory, rows, target.url, max_concurrency=THREADS)
            _all_taken(target, count)
            if run.states != count:
                raise RuntimeError(f"{run.states} states came out for {count} that went in")
            peaks.append(run.peak_memory / 1e6)
    grown = peaks[1] - peaks[0]
    yield Figure(
        "d",
        f"peak memory after {effort.many_rows:,} rows, over that after 10,000",
        grown,
        "<= 20 MB",
        grown <= 20,
        f"{peaks[0]:.1f} MB, {peaks[1]:.1f} MB",
    )


def tracking(effort: Effort) -> Iterator[Figure]:
    """(g) A refresh of many rows with change tracking, none or one in a hundred changed, and one without it."""
    people = effort.many_rows
    with _workplace() as directory, start_target(Behaviour()) as target:
        model = Model(directory, people, target.url)
        still, some = model.refresh(), model.refresh(0.01)
    with _workplace() as directory, start_target(Behaviour()) as target:
        without = Model(directory, people, target.url, tracks=False).refresh()
    about = f"{people / still.seconds:,.0f} rows per s, {still.peak_memory / 1e6:.0f} MB, file {model.megabytes:.0f} MB"
    yield _calls(f"refresh of {people:,} rows, none changed: calls", still.calls, 0, about)
    about = f"{people / some.seconds:,.0f} rows per s, {some.peak_memory / 1e6:.0f} MB"
    yield _calls(f"refresh of {people:,} rows, 1 % changed: calls", some.calls, people // 100, about)
    about = f"{people / without.seconds:,.0f} rows per s, {without.peak_memory / 1e6:.0f} MB"
    due = people + 1  # the first person's copies are looked for
    yield _calls(f"refresh of {people:,} rows, no tracking: calls", without.calls, due, about)


def many_in_a_directory(effort: Effort) -> Iterator[Figure]:
    """(h) Change tracking with many members in a directory, once."""
    people = 10 * effort.many_rows
    with _workplace() as directory, start_target(Behaviour()) as target:
        model = Model(directory, people, target.url)
        still = model.refresh()
    what = f"{people:,} members, none changed: peak memory"
    about = (
        f"{people / still.seconds:,.0f} rows per s, {still.calls} calls; file {model.megabytes:.0f} MB, filled in "
        f"{model.fill_seconds:.0f} s"
    )
    peak = still.peak_memory / 1e6
    yield Figure("h", what, peak, "<= 256 MB", peak <= 256 and not still.calls, about)


def many_in_s3(effort: Effort) -> Iterator[Figure]:
    """(i) The same members in S3, from which their memory is restored, once."""
    people = 10 * effort.many_rows
    with _workplace() as directory, start_moto(directory) as s3:
        made = {"endpoint_url": s3.endpoint, "region_name": "us-east-1"}
        made |= {"aws_access_key_id": "bench", "aws_secret_access_key": "bench-secret"}
        boto3.client("s3", **made).create_bucket(Bucket="bench")
        storage = {"storage_type": "s3", "s3_bucket_name": "bench", "s3_bucket_region": "us-east-1"}
        storage |= {"s3_endpoint": s3.endpoint, "access_key_id": "bench", "secret_access_key": "bench-secret"}
        stored = Model(directory, people, s3.endpoint, storage=storage)
        seconds = stored.restore()
    what = f"{people:,} members in S3 (moto): stored"
    about = f"filled in {stored.fill_seconds:.0f} s, restored in {seconds:.1f} s"
    yield Figure("i", what, stored.megabytes, "told MB", True, about)


def processor_time(effort: Effort) -> Iterator[Figure]:
    """(p) CPU per 10,000 rows less the start; (s) what the package adds to the CDK's import until `spec` is told."""
    with _workplace() as directory, start_target(Behaviour(latency=0.05)) as target:
        seconds = {}
        for count in (1, effort.slow_rows + 1):
            rows = write_rows(directory / "rows", count, rows_per_state=100)
            runs = [run_connector(directory, rows, target.url, max_concurrency=IN_FLIGHT) for _ in range(3)]
            seconds[count] = statistics.median(run.cpu_seconds for run in runs)
    one, many = seconds.values()
    each = (many - one) / effort.slow_rows
    about = f"start {one:.1f} s, {each * 1e6:.0f} us per row"
    yield Figure(
        "p", f"50 ms latency, {IN_FLIGHT} in flight: CPU per 10,000 rows", 10_000 * each, "told s", True, about
    )
    ours, theirs = [], []
    for _ in range(effort.repetitions):
        theirs.append(_elapsed([sys.executable, "-c", "import airbyte_cdk.destinations, airbyte_cdk.models"]))
        ours.append(_elapsed([*CONNECTOR, "spec"]))
    added = statistics.median(a - b for a, b in zip(ours, theirs, strict=True)) * 1000
    about = f"{statistics.median(ours):.2f} s, {statistics.median(theirs):.2f} s for importing the CDK"
    yield Figure("s", "spec: what the package adds to the CDK's import", added, "<= 50 ms", added <= 50, about)


def _elapsed(command: Sequence[str | Path]) -> float:
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def _calls(what: str, calls: int, due: int, measured: str) -> Figure:
    return Figure("g", what, calls, f"{due} calls", calls == due, measured)


def server_limits(effort: Effort) -> Iterator[Figure]:
    """(e) A limit at the server: the share of it that is reached, and that of refused requests; (f) in these runs."""
    kinds: dict[str, Callable[[Path, int], list[Request]]] = {
        "nginx limit_req, burst 20": _limited_by_nginx,
        "token bucket, burst 20": lambda directory, rows: _limited_by_simulator(directory, rows, burst=20),
        "per whole second": _limited_by_simulator,
    }
    for rows, least, most, times in effort.limits:
        runs: dict[str, list[list[Request]]] = {kind: [] for kind in kinds}
        for kind in [*kinds] * times:
            with _workplace() as directory:
                runs[kind].append(kinds[kind](directory, rows))
        for kind, of_kind in runs.items():
            what = f"limit {LIMIT}/s, {kind}, {rows:,} rows"
            reached = [taken_per_second(requests) / LIMIT for requests in of_kind]
            share, refused = statistics.median(reached), max(map(_refused, of_kind))
            figures = f"{share * LIMIT:.1f} of {LIMIT} per s"
            figures += f"; {min(reached):.1%} to {max(reached):.1%} in {times}" if times > 1 else ""
            yield Figure("e", f"{what}: reached", share, f">= {least:.0%}", share >= least, figures)
            counts = f"the most of {times}" if times > 1 else ""
            yield Figure("e", f"{what}: refused", refused, f"<= {most:.1%}", refused <= most, counts)
            yield _pauses(f"{what}: requests before the 1 s of a 429", of_kind, 1.0)


def _refused(requests: Sequence[Request]) -> float:
    return sum(request.status == 429 for request in requests) / len(requests)


def pauses(_effort: Effort) -> Iterator[Figure]:
    """(f) After a 429 that names a delay, no request before it is over."""
    for header in ("Retry-After", "RateLimit-Reset", "X-RateLimit-Reset"):
        behaviour = Behaviour(latency=0.02, rate=50, burst=10, refusal={header: "3"})
        with _workplace() as directory:
            rows = write_rows(directory / "rows", 400, rows_per_state=1)
            with start_target(behaviour) as target:
                run_connector(directory, rows, target.url)
        yield _pauses(f"no request before the 3 s of a 429 ({header})", [target.requests], 3.0)


ALL: Mapping[str, Callable[[Effort], Iterator[Figure]]] = {
    "a": beside_wrk,
    "b": beside_bare_loops,
    "c": states,
    "d": memory,
    "e": server_limits,
    "f": pauses,
    "g": tracking,
    "h": many_in_a_directory,
    "i": many_in_s3,
    "p": processor_time,
}


@contextmanager
def _workplace() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="cleverpush-bench-") as name:
        yield Path(name)


def _connector_rate(directory: Path, rows: Path, count: int, behaviour: Behaviour, max_concurrency: int) -> float:
    with start_target(behaviour) as target:
        run_connector(directory, rows, target.url, max_concurrency=max_concurrency)
    _all_taken(target, count)
    return target.rate


def _loop_rate(directory: Path, rows: Path, count: int, adapter: str) -> float:
    with start_target(Behaviour()) as target:
        config, catalog = write_files(directory, target.url, max_concurrency=THREADS)
        loop = [sys.executable, "-m", "tools.bench.bare"]
        subprocess.run([*loop, str(config), str(catalog), str(rows), str(THREADS), adapter], check=True)
    _all_taken(target, count)
    return target.rate


def _all_taken(target: Target, count: int) -> None:
    taken = sum(request.status == 200 for request in target.requests)
    if taken != count:
        raise RuntimeError(f"{taken} requests were taken for {count} rows")


def _share(name: str, what: str, ours: list[float], theirs: list[float], goal: float) -> Figure:
    share = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    measured = f"{statistics.median(ours):.0f} / {statistics.median(theirs):.0f} per s"
    return Figure(name, what, share, f">= {goal:.0%}", share >= goal, measured)


def _wrk_script(directory: Path, target: Target, rows: Path) -> Path:
    """A wrk script that sends the connector's first request."""
    config, catalog = write_files(directory, target.url)
    first = directory / "first"
    with rows.open() as lines:
        first.write_text(lines.readline())
    _, (request, *_) = prepare(config, catalog, first)
    assert isinstance(request.body, bytes)
    headers = {name: value for name, value in request.headers.items() if name != "Content-Length"}
    script = directory / "post.lua"
    # For this text, JSON's quoting is Lua's.
    script.write_text(
        f'wrk.method = "POST"\nwrk.path = "{request.path_url}"\nwrk.body = {json.dumps(request.body.decode())}\n'
        + "".join(f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}\n" for name, value in headers.items())
    )
    return script


def _limited_by_nginx(directory: Path, count: int) -> list[Request]:
    rows = write_rows(directory / "rows", count, rows_per_state=1)
    with start_target(Behaviour(latency=0.02, rate=LIMIT, burst=20, refusal={"Retry-After": "1"})) as target:
        run_connector(directory, rows, target.url)
    return target.requests


def _limited_by_simulator(directory: Path, count: int, burst: int | None = None) -> list[Request]:
    rows = write_rows(directory / "rows", count, rows_per_state=1)
    limit = {"rate": LIMIT, "retry_after": 1} | ({"burst": burst} if burst else {})
    attributes = ["user_id", "plan", "orders", "last_order_at"]
    account = {"api_key": KEY, "channels": [{"_id": CHANNEL, "attributes": attributes}]}
    with start_simulator(accounts=[account], faults={"latency": 0.02, "rate_limit": limit}) as simulator:
        run_connector(directory, rows, simulator.url)
        return [Request(c["arrived"], c["finished"], c["status"], len(c["body"])) for c in simulator.calls()]


def _pauses(what: str, runs: Sequence[Sequence[Request]], delay: float) -> Figure:
    """How many requests started between a refusal and the end of its delay.

    Those within 100 ms of the refusal were on their way when it arrived, and do not count.
    """
    early, returns, refused = 0, list[float](), 0
    for requests in runs:
        starts = sorted(request.started for request in requests)
        for at in (request.ended for request in requests if request.status == 429):
            after = bisect_right(starts, at + _ON_ITS_WAY_SECONDS)
            early += bisect_left(starts, at + delay - _CLOCK_SECONDS) > after
            returns += [start - at for start in starts[after : after + 1]]
            refused += 1
    measured = f"{refused} refusals" + (f", earliest return after {min(returns):.3f} s" if returns else "")
    return Figure("f", what, early, "0 early", early == 0 and refused > 0, measured)
