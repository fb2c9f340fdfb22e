"""The limit of a server is found out, and kept with few refusals: the scenarios of `limits.py`, one after the other."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from destination_cleverpush.words import Answer, Operation, Verdict
from unit_tests.delivery.limits import FAST, LONG, SHORT, Scenario
from unit_tests.delivery.simulation import BROKEN, TAKEN, job, simulate, throttled

BUSY = Answer(Verdict.RETRY, BROKEN, "answered 503", 503, congested=True)


class LimitedServer:
    """A server with the limit of a scenario."""

    def __init__(self, scenario: Scenario, seed: int = 1) -> None:
        self.scenario = scenario
        self.refused = self.taken = 0
        self._tokens, self._at = scenario.burst + (scenario.kind == "nginx"), 0.0
        self._second, self._count = -1, 0
        self._rng = random.Random(seed)

    def rate(self, now: float) -> float:
        later = self.scenario.later
        return later[1] if later is not None and now >= later[0] else self.scenario.rate

    def share(self, seconds: float) -> float:
        """What was taken, as a share of what the limit allows in this time."""
        later = self.scenario.later or (seconds, 0.0)
        return self.taken / (min(seconds, later[0]) * self.scenario.rate + max(0.0, seconds - later[0]) * later[1])

    def admits(self, now: float) -> bool:
        if self._rng.random() < self.scenario.chance:
            return False
        if self.scenario.kind == "counter":
            second = int(now + self.scenario.phase)
            self._second, self._count = second, self._count + 1 if second == self._second else 1
            return self._count <= self.rate(now)
        most = self.scenario.burst
        if self.scenario.kind == "nginx":  # ngx_http_limit_req_module: an excess of `burst`, and whole milliseconds
            now, most = int(now * 1000) / 1000, most + 1
        self._tokens, self._at = min(most, self._tokens + (now - self._at) * self.rate(now)), now
        admitted = self._tokens >= 1
        self._tokens -= admitted
        return admitted

    def __call__(self, _operation: Operation, _tried: int, now: float) -> tuple[Answer, float]:
        latency = self.scenario.latency * (1 + 0.5 * self._rng.random())
        if not self.admits(now):
            self.refused += 1
            return throttled(self.scenario.delay), latency
        if self._rng.random() < self.scenario.broken:
            return BUSY, latency
        self.taken += 1
        return TAKEN, latency


def check(scenario: Scenario) -> None:
    server = LimitedServer(scenario)
    items = [job(f"r{n}", f"s{n}") for n in range(scenario.rows)]
    world = simulate(items, server, max_concurrency=scenario.most_in_flight)
    share, refused = server.share(world.now), server.refused / len(world.starts)
    assert share >= scenario.least
    assert refused <= scenario.refused
    told = sorted(at for _, at, answer in world.answers if answer.verdict is Verdict.THROTTLED)
    if scenario.delay is not None:  # nothing starts between a refusal and the end of its delay
        ends = sorted([*((start, 1) for start in world.starts), *((at, 0) for at in told)])
        for (early, kind), (late, next_kind) in pairwise(ends):
            assert (kind, next_kind) != (0, 1) or late >= early + scenario.delay - 1e-9


@pytest.mark.parametrize("scenario", SHORT, ids=str)
def test_a_limit_is_found_within_a_short_sync(scenario: Scenario) -> None:
    check(scenario)


@pytest.mark.parametrize("seed", [3, 11, 18])
def test_the_limit_refuses_once_in_a_short_sync_whose_rows_come_in_fits(seed: int) -> None:
    scenario = Scenario("nginx", 200, 20, 4_000, 0.92, 0.015, latency=0.02)
    server, rng = LimitedServer(scenario, seed), random.Random(seed)
    items = [job(f"r{n}", f"s{n}") for n in range(scenario.rows)]
    world = simulate(items, server, max_concurrency=32, seed=seed, feed=lambda: rng.choice([0, 0, 1, 3, 5]))
    assert server.share(world.now) >= scenario.least


@pytest.mark.slow
@pytest.mark.parametrize("scenario", LONG, ids=str)
def test_a_limit_is_used_and_seldom_overrun(scenario: Scenario) -> None:
    check(scenario)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", FAST, ids=str)
def test_a_high_limit_is_used_and_seldom_overrun(scenario: Scenario) -> None:
    check(scenario)
