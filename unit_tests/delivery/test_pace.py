from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from destination_cleverpush.delivery.pace import Pace
from destination_cleverpush.delivery.throttle import Throttle


def run(pace: Pace, begin: float, seconds: float, limit: float) -> tuple[float, int]:
    """Send at the pace from `begin` on until the server refuses one above `limit` per second; when, and how many."""
    now, taken = begin, 0
    while now < begin + seconds:
        rate = pace.rate(now) or 100.0
        if rate > limit:
            break
        pace.started(now)
        pace.taken(now)
        taken += 1
        now += 1 / rate
    return now, taken


def test_nothing_is_known_before_the_first_refusal() -> None:
    pace = Pace()
    pace.refused(0.0, 0.0, 1.0)
    assert not pace.known
    assert pace.rate(0.0) is None


def test_a_refusal_of_the_first_request_teaches_nothing() -> None:
    pace = Pace()
    pace.started(0.0)
    pace.refused(0.0, 0.1, 1.0)
    assert not pace.known


def test_after_a_refusal_the_rate_is_held_below_the_one_that_was_taken_and_then_grows_ever_faster() -> None:
    pace = Pace()
    run(pace, 0.0, 3.0, 1000.0)
    pace.refused(3.0, 3.0, 4.0)
    pace.paused(4.0)
    rates = [pace.rate(4.0 + second) or 0.0 for second in range(30)]
    assert rates[0] == pytest.approx(97, rel=0.02)
    assert rates[:24] == [rates[0]] * 24
    assert rates[25] < 2.5 * rates[0]
    assert rates[-1] > 200


def test_what_a_bucket_held_is_told_from_its_rate_by_two_refusals() -> None:
    """It holds 50, and takes 100 per second."""
    pace, now = Pace(), 0.0
    for rate in (600.0, None):
        begin = now
        taken = 0
        while taken < 50 + 100 * (now - begin):
            pace.started(now)
            pace.taken(now)
            taken += 1
            now += 1 / (rate or pace.rate(now) or 0.0)
        pace.refused(now, now, now + 1.0)
        pace.paused(now + 1.0)
        now += 1.0
    assert pace.rate(now) == pytest.approx(99, rel=0.03)


@pytest.mark.parametrize("began", [0.05, 0.9])
def test_a_counter_is_told_by_its_silence_and_its_rate_by_where_the_counts_agree(began: float) -> None:
    """It takes 100 in each whole second; at 0.9 a second begins while it is first asked."""
    pace, now, second, count = Pace(), began, 0, 0
    for _ in range(3):
        while int(now) > second or count < 100:
            second, count = int(now), count + 1 if int(now) == second else 1
            pace.started(now)
            pace.taken(now)
            now += 1 / (pace.rate(now) or 400.0)
            if now > began + 20:
                return
        pace.refused(now, now, now + 1.0)
        for later in range(1, 20):
            pace.refused_too(now + later / 400, now + later / 400)
        pace.paused(now + 1.0)
        now += 1.0
        assert 80 < (pace.rate(now) or 0.0) < 150
    pytest.fail("it was not found out after three refusals")


def refused_at_100(answers: Callable[[float], float]) -> float:
    """The rate that is read when the 100 of a second were taken in 0.4 s, one overtook, and 18 more were refused."""
    pace, now = Pace(), 0.0
    for n in range(100):
        now = n / 250
        pace.started(now)
        pace.taken(now)
    pace.refused(now, answers(now), now + 1.0)
    pace.taken(now + 1 / 400)
    for later in range(2, 20):
        pace.refused_too(now + later / 400, answers(now + later / 400))
    pace.paused(now + 1.0)
    return pace.rate(now + 1.0) or 0.0


def test_a_request_that_overtook_others_does_not_hide_a_counters_silence() -> None:
    assert refused_at_100(lambda started: started + 0.02) == pytest.approx(100, rel=0.02)  # as a bucket: 200


def test_requests_that_waited_for_each_other_on_their_way_are_no_counters_silence() -> None:
    """They arrive together, when a bucket has filled a little; the requests that emptied it started before them."""
    assert refused_at_100(lambda _: 0.5) == pytest.approx(200, rel=0.05)


@pytest.mark.parametrize(("until", "within"), [(4.0, 40.0), (3.3, 20.0)])
def test_an_estimate_that_was_far_too_low_is_corrected_sooner_after_short_pauses(until: float, within: float) -> None:
    pace = Pace()
    run(pace, 0.0, 3.0, 1000.0)
    pace.refused(3.0, 3.0, until)
    pace.paused(until)
    found, _ = run(pace, until, 1000.0, 800.0)
    assert found < within


def test_an_estimate_that_is_confirmed_is_tested_again_ever_more_seldom() -> None:
    pace, now = Pace(), 0.0
    run(pace, 0.0, 3.0, 1000.0)
    pace.refused(3.0, 3.0, 4.0)
    pace.paused(4.0)
    now, lasted = 4.0, []
    for _ in range(5):
        refused, _ = run(pace, now, 1000.0, 102.0)
        lasted.append(refused - now)
        pace.refused(refused, refused, refused + 1.0)
        pace.paused(refused + 1.0)
        now = refused + 1.0
    assert lasted[0] < 30
    assert lasted[2] > 2 * lasted[0]
    assert lasted[4] < 200, "a server that takes more than before must be found out some time"


def test_a_pause_for_another_reason_keeps_the_estimate_and_does_not_start_it_anew() -> None:
    pace = Pace()
    run(pace, 0.0, 3.0, 1000.0)
    pace.refused(3.0, 3.0, 4.0)
    pace.paused(4.0)
    before = pace.rate(9.0)
    pace.paused(8.5)
    assert pace.rate(9.0) == before


def through(server: Callable[[float], bool], seconds: float, delay: float) -> float:
    """Requests per second that go through a throttle, of 800 that could be sent."""
    throttle, now, taken = Throttle(None, random.Random(1)), 0.0, 0
    while now < seconds:
        if wait := throttle.wait(now):
            now += wait
            continue
        throttle.started(now)
        if server(now):
            throttle.taken(now)
            taken += 1
        else:
            throttle.refused(now, now, delay)
        now += 1 / 800
    return taken / seconds


def test_refusals_by_chance_do_not_slow_a_sync_down_for_good() -> None:
    chance = random.Random(2)
    assert through(lambda _now: chance.random() > 0.0005, 120.0, 0.3) > 400


def test_a_limit_that_is_raised_is_found_out() -> None:
    tokens, at = 10.0, 0.0

    def server(now: float) -> bool:
        nonlocal tokens, at
        tokens, at = min(10.0, tokens + (now - at) * (20 if now < 30 else 400)), now
        if tokens < 1:
            return False
        tokens -= 1
        return True

    assert through(server, 230.0, 1.0) > 140  # of 351 that it takes in the mean
