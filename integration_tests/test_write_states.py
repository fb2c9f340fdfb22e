"""States: what comes in between the rows comes out after them, whole, in order and with true counts.

That no state comes out changed, twice, out of order or with wrong counts is checked by the platform double in every
test of write; here stand the inputs that make it hard.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from integration_tests.conftest import Calls
from integration_tests.messages import (
    Message,
    catalog,
    global_state,
    legacy_state,
    record,
    stream,
    stream_state,
)
from integration_tests.platform_double import AIRBYTE, PIPE, PYAIRBYTE, ConnectorProcess, Reader, run_write
from integration_tests.simulator.process import Simulator

BIG = '{"n":123456789012345678901234567890,"f":0.10000000000000000001,"e":1E400,"é":"\\u00e9\\ud83d\\ude00"}'


def user(n: int, stream: str = "users", namespace: str | None = None) -> Message:
    return record({"subscription_id": f"u{n}", "email": f"u{n}@example.com"}, stream, namespace)


def test_states_of_streams_with_any_name_and_any_content(simulator: Simulator) -> None:
    odd = 'my "odd"\n Straße/..\\ 😀'
    streams = stream("users"), stream("users", "crm"), stream(odd, "ns.with.dots"), stream("nothing"), stream("u", "")
    raw = f'{{ "state" : {{"stream":{{"stream_state":{BIG},"stream_descriptor":{{"name":"users"}}}},"type":"STREAM",'
    raw += '"sourceStats":{"recordCount":3.0},"new":[null,true,-0.0]} , "type":"STATE","also_new":{"a":[]} }'
    messages: list[Message | str] = [
        stream_state(0, "nothing"),
        user(1),
        user(2, "users", "crm"),
        user(3),
        user(4, odd, "ns.with.dots"),
        stream_state(1, "users"),
        record({"subscription_id": ""}),
        stream_state({"deep": [[{}]]}, odd, "ns.with.dots", partitions=None),
        stream_state("crm", "users", "crm"),
        user(5, "users", "crm"),
        user(6, "u", ""),
        user(7),
        raw,
        stream_state(2, "u"),
        stream_state(9, "users", "crm"),
        user(8, "users", "crm"),  # after the last state of its stream
    ]
    result = run_write(simulator.connector_config(), catalog(*streams), messages)

    assert result.exit_code == 0
    assert result.counts == [(0, 0), (2, 0), (1, 0), (1, 0), (1, 1), (1, 0), (1, 0)]
    line = next(line for line in result.stdout.splitlines() if "also_new" in line)
    assert f'"stream_state":{BIG},' in line  # to the letter
    assert '"new":[null,true,-0.0]' in line
    assert set(simulator.by_user()) == {f"u{n}" for n in range(1, 9)}


def test_global_states_count_all_streams(simulator: Simulator) -> None:
    messages = [
        global_state(0, "users", "orders"),
        user(1),
        user(2, "orders"),
        user(3),
        global_state(1, "users", new={"x": 12345678901234567890}),
        record({"email": "nobody@example.com"}, "orders"),
        user(5),
        global_state(2, "users", "orders"),
    ]
    result = run_write(simulator.connector_config(), catalog(stream("users"), stream("orders")), messages)
    assert result.exit_code == 0
    assert result.counts == [(0, 0), (3, 0), (1, 1)]


def test_states_without_a_type_count_all_streams(simulator: Simulator) -> None:
    messages = [user(1), user(2, "orders"), legacy_state({"n": 1}), user(3), legacy_state(None, later=[1.50])]
    messages.append(legacy_state("again"))
    result = run_write(simulator.connector_config(), catalog(stream("users"), stream("orders")), messages)
    assert result.exit_code == 0
    assert result.counts == [(2, 0), (1, 0), (0, 0)]


def test_states_come_out_while_the_source_is_silent(simulator: Simulator, calls: Calls) -> None:
    simulator.set_faults(rules=[{"subscription": "u3", "kind": "delay", "seconds": 1.0}])
    with ConnectorProcess(simulator.connector_config(), catalog()) as process:
        process.send(stream_state(0))
        assert process.expect_state()["stream"]["stream_state"] == {"cursor": 0}
        process.send(user(1), user(2), stream_state(2))
        assert process.expect_state()["destinationStats"]["recordCount"] == 2.0
        assert len(calls()) == 2
        # u4 overtakes u3, but its state does not.
        process.send(user(3), stream_state(3), user(4), stream_state(4))
        process.wait_until(lambda: "u4" in simulator.by_user())
        assert process.expect_state()["stream"]["stream_state"] == {"cursor": 3}
        assert "u3" in simulator.by_user()
        assert process.expect_state()["stream"]["stream_state"] == {"cursor": 4}
        assert process.finish().exit_code == 0
    assert [call["subscription"] for call in simulator.calls()][-2:] == ["u4", "u3"]  # as they ended


def test_nothing_to_do_is_done(simulator: Simulator, calls: Calls) -> None:
    nothing = run_write(simulator.connector_config(), catalog(stream("users"), stream("empty")), [])
    assert (nothing.exit_code, nothing.counts, calls()) == (0, [(0, 0)] * 2, [])
    assert [log.message for log in nothing.logs if "0 rows read" in log.message and "'empty'" in log.message]


def test_messages_that_are_not_for_a_destination_are_passed_over(simulator: Simulator) -> None:
    others: list[Message | str] = [
        {"type": "LOG", "log": {"level": "INFO", "message": "hello"}},
        {"type": "CONTROL", "control": {"type": "CONNECTOR_CONFIG", "emitted_at": 1, "connectorConfig": {}}},
        {"type": "TRACE", "trace": {"type": "ANALYTICS", "emitted_at": 1, "analytics": {"type": "x"}}},
        {"type": "SOMETHING_NEW", "something_new": {"record": {}, "state": {}}},
        "",
        "   ",
        json.dumps({"type": "SPEC"}) + "\r",
    ]
    messages = [user(1), *others, user(2), stream_state(2)]
    refreshed = catalog(stream(generation_id=2, minimum_generation_id=2, sync_id=7))
    result = run_write(simulator.connector_config(), refreshed, messages, caller=PIPE)
    assert (result.exit_code, result.counts, result.warnings) == (0, [(2.0, 0.0)], [])


def test_a_connection_with_a_prefix(simulator: Simulator) -> None:
    messages = [user(1), stream_state(1), user(2), user(3), global_state(2, "users"), user(4), stream_state(3)]
    result = run_write(simulator.connector_config(), catalog(), messages, caller=replace(AIRBYTE, prefix="eu_"))
    assert (result.exit_code, result.counts) == (0, [(1, 0), (2, 0), (1, 0)])


def test_streams_around_which_pyairbyte_sends_statuses(simulator: Simulator) -> None:
    messages = [user(1), user(2), stream_state(1), user(3, "orders"), stream_state(2, "orders")]
    given = catalog(stream("users"), stream("orders"), stream("empty"))
    result = run_write(simulator.connector_config(), given, messages, caller=PYAIRBYTE)
    assert (result.exit_code, result.counts) == (0, [(2, 0), (1, 0)])


@pytest.mark.parametrize("stdout", ["pipe", "nonblocking"])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_is_late_gets_every_byte(simulator: Simulator, stdout: str, unbuffered: str) -> None:
    messages = [m for n in range(300) for m in (user(n), stream_state(n, pad="x" * 20_000))]
    with ConnectorProcess(
        simulator.connector_config(),
        catalog(),
        reader=Reader(late_seconds=3.0),
        stdout=stdout,  # type: ignore[arg-type]
        environment={"PYTHONUNBUFFERED": unbuffered},
    ) as process:
        process.send(*messages)
        process.pause(0.5)
        result = process.finish()
    assert (result.exit_code, len(result.states)) == (0, 300)
