"""Limits that a server may have, each with what a sync against it must reach. One line is one scenario.

A server that fills a bucket of `burst` requests takes what it holds; one that counts takes `rate` in each whole second;
nginx (`limit_req` with `nodelay`) lets requests come early by `burst`, in whole milliseconds.
A pause of 1 s costs a sync of 20 s nearly 5 %, so 92 % allow for one: the rate must be right after the first refusal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["bucket", "counter", "nginx"]


@dataclass(frozen=True)
class Scenario:
    """A limit, a sync against it, and its bounds.

    Attributes:
        rate: requests per second that the server takes.
        burst: requests that it takes at once.
        rows: of one call each.
        least: the share of the limit that is reached at least, from the first start to the last answer.
        refused: the share of all requests that is refused at most.
        delay: seconds of `Retry-After`, None: not said.
        latency: seconds; an answer takes up to half longer, by chance.
        most_in_flight: the ceiling of requests in flight.
        phase: for a counter, how far into a second the sync starts.
        later: from this second on, the limit is this rate.
        chance: the share of requests that are refused whatever the limit is.
        broken: the share of requests that are answered with 503.
    """

    kind: Kind
    rate: float
    burst: float
    rows: int
    least: float
    refused: float
    delay: float | None = 1.0
    latency: float = 0.02
    most_in_flight: int = 32
    phase: float = 0.0
    later: tuple[float, float] | None = None
    chance: float = 0.0
    broken: float = 0.0


SHORT = (
    # The kinds of `make bench`, 20 s. A bucket is expected to hold a tenth of a second, as theirs do.
    *(
        Scenario(kind, 200, 20, 4_000, 0.92, 0.015, latency=latency, most_in_flight=ceiling)
        for kind in ("bucket", "nginx")
        for latency, ceiling in ((0.01, 32), (0.02, 16), (0.02, 32), (0.05, 32), (0.05, 64))
    ),
    *(Scenario("counter", 200, 0, 4_000, 0.92, 0.015, latency=0.02, phase=phase) for phase in (0.0, 0.3, 0.6)),
    *(Scenario("counter", 200, 0, 4_000, 0.92, 0.015, latency=0.05, phase=phase) for phase in (0.0, 0.2)),
    # A second begins while the limit is first found: what was taken was taken in two.
    *(Scenario("counter", 200, 0, 4_000, 0.85, 0.015, latency=0.02, phase=phase) for phase in (0.8, 0.9)),
    *(Scenario("counter", 200, 0, 4_000, 0.85, 0.02, latency=0.05, phase=phase) for phase in (0.4, 0.6, 0.8)),
    # Buckets that hold more or less than is assumed at first.
    Scenario("bucket", 200, 200, 4_000, 0.95, 0.015),
    Scenario("bucket", 200, 50, 4_000, 0.86, 0.01),
    Scenario("bucket", 200, 10, 4_000, 0.70, 0.01),
    Scenario("nginx", 200, 0, 4_000, 0.40, 0.01),
    # No word of how long to wait.
    Scenario("bucket", 200, 20, 4_000, 0.92, 0.015, delay=None),
    Scenario("counter", 200, 0, 4_000, 0.92, 0.015, delay=None),
)

LONG = (  # 150 s and more
    *(
        Scenario("bucket", rate, burst, rate * 180, 0.95, 0.01, delay, most_in_flight=64)
        for delay in (1.0, None)
        for rate, burst in ((200, 20), (200, 200), (30, 30))
    ),
    Scenario("counter", 200, 0, 30_000, 0.95, 0.01, phase=0.3),
    Scenario("nginx", 200, 20, 30_000, 0.95, 0.01),
    # The limit is raised, or lowered.
    Scenario("bucket", 20, 10, 40_000, 0.45, 0.01, later=(30.0, 400.0)),
    Scenario("bucket", 400, 20, 20_000, 0.85, 0.01, later=(20.0, 100.0)),
    Scenario("counter", 400, 0, 20_000, 0.80, 0.01, later=(20.0, 100.0)),
    # Refusals by chance, and scattered failures.
    Scenario("bucket", 400, 40, 40_000, 0.75, 0.01, delay=0.3, chance=0.0005),
    Scenario("bucket", 200, 20, 12_000, 0.90, 0.01, broken=0.01),
)

FAST = tuple(Scenario("bucket", 1_000, 100, 180_000, 0.95, 0.01, delay, most_in_flight=64) for delay in (1.0, None))
