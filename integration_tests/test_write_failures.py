"""Failures: the sync ends with one clear error, and no state says more than what is at CleverPush."""

from __future__ import annotations

from dataclasses import replace

import pytest

from integration_tests.conftest import Calls
from integration_tests.messages import Message, catalog, record, stream, stream_state
from integration_tests.platform_double import AIRBYTE, ConnectorProcess, Line, WriteResult, assert_absent, run_write
from integration_tests.simulator.process import Simulator


def users(first: int, last: int) -> list[Message]:
    """Users with numbers, and after each a state with the same number."""
    rows = [{"subscription_id": f"u{n}", "email": f"u{n}@example.com"} for n in range(first, last + 1)]
    return [m for n, row in enumerate(rows, first) for m in (record(row), stream_state(n))]


def last_state(result: WriteResult) -> int:
    """The number of the last state that came out, 0 where none did."""
    cursor: int = result.states[-1]["stream"]["stream_state"]["cursor"] if result.states else 0
    return cursor


def assert_kept(result: WriteResult, simulator: Simulator) -> None:
    """What the states say is at CleverPush, is there."""
    assert {f"u{n}" for n in range(1, last_state(result) + 1)} <= simulator.by_user().keys()


@pytest.mark.parametrize(
    ("status", "sentence"),
    [(401, "Authentication failed: invalid API key."), (403, "the API key lacks a permission")],
)
def test_a_key_that_stops_working_is_the_users_to_mend(simulator: Simulator, status: int, sentence: str) -> None:
    simulator.set_faults(rules=[{"subscription": "u4", "kind": "status", "status": status}])
    result = run_write(simulator.connector_config(), catalog(), users(1, 200))
    assert (result.exit_code, result.error["failure_type"]) == (1, "config_error")
    assert sentence in result.error["message"]
    assert last_state(result) <= 3
    assert_kept(result, simulator)
    assert "NOT delivered" in result.stdout
    assert_absent(result, simulator.api_key, "@example.com")


def test_a_channel_that_is_not_there_ends_the_sync(simulator: Simulator) -> None:
    result = run_write(simulator.connector_config(channel_id="channel-1"), catalog(), users(1, 3))
    assert (result.exit_code, result.states, result.error["failure_type"]) == (1, [], "config_error")
    assert result.error["message"].startswith("Channel not found.")


def test_an_address_without_the_routes_rejects_no_row(simulator: Simulator) -> None:
    config = simulator.connector_config(advanced={"base_url": f"{simulator.url}/v9"})
    result = run_write(config, catalog(), users(1, 3))
    assert (result.exit_code, result.states, result.error["failure_type"]) == (1, [], "config_error")
    routes = f"{simulator.url}/v9/subscription/sync and {simulator.url}/v9/subscription/sync/Channel-1"
    assert f"{routes} do not exist (HTTP 404)" in result.error["message"]
    assert "Rejected: " not in result.stdout


@pytest.mark.parametrize(
    "line",
    [
        '{"type":"RECORD","record":{"stream":"users","data":{"email":"ada@example.com",',
        b'{"type":"RECORD","record":{"stream":"users","data":{"email":"ada@example.com","city":"K\xf6ln"}}}',
    ],
    ids=["cut off", "not UTF-8"],
)
def test_an_unreadable_line_ends_the_sync(simulator: Simulator, line: str | bytes) -> None:
    before, after = users(1, 2), users(3, 4)
    result = run_write(simulator.connector_config(), catalog(), [*before, "", line, *after])
    assert (result.exit_code, result.error["failure_type"]) == (1, "system_error")
    # after two users with their states, and an empty line
    assert "Line 6 of the input is not a readable Airbyte message" in result.error["message"]
    assert (last_state(result), set(simulator.by_user())) == (2, {"u1", "u2"})
    assert_absent(result, "ada@", "@example.com")


def test_a_row_of_a_stream_that_is_not_in_the_catalog_ends_the_sync(simulator: Simulator) -> None:
    ghost = record({"subscription_id": "u9", "email": "u9@example.com"}, "users", "ghosts")
    result = run_write(simulator.connector_config(), catalog(stream("users")), [*users(1, 2), ghost, *users(3, 4)])
    assert (result.exit_code, result.error["failure_type"]) == (1, "system_error")
    assert "'ghosts.users', which is not in the configured catalog" in result.error["message"]
    assert (last_state(result), set(simulator.by_user())) == (2, {"u1", "u2"})


def test_a_configuration_that_cannot_work_fails_before_the_first_row(simulator: Simulator, calls: Calls) -> None:
    config = {**simulator.connector_config(), "api_key": "my secret key"}
    result = run_write(config, catalog(), users(1, 2))
    assert (result.exit_code, result.states, result.error["failure_type"]) == (1, [], "config_error")
    assert "The configuration field 'api_key' (Private API Key) must be" in result.error["message"]
    assert calls() == []
    assert_absent(result, "my secret key", simulator.api_key)


def test_a_terminated_sync_ends_in_good_order(simulator: Simulator) -> None:
    # u3 is answered some time after the signal, u4 never; more rows of u3 wait behind its first one.
    rules = [{"subscription": "u3", "kind": "delay", "seconds": 1.5}, {"subscription": "u4", "kind": "hang"}]
    simulator.set_faults(rules=rules)
    messages: list[Line] = [*users(1, 4), *[record({"subscription_id": "u3", "visits": n}) for n in range(20)]]
    with ConnectorProcess(simulator.connector_config(), catalog()) as process:
        process.send(*messages, stream_state(24))
        process.wait_until(lambda: len(process.states) == 2)
        result = process.terminate(grace_seconds=20.0)

    assert (result.exit_code, result.killed) == (1, False)
    assert result.error["failure_type"] == "transient_error"
    assert "cancelled" in result.error["message"]
    assert last_state(result) == 3
    assert simulator.by_user()["u3"]["customAttributes"] == {"user_id": "u3"}  # without what waited behind it
    assert "24 rows read, 3 delivered" in result.stdout
    assert "21 NOT delivered" in result.stdout


def test_a_cancelled_sync_acknowledges_nothing_that_is_not_at_cleverpush(simulator: Simulator) -> None:
    simulator.set_faults(rules=[{"subscription": "u4", "kind": "hang"}])
    with ConnectorProcess(simulator.connector_config(), catalog()) as process:
        process.send(*users(1, 40))
        process.wait_until(lambda: len(process.states) == 3)
        result = process.cancel(grace_seconds=1.0)
    assert last_state(result) == 3
    assert_kept(result, simulator)


def test_a_source_that_fails_ends_without_losing_a_row(simulator: Simulator) -> None:
    failing = replace(AIRBYTE, source_fails=True)
    result = run_write(simulator.connector_config(), catalog(), users(1, 20), caller=failing)
    assert last_state(result) == 20
    assert_kept(result, simulator)
