"""The simulator over a real socket."""

from __future__ import annotations

import json
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from integration_tests.simulator.faults import TRICKLES
from integration_tests.simulator.process import Simulator, start_simulator

ROOT = Path(__file__).parents[2]
ACCOUNT = {"api_key": "key", "channels": [{"_id": "channel", "tags": [f"t{n}" for n in range(20)]}]}


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with start_simulator(accounts=[ACCOUNT], keep_calls=1000) as running:
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


def test_overlaps_are_counted_by_native_id_however_a_subscription_is_named(simulator: Simulator) -> None:
    native = post(simulator).json()["id"]
    simulator.set_faults(latency=0.5)
    thread = threading.Thread(target=post, args=(simulator,))
    thread.start()
    time.sleep(0.2)
    tag(simulator, native, "t1")
    thread.join()
    assert simulator.state()["overlaps"] == {native: 1}


def tag(simulator: Simulator, native: str, name: str) -> requests.Response:
    body = {"channelId": simulator.channel_id, "subscriptionId": native, "tagId": name}
    headers = {"Authorization": simulator.api_key}
    return requests.post(f"{simulator.url}/subscription/tag/add", json=body, headers=headers, timeout=30)


def test_a_server_that_loses_tag_writes_that_overlap(simulator: Simulator) -> None:
    simulator.behave(lossy_tag_seconds=0.3)
    first, second = (post(simulator, user).json()["id"] for user in ("u1", "u2"))
    threads = [threading.Thread(target=tag, args=(simulator, first, f"t{n}")) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n in range(2):  # one after the other, nothing is lost
        tag(simulator, second, f"t{n}")
    held = simulator.by_id()
    assert len(held[first]["tags"]) < 5
    assert held[second]["tags"] == ["t0", "t1"]
    assert simulator.state()["overlaps"].keys() == {first}


def test_the_routes_can_change_until_the_next_reset(simulator: Simulator) -> None:
    simulator.behave(routes="cleverpush")
    assert (post(simulator).status_code, post(simulator).json()) == (404, {"error": "Not found"})
    simulator.reset()
    assert post(simulator).status_code == 200
    with pytest.raises(ValueError, match="routs"):
        simulator.behave(routs="both")


def test_connections_beyond_the_limit_are_reset(simulator: Simulator) -> None:
    simulator.set_faults(connections=2)
    url, headers = f"{simulator.url}/channels", {"Authorization": simulator.api_key}
    sessions = [requests.Session() for _ in range(3)]
    try:
        for session in sessions[:2]:
            assert session.get(url, headers=headers, timeout=5).status_code == 200
        with pytest.raises(requests.ConnectionError):
            sessions[2].get(url, headers=headers, timeout=5)
        assert sessions[0].get(url, headers=headers, timeout=5).status_code == 200
        sessions[1].close()
        time.sleep(0.1)
        assert sessions[2].get(url, headers=headers, timeout=5).status_code == 200
        assert simulator.stats()["by_route"] == {"GET /channels 200": 4, "GET /channels broken off": 1}
    finally:
        for session in sessions:
            session.close()


@pytest.mark.parametrize(("kind", "beginning"), [(kind, repeated[0]) for kind, repeated in TRICKLES.items()])
def test_answers_that_never_end(simulator: Simulator, kind: str, beginning: bytes) -> None:
    simulator.set_faults(rules=[{"kind": kind, "seconds": 0.01}])
    body = json.dumps({"channelId": "channel", "emailAddress": "a@b.c", "customAttributes": {"user_id": "u1"}}).encode()
    head = "POST /subscription/sync HTTP/1.1\r\nHost: x\r\nAuthorization: key\r\nContent-Type: application/json\r\n"
    host, port = simulator.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 5) as client:
        client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        came, until = b"", time.monotonic() + 0.5
        while time.monotonic() < until:
            came += client.recv(4096)
    assert came.startswith(beginning)
    assert came.count(TRICKLES[kind][1]) > 10
    assert ("u1" in simulator.by_user()) is (kind != "continue")


@pytest.mark.parametrize("status", [102, 103])
def test_interim_answers_come_before_the_proper_one(simulator: Simulator, status: int) -> None:
    simulator.set_faults(rules=[{"kind": "interim", "status": status}])
    head = b"GET /channels HTTP/1.1\r\nHost: x\r\nAuthorization: key\r\nConnection: close\r\n\r\n"
    host, port = simulator.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 5) as client:
        client.sendall(head)
        came = client.makefile("rb").read()
    assert came.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\n\r\nHTTP/1.1 200 OK\r\n" in came


def test_odd_answers(simulator: Simulator) -> None:
    simulator.set_faults(rules=[{"kind": "firewall"}])
    blocked = post(simulator)
    assert (blocked.status_code, blocked.text[:6]) == (403, "<html>")
    for status in (507, 520, 530):
        simulator.set_faults(rules=[{"kind": "status", "status": status}])
        assert post(simulator).status_code == status
    simulator.set_faults(rules=[{"kind": "status", "status": 200, "body": {"status": "error"}}])
    assert (post(simulator).json(), simulator.by_user()) == ({"status": "error"}, {})


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


@contextmanager
def command_line(*options: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The URL of a simulator started by hand, and the subscriptions that it tells of."""
    command = [sys.executable, "-m", "integration_tests.simulator", *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = json.loads(process.stdout.readline())["url"]
            told: list[dict[str, Any]] = []
            while select.select([process.stdout], [], [], 0)[0] or told == []:
                told += [json.loads(process.stdout.readline())]
            yield url, told
        finally:
            process.send_signal(signal.SIGTERM)
    assert process.returncode == 0


def test_the_command_line_describes_a_channel_and_sigterm_ends_it() -> None:
    options = "--channel c --api-key k --tag t1=Sports --tag t2 --topic news --attribute user_id plan --subscription n1"
    with command_line(*options.split()) as (url, told):
        found = requests.get(f"{url}/channel/c/config", timeout=30).json()
        body = {"channelId": "c", "subscriptionId": "n1", "tagId": "t2"}
        headers = {"Authorization": "k"}
        tagged = requests.post(f"{url}/subscription/tag/add", json=body, headers=headers, timeout=30)
    assert found == {
        "channelTags": [{"_id": "t1", "name": "Sports"}, {"_id": "t2", "name": "t2"}],
        "channelTopics": [{"_id": "news", "name": "news"}],
        "customAttributes": [{"id": "user_id", "name": "user_id"}, {"id": "plan", "name": "plan"}],
    }
    assert told == [{"channel": "c", "subscription": "n1", "user_id": None}]
    assert tagged.status_code == 200


def test_options_beside_a_configuration_file_add_to_it(tmp_path: Path) -> None:
    (tmp_path / "simulator.json").write_text(json.dumps({"accounts": [ACCOUNT]}))
    more = "--tag t99 --subscription n1=u1 --any-attribute --routes cleverpush --lack config"
    with command_line("--config", str(tmp_path / "simulator.json"), *more.split()) as (url, told):
        headers = {"Authorization": "key"}
        tags = requests.get(f"{url}/channel/channel/tags", headers=headers, timeout=30).json()["tags"]
        body = {"channelId": "channel", "customAttributes": {"user_id": "u1", "anything": 1}}
        synced = requests.post(f"{url}/subscription/sync/channel", json=body, headers=headers, timeout=30)
        public = requests.get(f"{url}/channel/channel/config", timeout=30)
    assert [one["_id"] for one in tags] == [*ACCOUNT["channels"][0]["tags"], "t99"]  # type: ignore[index]
    assert told == [{"channel": "channel", "subscription": "n1", "user_id": "u1"}]
    assert (synced.status_code, synced.json()["id"]) == (200, "n1")
    assert public.status_code == 404


@pytest.mark.parametrize(("file", "words"), [("{", "column 2"), ('{"accounts": [{"channels": []}]}', "no 'api_key'")])
def test_a_file_that_is_no_configuration_is_a_sentence(tmp_path: Path, file: str, words: str) -> None:
    (tmp_path / "simulator.json").write_text(file)
    command = [sys.executable, "-m", "integration_tests.simulator", "--config", str(tmp_path / "simulator.json")]
    done = subprocess.run([*command, "--channel", "c"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert words in done.stderr


def test_a_port_in_use_is_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "integration_tests.simulator", "--port", str(port)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"The simulator cannot listen on 127.0.0.1, port {port}: ")
    assert done.stderr.count("\n") == 1
