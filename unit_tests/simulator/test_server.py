"""The simulator over a real socket."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from integration_tests.simulator.process import Simulator, start_simulator


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with start_simulator(keep_calls=1000) as running:
        yield running


@pytest.fixture(autouse=True)
def fresh(simulator: Simulator) -> None:
    simulator.reset()


def post(simulator: Simulator, user: str = "u1") -> requests.Response:
    body = {"channelId": simulator.channel_id, "emailAddress": "a@b.c", "customAttributes": {"user_id": user}}
    headers = {"Authorization": simulator.api_key}
    return requests.post(f"{simulator.url}/subscription/sync", json=body, headers=headers, timeout=5)


def test_calls_and_subscriptions_can_be_seen(simulator: Simulator) -> None:
    assert post(simulator).status_code == 200
    assert simulator.by_user()["u1"]["emailAddress"] == "a@b.c"
    (call,) = simulator.calls()
    assert (call["method"], call["path"], call["status"], call["subscription"]) == (
        "POST", "/subscription/sync", 200, "u1",
    )  # fmt: skip
    assert call["json"]["channelId"] == simulator.channel_id
    assert call["finished"] >= call["arrived"]
    assert simulator.stats()["by_route"] == {"POST /subscription/sync 200": 1}


@pytest.mark.parametrize(
    ("kind", "error", "processed"),
    [
        ("reset_before", requests.ConnectionError, False),
        ("reset_after", requests.ConnectionError, True),
        ("truncated", requests.exceptions.ChunkedEncodingError, True),
    ],
)
def test_broken_connections(simulator: Simulator, kind: str, error: type[Exception], processed: bool) -> None:
    simulator.set_faults(rules=[{"kind": kind, "count": 1}])
    with pytest.raises(error):
        post(simulator)
    assert ("u1" in simulator.by_user()) is processed
    assert post(simulator).status_code == 200


def test_spoiled_answers(simulator: Simulator) -> None:
    simulator.set_faults(rules=[{"kind": "html"}])
    assert post(simulator).text.startswith("<html>")
    simulator.set_faults(rules=[{"kind": "status", "status": 302, "headers": {"Location": "http://127.0.0.1:1/"}}])
    headers = {"Authorization": simulator.api_key}
    found = requests.get(f"{simulator.url}/channels", headers=headers, allow_redirects=False, timeout=5)
    assert (found.status_code, found.headers["Location"]) == (302, "http://127.0.0.1:1/")


def test_a_hanging_request_times_out(simulator: Simulator) -> None:
    simulator.set_faults(rules=[{"kind": "hang", "seconds": 2}])
    with pytest.raises(requests.Timeout):
        requests.get(f"{simulator.url}/channels", timeout=0.2)
