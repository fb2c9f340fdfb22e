from __future__ import annotations

from itertools import pairwise

from destination_cleverpush.delivery.limit import AdaptiveLimit, LimitTuning


def answer(limit: AdaptiveLimit, times: int, latency: float, start: float = 0.0) -> float:
    """Answers one after the other while the limit is what holds requests back; returns the time after them."""
    now = start
    for _ in range(times):
        now += latency
        limit.answered(now - latency, now, limit.value)
    return now


def test_it_starts_low_and_doubles_up_to_the_maximum() -> None:
    limit = AdaptiveLimit(64)
    assert limit.value == 4
    answer(limit, 4, 0.2)
    assert limit.value == 8
    answer(limit, 1000, 0.2)
    assert limit.value == 64


def test_where_answers_come_quickly_it_grows_no_faster() -> None:
    limit, now, grown = AdaptiveLimit(256), 0.0, [4]
    for _ in range(4):
        until = now + LimitTuning.growing_seconds
        while now < until:
            now += 0.01 / limit.value
            limit.answered(now - 0.01, now, limit.value)
        grown.append(limit.value)
    assert all(2.0 <= late / early <= 3.0 for early, late in pairwise(grown)), grown


def test_a_small_maximum_is_never_exceeded() -> None:
    limit = AdaptiveLimit(2)
    answer(limit, 100, 0.05)
    assert limit.value == 2


def test_it_does_not_grow_while_the_input_is_what_is_slow() -> None:
    limit = AdaptiveLimit(64)
    for n in range(100):
        limit.answered(n, n + 0.05, in_flight=1)
    assert limit.value == 4


def test_congestion_cuts_it_once_per_round_and_growth_is_slow_afterwards() -> None:
    limit = AdaptiveLimit(64)
    now = answer(limit, 1000, 0.05)
    for _ in range(20):  # all that was in flight says the same
        limit.congested(now - 0.05, now)
    assert limit.value == 44
    answer(limit, 44, 0.05, now)
    assert limit.value == 45
    limit.congested(now + 10, now + 10.1)
    assert limit.value == 32


def test_it_never_falls_below_one() -> None:
    limit = AdaptiveLimit(64)
    for n in range(20):
        limit.congested(n, n + 0.5)
    assert limit.value == 1


def test_latency_that_rises_with_the_load_lowers_it() -> None:
    """A server that works on eight requests at a time and lets the others queue."""
    limit = AdaptiveLimit(256)
    now, peak = 0.0, 0
    for _ in range(20_000):
        latency = 0.1 * max(1.0, limit.value / 8)
        now += latency / limit.value
        limit.answered(now - latency, now, limit.value)
        peak = max(peak, limit.value)
    assert peak < 256
    assert limit.value < 40


def test_a_server_that_became_slower_for_good_is_accepted() -> None:
    limit = AdaptiveLimit(64)
    now = answer(limit, 1000, 0.05)
    answer(limit, 20_000, 0.5, now)
    assert limit.value > 48
