"""Check: each thing that can be wrong has a sentence of its own, which says what to do; none of them holds a key."""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from integration_tests.platform_double import CheckResult, assert_absent, run_check
from integration_tests.simulator.process import Simulator
from unit_tests.server import Canned, Server, said

WRONG_KEY = "wrong-key-5f6a7b"
SECRETS = "private-key-0a1b2c", "key-without-tags-3d4e", WRONG_KEY

SENTENCES = {
    "wrong key": "Authentication failed: invalid API key. Verify the private API key in CleverPush under Channel",
    "channel of another account": "Channel not found. The channel ID does not match any channel in the CleverPush",
    "channel in the wrong case": "There is a channel 'Channel-1' that differs only in upper and lower case.",
    "no permission": "CleverPush refused access: the API key lacks a permission.",
    "nobody there": "could not be reached (connection refused). Check the API Address under Advanced",
    "certificate of its own": "The TLS connection to https://127.0.0.1",
    "no answer": "gave no answer within 0.4 seconds.",
    "web page": "answered with a reply that is not JSON, which is not what CleverPush answers.",
    "field missing": "The configuration field 'channel_id' is missing.",
    "field wrong": "The configuration field 'advanced.max_concurrency' (Requests in Flight at Most) must be at",
    "incomplete mapping": "The field mapping fills no 'tags', which tags need",
    "no directory": "does not exist. Create it, and mount it into the connector's container",
}


def configurations(simulator: Simulator, servers: ExitStack, folder: Path) -> dict[str, dict[str, Any]]:
    """A configuration for each sentence, and two that are right."""

    def at(server: Server, **advanced: Any) -> dict[str, Any]:
        return {"advanced": {"base_url": servers.enter_context(server).url, **advanced}}

    def config(object_type: str = "subscriptions", **change: Any) -> dict[str, Any]:
        return {**simulator.connector_config(object_type), **change}

    return {
        "subscriptions": config(),
        "tags": config("tags"),
        "wrong key": config(api_key=WRONG_KEY),
        "channel of another account": config(channel_id="Other-1"),
        "channel in the wrong case": config(channel_id="CHANNEL-1"),
        "no permission": config("tags", channel_id="Other-1", api_key="key-without-tags-3d4e"),
        "nobody there": config(advanced={"base_url": f"http://127.0.0.1:{_closed_port()}"}),
        "certificate of its own": config(**at(Server(said(200), _tls(folder)))),
        "no answer": config(**at(Server(Canned(silence=90.0)), request_timeout_seconds=0.4)),
        "web page": config(**at(Server(Canned(200, b"<html>Welcome</html>")))),
        "field missing": {n: v for n, v in config().items() if n != "channel_id"},
        "field wrong": config(advanced={"max_concurrency": 0}),
        "incomplete mapping": config(
            "tags",
            field_mapping=[{"source": "id", "destination": "subscription_id"}],
            unmapped_fields="ignore",
        ),
        "no directory": config(
            rejected_records={"storage_type": "local", "destination_path": str(folder / "rejected")}
        ),
    }


@pytest.fixture(scope="module")
def answers(running_simulator: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, CheckResult]]:
    """What check says to each; they run side by side, since most of their time goes into starting Python."""
    running_simulator.reset()
    with ExitStack() as servers, ThreadPoolExecutor(3) as pool:
        configs = configurations(running_simulator, servers, tmp_path_factory.mktemp("check"))
        yield dict(zip(configs, pool.map(run_check, configs.values()), strict=True))


@pytest.mark.parametrize("object_type", ["subscriptions", "tags"])
def test_what_is_right_succeeds(answers: dict[str, CheckResult], object_type: str) -> None:
    assert (answers[object_type].status, answers[object_type].message) == ("SUCCEEDED", None)


@pytest.mark.parametrize("what", SENTENCES)
def test_what_is_wrong_has_its_sentence(answers: dict[str, CheckResult], what: str) -> None:
    assert answers[what].status == "FAILED"
    assert SENTENCES[what] in str(answers[what].message)
    assert_absent(answers[what], *SECRETS)


def test_no_two_things_have_the_same_sentence(answers: dict[str, CheckResult]) -> None:
    messages = [answer.message for answer in answers.values() if answer.status == "FAILED"]
    assert len(set(messages)) == len(messages) == len(SENTENCES)


def test_a_check_reads_and_its_other_calls_name_nobody(
    answers: dict[str, CheckResult], running_simulator: Simulator
) -> None:
    calls = running_simulator.calls()
    reads = {call["path"] for call in calls if call["method"] == "GET"}
    of_channel = {f"/channel/Channel-1/{what}" for what in ("tags", "topics", "config")}
    assert reads == {"/channels", "/channel/Other-1/tags", *of_channel}
    others = [call for call in calls if call["method"] != "GET"]
    assert {call["path"] for call in others} >= {"/subscription/tag/add", "/subscription/tag/remove"}
    assert [call["json"] for call in others] == [{"channelId": "Channel-1"}] * len(others)


def _closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        return int(closed.getsockname()[1])


def _tls(folder: Path) -> ssl.SSLContext:
    """TLS with a certificate that nobody has signed."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1", "-days", "2"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context
