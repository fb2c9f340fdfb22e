from __future__ import annotations

import random
import time
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from integration_tests.simulator.faults import Fault, Faults

SYNC = "/subscription/sync"


def fault(faults: Faults, subscription: str | None = "u1", now: float = 0.0, path: str = SYNC) -> Fault | None:
    return faults.decide(path, subscription, now).fault


def kinds(faults: Faults, count: int, step: float = 0.01, start: float = 0.0) -> list[str | None]:
    found = (fault(faults, now=start + n * step) for n in range(count))
    return [one and (one.kind if one.kind != "status" else str(one.status)) for one in found]


def test_the_same_seed_gives_the_same_fates() -> None:
    settings = {"seed": 7, "rules": [{"kind": "reset_after", "probability": 0.3}], "latency": {"low": 0, "high": 1}}
    first, second, other = Faults(settings, 0.0), Faults(settings, 0.0), Faults({**settings, "seed": 8}, 0.0)
    fates = [first.decide(SYNC, "u1", 0.0) for _ in range(200)]
    assert fates == [second.decide(SYNC, "u1", 0.0) for _ in range(200)]
    assert fates != [other.decide(SYNC, "u1", 0.0) for _ in range(200)]
    assert 30 < sum(fate.fault is not None for fate in fates) < 90


def test_fates_do_not_depend_on_how_subscriptions_interleave() -> None:
    settings = {"seed": 3, "rules": [{"kind": "hang", "probability": 0.5}], "latency": {"median": 0.1, "sigma": 1}}
    calls = [f"u{n % 10}" for n in range(200)]
    shuffled = random.Random(1).sample(calls, len(calls))
    fates: list[dict[str, list[Any]]] = []
    for order in (calls, shuffled):
        faults, by_user = Faults(settings, 0.0), {f"u{n}": [] for n in range(10)}  # type: ignore[var-annotated]
        for user in order:
            by_user[user].append(faults.decide(SYNC, user, 0.0))
        fates.append(by_user)
    assert fates[0] == fates[1]
    assert fates[0]["u1"] != fates[0]["u2"]


def test_a_rule_out_of_its_time_does_not_shift_the_chance_of_another() -> None:
    often = {"kind": "hang", "probability": 0.5}
    early: dict[str, Any] = {"kind": "status", "probability": 0.0, "until": 1}
    both = Faults({"rules": [early, often]}, 0.0)
    late = Faults({"rules": [early, often]}, -10.0)
    assert kinds(both, 50, step=0.0) == kinds(late, 50, step=0.0)


def test_a_scripted_fault_hits_the_requests_that_it_names() -> None:
    faults = Faults({"rules": [{"kind": "status", "status": 503, "subscription": "u1", "nth": [2, 3]}]}, 0.0)
    assert fault(faults, "u2") is None
    assert kinds(faults, 5) == [None, "503", "503", None, None]
    assert kinds(Faults({"rules": [{"kind": "status", "nth": 2}]}, 0.0), 3) == [None, "500", None]


def test_a_fault_of_a_route_leaves_the_others_alone() -> None:
    faults = Faults({"rules": [{"kind": "status", "route": "/channels"}]}, 0.0)
    assert fault(faults) is None
    assert fault(faults, None, path="/channels") is not None


def test_the_first_rule_that_matches_is_applied_and_the_next_does_not_count_the_request() -> None:
    rules = [{"kind": "status", "status": 502, "nth": 1}, {"kind": "status", "status": 504, "nth": 1}]
    assert kinds(Faults({"rules": rules}, 0.0), 3) == ["502", "504", None]


def test_a_window_of_time_is_scaled() -> None:
    rule = {"kind": "status", "from": 400, "until": 800}
    assert kinds(Faults({"time_scale": 600, "rules": [rule]}, 0.0), 4, step=0.7) == [None, "500", None, None]


def test_a_count_limits_a_fault() -> None:
    assert kinds(Faults({"rules": [{"kind": "hang", "count": 2}]}, 0.0), 4) == ["hang", "hang", None, None]


@pytest.mark.parametrize(
    ("latency", "least", "median", "most"),
    [
        (0.05, 0.05, 0.05, 0.05),
        ({"low": 0.1, "high": 0.3}, 0.1, 0.2, 0.3),
        ({"median": 0.02, "sigma": 1.5}, 0.0, 0.02, 100.0),
    ],
)
def test_latencies(latency: Any, least: float, median: float, most: float) -> None:
    faults = Faults({"latency": latency}, 0.0)
    drawn = sorted(faults.decide(SYNC, f"u{n}", 0.0).latency for n in range(2001))
    assert least <= drawn[0] <= drawn[-1] <= most
    assert drawn[1000] == pytest.approx(median, rel=0.15)
    if isinstance(latency, dict) and "sigma" in latency:
        assert drawn[-1] > 20 * median  # the heavy tail


@pytest.mark.parametrize("limit", [{"rate": 100, "burst": 10, "retry_after": 1}, {"rate": 100, "retry_after": 1}])
def test_a_rate_limit_admits_its_rate(limit: dict[str, int]) -> None:
    admitted = kinds(Faults({"rate_limit": limit}, 0.0), 1000, step=0.005).count(None)
    assert 490 <= admitted <= 515


@pytest.mark.parametrize(("given", "headers"), [({"retry_after": 3}, {"Retry-After": "3"}), ({}, {})])
def test_a_rate_limit_answers_429_with_or_without_a_delay(given: dict[str, int], headers: dict[str, str]) -> None:
    refused = fault(Faults({"rate_limit": {"rate": 0, **given}}, 0.0))
    assert refused is not None
    assert (refused.status, refused.headers) == (429, headers)


def test_each_kind_of_delay() -> None:
    def headers(**rule: Any) -> dict[str, str]:
        found = fault(Faults({"rules": [{"kind": "status", "status": 429, **rule}]}, 0.0))
        assert found is not None
        return found.headers

    now = time.time()
    assert headers() == {}
    assert headers(headers={"Retry-After": 3}) == {"Retry-After": "3"}
    assert headers(headers={"RateLimit-Reset": 3}) == {"RateLimit-Reset": "3"}
    assert now + 5 <= parsedate_to_datetime(headers(retry_after_date=5)["Retry-After"]).timestamp()
    assert now + 5 <= float(headers(reset_epoch=5)["X-RateLimit-Reset"])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"sead": 1}, "sead"),
        ({"latency": "slow"}, "latency"),
        ({"latency": {"low": 1}}, "latency"),
        ({"rate_limit": {"burst": 1}}, "rate"),
        ({"rate_limit": {"rate": 1, "per": "minute"}}, "per"),
        ({"connections": 0}, "connections"),
        ({"rules": [{"kind": "explode"}]}, "kind"),
        ({"rules": [{"kind": "hang", "probabilty": 0.1}]}, "probabilty"),
        ({"rules": ["hang"]}, "object"),
        ({"rules": [{"kind": "delay"}]}, "seconds"),
    ],
)
def test_settings_that_mean_nothing_are_told_at_once(settings: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Faults(settings, 0.0)
