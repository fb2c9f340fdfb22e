"""The simulator over a real socket."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

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


def post(simulator: Simulator, user: str = "u1", timeout: float = 30) -> requests.Response:
    body = {"channelId": simulator.channel_id, "emailAddress": "a@b.c", "customAttributes": {"user_id": user}}
    headers = {"Authorization": simulator.api_key}
    return requests.post(f"{simulator.url}/subscription/sync", json=body, headers=headers, timeout=timeout)


def breaks(simulator: Simulator, user: str = "u1") -> bool:
    try:
        post(simulator, user)
    except requests.RequestException:
        return True
    return False


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


def test_an_answer_that_is_not_json_can_have_any_status(simulator: Simulator) -> None:
    simulator.set_faults(rules=[{"kind": "html", "status": 502, "count": 1}])
    answer = post(simulator)
    assert (answer.status_code, answer.headers["Content-Type"]) == (502, "text/html; charset=utf-8")
    assert "u1" in simulator.by_user()
    simulator.set_faults(rules=[{"kind": "status", "status": 503, "body": "<html>", "count": 1}])
    assert post(simulator, "u2").text == "<html>"
    assert "u2" not in simulator.by_user()


def test_a_request_that_hangs_is_given_up_by_the_client_and_never_processed(simulator: Simulator) -> None:
    simulator.set_faults(rules=[{"kind": "hang", "count": 1}])
    with pytest.raises(requests.Timeout):
        post(simulator, timeout=0.2)
    assert simulator.by_user() == {}
    assert post(simulator).status_code == 200
    assert simulator.stats()["most_in_flight_per_subscription"] == 1


def test_a_request_that_is_late_is_processed_although_the_client_has_gone(simulator: Simulator) -> None:
    simulator.set_faults(rules=[{"kind": "delay", "seconds": 0.6, "count": 1}])
    with pytest.raises(requests.Timeout):
        post(simulator, timeout=0.2)
    while simulator.by_user() == {}:
        time.sleep(0.05)
    assert [call["status"] for call in simulator.calls()] == [200]


def test_requests_about_one_subscription_that_overlap_are_noticed(simulator: Simulator) -> None:
    simulator.set_faults(latency=1)
    users = ["u1", "u2", "u2"]
    threads = [threading.Thread(target=post, args=(simulator, user)) for user in users]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stats = simulator.stats()
    assert (stats["most_in_flight"], stats["most_in_flight_per_subscription"]) == (3, 2)


def test_the_same_seed_replays_the_same_run(simulator: Simulator) -> None:
    def run(seed: int) -> list[int | str]:
        simulator.reset()
        spoilt = [{"kind": kind, "probability": 0.15} for kind in ("status", "reset_after", "truncated", "html")]
        simulator.set_faults(seed=seed, rules=spoilt)
        for n in range(60):
            breaks(simulator, f"u{n % 7}")
        return [call["status"] for call in simulator.calls()]

    first = run(1)
    assert {200, 500, "broken off"} == set(first)
    assert run(1) == first
    assert run(2) != first


def test_an_outage_of_hours_passes_in_accelerated_time(simulator: Simulator) -> None:
    simulator.set_faults(time_scale=3600, rules=[{"kind": "reset_before", "until": 3600}])
    failures = 0
    while breaks(simulator):
        failures += 1
        assert simulator.by_user() == {}
    assert failures > 0


def test_a_rate_limit_refuses_and_the_request_is_not_processed(simulator: Simulator) -> None:
    simulator.set_faults(rate_limit={"rate": 0.001, "burst": 1, "retry_after": 2})
    assert post(simulator).status_code == 200
    refused = post(simulator, "u2")
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "2")
    assert set(simulator.by_user()) == {"u1"}


def test_faults_that_mean_nothing_are_refused(simulator: Simulator) -> None:
    with pytest.raises(ValueError, match="probabilty"):
        simulator.set_faults(rules=[{"kind": "hang", "probabilty": 0.1}])
    assert post(simulator).status_code == 200


def test_without_calls_to_keep_the_counts_remain() -> None:
    with start_simulator(keep_calls=0) as simulator:
        post(simulator)
        assert simulator.calls() == []
        assert simulator.stats()["calls"] == 1


def test_a_configuration_that_is_none_is_told() -> None:
    with pytest.raises(RuntimeError, match="did not start"), start_simulator(keep_cals=0):
        pass


def test_the_command_line_describes_a_channel_and_sigterm_ends_it() -> None:
    options = "--channel c --api-key k --tag t1=Sports --tag t2 --topic news --attribute user_id plan --subscription n1"
    command = [sys.executable, "-m", "integration_tests.simulator", *options.split()]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = json.loads(process.stdout.readline())["url"]
            found = requests.get(f"{url}/channel/c/config", timeout=30).json()
            headers = {"Authorization": "k"}
            body = {"channelId": "c", "subscriptionId": "n1", "tagId": "t2"}
            tagged = requests.post(f"{url}/subscription/tag/add", json=body, headers=headers, timeout=30)
        finally:
            process.send_signal(signal.SIGTERM)
    assert found == {
        "channelTags": [{"_id": "t1", "name": "Sports"}, {"_id": "t2", "name": "t2"}],
        "channelTopics": [{"_id": "news", "name": "news"}],
        "customAttributes": [{"_id": "user_id", "name": "user_id"}, {"_id": "plan", "name": "plan"}],
    }
    assert tagged.status_code == 200
    assert process.returncode == 0
