from __future__ import annotations

import random

import pytest

from destination_cleverpush.delivery.throttle import Throttle, ThrottleTuning


def throttle(cap: float | None = None) -> Throttle:
    return Throttle(cap, random.Random(1))


def test_nothing_waits_before_the_first_refusal() -> None:
    gate = throttle()
    for n in range(1000):
        assert gate.wait(n * 0.0001) == 0
        gate.started(n * 0.0001)


def test_everybody_waits_as_long_as_the_server_said() -> None:
    gate = throttle()
    gate.started(0.0)
    assert gate.refused(0.0, 1.0, 30.0) == 30.0
    assert gate.wait(1.0) == 30.0
    assert gate.wait(30.9) == pytest.approx(0.1)
    assert gate.wait(31.0) == 0
    assert gate.waited == 30.0


def test_a_longer_delay_named_by_a_late_answer_is_obeyed_and_a_shorter_one_changes_nothing() -> None:
    gate = throttle()
    gate.started(0.0)
    gate.refused(0.0, 1.0, 10.0)
    gate.refused(0.5, 2.0, 60.0)
    gate.refused(0.6, 3.0, 1.0)
    assert gate.wait(3.0) == 59.0
    assert gate.waited == 61.0


def test_delays_that_the_server_does_not_name_grow_with_jitter_up_to_the_cap() -> None:
    gate, now, delays = throttle(), 0.0, []
    for _ in range(12):
        gate.started(now)
        delays.append(gate.refused(now, now, None))
        now += delays[-1]
    for n, delay in enumerate(delays):
        longest = min(ThrottleTuning.backoff_cap_seconds, ThrottleTuning.backoff_base_seconds * 2**n)
        assert longest / 2 <= delay <= longest
    gate.started(now)
    gate.taken(now + 0.1)
    assert gate.refused(now, now + 0.1, None) <= ThrottleTuning.backoff_base_seconds


def test_after_a_refusal_requests_are_spread_below_the_rate_that_was_taken() -> None:
    gate, now = throttle(), 0.0
    while now < 3.0:
        gate.started(now)
        gate.taken(now)
        now += 0.01
    gate.started(now)
    gate.refused(now, now, 1.0)
    now += 1.0
    starts: list[float] = []
    while len(starts) < 50:
        wait = gate.wait(now)
        if wait:
            now += wait
            continue
        gate.started(now)
        starts.append(now)
    assert 49 / (starts[-1] - starts[0]) == pytest.approx(97, rel=0.02)


def test_the_cap_holds_whatever_is_learned() -> None:
    gate, now, count = throttle(10.0), 0.0, 0
    while now < 20.0:
        wait = gate.wait(now)
        if wait:
            now += wait
            continue
        gate.started(now)
        gate.taken(now)
        count += 1
    assert count == pytest.approx(200, abs=2)
