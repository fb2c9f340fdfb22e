from __future__ import annotations

import pytest

from integration_tests.simulator.faults import Faults

SYNC = "/subscription/sync"


def kinds(faults: Faults, count: int, step: float = 0.01, start: float = 0.0) -> list[str | None]:
    chosen = (faults.choose(SYNC, "u1", start + n * step) for n in range(count))
    return [fault and (fault.kind if fault.kind != "status" else str(fault.status)) for fault in chosen]


def test_the_same_seed_gives_the_same_faults_and_latencies() -> None:
    settings = {"seed": 7, "rules": [{"kind": "reset_after", "probability": 0.3}], "latency": {"low": 0, "high": 1}}
    first, second = Faults(settings, 0.0), Faults(settings, 0.0)
    assert kinds(first, 200) == kinds(second, 200)
    assert [first.latency() for _ in range(10)] == [second.latency() for _ in range(10)]
    assert 30 < sum(kind is not None for kind in kinds(Faults(settings, 0.0), 200)) < 90


def test_a_scripted_fault_hits_the_requests_that_it_names() -> None:
    faults = Faults({"rules": [{"kind": "status", "status": 503, "subscription": "u1", "nth": [2, 3]}]}, 0.0)
    assert faults.choose(SYNC, "u2", 0.0) is None
    assert kinds(faults, 5) == [None, "503", "503", None, None]


def test_a_window_of_time_is_scaled() -> None:
    rule = {"kind": "status", "from": 400, "until": 800}
    assert kinds(Faults({"time_scale": 600, "rules": [rule]}, 0.0), 4, step=0.7) == [None, "500", None, None]


def test_a_count_limits_a_fault() -> None:
    assert kinds(Faults({"rules": [{"kind": "hang", "count": 2}]}, 0.0), 4) == ["hang", "hang", None, None]


@pytest.mark.parametrize("limit", [{"rate": 100, "burst": 10, "retry_after": 1}, {"rate": 100, "retry_after": 1}])
def test_a_rate_limit_admits_its_rate(limit: dict[str, int]) -> None:
    admitted = kinds(Faults({"rate_limit": limit}, 0.0), 1000, step=0.005).count(None)
    assert 490 <= admitted <= 515
    refused = Faults({"rate_limit": {"rate": 0, "retry_after": 3}}, 0.0).choose(SYNC, None, 0.0)
    assert refused is not None
    assert (refused.status, refused.headers) == (429, {"Retry-After": "3"})


def test_delays_as_a_date_and_as_an_epoch() -> None:
    fault = Faults({"rules": [{"kind": "status", "status": 429, "retry_after_date": 5, "reset_epoch": 5}]}, 0.0).choose(
        SYNC, None, 0.0
    )
    assert fault is not None
    assert fault.headers["Retry-After"].endswith("GMT")
    assert float(fault.headers["X-RateLimit-Reset"]) > 1e9


def test_an_unknown_kind_is_told_at_once() -> None:
    with pytest.raises(ValueError, match="kind"):
        Faults({"rules": [{"kind": "explode"}]}, 0.0)
