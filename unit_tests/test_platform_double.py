"""The platform double finds each fault that a destination can have, and none in one that has none."""

from __future__ import annotations

import itertools
import json
import sys
import textwrap
from dataclasses import replace
from typing import Any

import pytest

from integration_tests.messages import Message, catalog, global_state, legacy_state, record, stream, stream_state
from integration_tests.platform_double import (
    AIRBYTE,
    PIPE,
    PYAIRBYTE,
    Caller,
    CheckResult,
    ConnectorProcess,
    Ledger,
    Line,
    Reader,
    Violation,
    assert_absent,
    run_check,
    run_clear,
    run_write,
)


def entered(*messages: Line, caller: Caller = AIRBYTE) -> tuple[Ledger, list[str]]:
    """A ledger that has seen these messages, and the lines that the destination got."""
    ledger = Ledger(catalog(stream("users"), stream("orders"), stream("users", "crm")), caller)
    return ledger, [line.decode() for message in messages for line in ledger.enter(message)]


def back(line: str, taken: Any = "0.0", rejected: Any = "0.0") -> str:
    """A state's line as an honest destination sends it back."""
    start = line.index('"state"') + len('"state": {')
    stats = f'"destinationStats": {{"recordCount": {taken}, "rejectedRecordCount": {rejected}}}, '
    return line[:start] + stats + line[start:]


def log(message: str = "hello") -> str:
    return json.dumps({"type": "LOG", "log": {"level": "INFO", "message": message}})


def error(message: str = "No.", failure_type: str = "config_error") -> str:
    failure = {"message": message, "failure_type": failure_type}
    return json.dumps({"type": "TRACE", "trace": {"type": "ERROR", "emitted_at": 1.0, "error": failure}})


# What the destination is sent


def test_states_are_numbered_and_else_sent_as_they_are() -> None:
    raw = '{"type":"STATE","state":{"type":"STREAM","stream":{"stream_descriptor":{"name":"users"}},"n":1.0e400}}'
    _, lines = entered(raw, legacy_state(1))
    assert lines[0] == raw.replace('"state":{', '"state":{"id": 0, "sourceStats": {"recordCount": 0.0}, ')
    assert json.loads(lines[1])["state"] == {"id": 1, "sourceStats": {"recordCount": 0.0}, "data": {"cursor": 1}}
    (bare,) = entered('{"type": "STATE", "state": { }}')[1]
    assert bare == '{"type": "STATE", "state": {"id": 0, "sourceStats": {"recordCount": 0.0} }}'


def test_states_say_what_the_source_counted_unless_it_has_said_so_itself() -> None:
    mistaken = stream_state(2, sourceStats={"recordCount": 7.0})
    _, lines = entered(
        record({}), record({}), record({}, "orders"), stream_state(1), record({}), mistaken, legacy_state(3)
    )
    counted = [json.loads(line)["state"]["sourceStats"] for line in lines if '"STATE"' in line]
    assert counted == [{"recordCount": 2.0}, {"recordCount": 7.0}, {"recordCount": 1.0}]


def test_a_state_that_cannot_be_numbered_is_a_mistake_of_the_test() -> None:
    with pytest.raises(ValueError, match="no place for an id"):
        entered('{"note":{"state":{}},"type":"STATE","state":{"data":1}}')


def statuses(lines: list[str]) -> list[tuple[str, str]]:
    found = [json.loads(line)["trace"]["stream_status"] for line in lines if '"TRACE"' in line]
    return [(status["stream_descriptor"]["name"], status["status"]) for status in found]


def ends(ledger: Ledger) -> list[str]:
    return [line.decode() for line in ledger.end_of_input()]


def test_all_streams_are_complete_at_the_very_end_or_none() -> None:
    messages = record({}, "users"), stream_state(1), record({}, "users", "crm"), legacy_state(2)
    ledger, lines = entered(*messages)
    assert [json.loads(line)["type"] for line in lines] == ["RECORD", "STATE", "RECORD", "STATE"]
    last = [json.loads(line) for line in ends(ledger)]
    assert last == [
        {
            "type": "TRACE",
            "trace": {"type": "STREAM_STATUS", "emitted_at": 1_700_000_000_000.0, "stream_status": status},
        }
        for status in (
            {"stream_descriptor": {"name": "users"}, "status": "COMPLETE"},
            {"stream_descriptor": {"name": "orders"}, "status": "COMPLETE"},
            {"stream_descriptor": {"name": "users", "namespace": "crm"}, "status": "COMPLETE"},
        )
    ]
    ledger, _ = entered(*messages, caller=replace(AIRBYTE, source_fails=True))
    assert ends(ledger) == []


def test_only_records_and_states_are_forwarded() -> None:
    others: list[Message] = [{"type": kind, kind.lower(): {}} for kind in ("LOG", "TRACE", "CONTROL", "NEWS")]
    assert entered(*others)[1] == []
    assert entered('{"type": "LOG", "log": {}}')[1] == ['{"type": "LOG", "log": {}}']  # a line stands as it is
    assert len(entered({"type": "LOG", "log": {}}, caller=PIPE)[1]) == 1


def test_streams_without_a_state_get_one_at_the_end() -> None:
    ledger, _ = entered(record({}), record({}, "orders"), stream_state(1), record({}))
    given = [json.loads(line)["state"] for line in ends(ledger) if '"STATE"' in line]
    assert [(state["id"], state["sourceStats"]["recordCount"]) for state in given] == [(1, 1.0), (2, 0.0)]
    assert given[0]["stream"] == {
        "stream_descriptor": {"name": "orders"},
        "stream_state": {"__ab_no_cursor_state_message": True},
    }
    assert ledger.due == 3
    for caller in (PIPE, PYAIRBYTE, replace(AIRBYTE, missing_states=False), replace(AIRBYTE, source_fails=True)):
        assert not [line for line in ends(entered(record({}), caller=caller)[0]) if '"STATE"' in line]


def test_overwrite_arrives_as_append_of_a_new_generation() -> None:
    streams = [
        stream(mode=mode, generation_id=3) for mode in ("overwrite", "overwrite_dedup", "append", "append_dedup")
    ]
    modes = [
        (s["destination_sync_mode"], s["generation_id"], s["minimum_generation_id"], s["sync_mode"])
        for s in AIRBYTE.catalog(catalog(*streams))["streams"]
    ]
    assert modes == [
        ("append", 3, 3, "full_refresh"),
        ("append_dedup", 3, 3, "full_refresh"),
        ("append", 3, 0, "full_refresh"),
        ("append_dedup", 3, 0, "full_refresh"),
    ]
    (first,) = AIRBYTE.catalog(catalog(stream(mode="overwrite")))["streams"]
    assert (first["generation_id"], first["minimum_generation_id"]) == (1, 1)  # 0 would say: keep all
    kept = replace(AIRBYTE, refreshes=False).catalog(catalog(streams[0]))
    assert kept == catalog(streams[0])


def test_pyairbyte_repeats_its_generation_and_drops_the_namespace_of_records() -> None:
    given = catalog(stream(mode="overwrite", generation_id=3, minimum_generation_id=2, sync_id=9))
    (configured,) = PYAIRBYTE.catalog(given)["streams"]
    assert configured["destination_sync_mode"] == "overwrite"
    assert [configured[f"{name}_id"] for name in ("generation", "minimum_generation", "sync")] == [1, 1, 1]
    crm = record({}, namespace="crm"), stream_state(1, namespace="crm")
    ledger, lines = entered(record({}, "orders"), record({}, "orders"), *crm, caller=PYAIRBYTE)
    assert [json.loads(line)["type"] for line in lines] == [
        "TRACE", "TRACE", "RECORD", "RECORD", "TRACE", "TRACE", "TRACE", "RECORD", "STATE",
    ]  # fmt: skip
    assert "namespace" not in json.loads(lines[-2])["record"]
    assert json.loads(lines[-1]) == crm[1]
    assert statuses(lines) == [
        ("orders", "STARTED"), ("orders", "RUNNING"), ("orders", "COMPLETE"),
        ("users", "STARTED"), ("users", "RUNNING"),
    ]  # fmt: skip
    assert statuses(ends(ledger)) == [
        ("users", "COMPLETE"), ("users", "STARTED"), ("users", "RUNNING"), ("users", "COMPLETE"),
    ]  # fmt: skip
    ledger.leave(back(lines[-1], "1.0"))
    with pytest.raises(ValueError, match="has read"):
        ledger.enter(record({}, "orders"))
    with pytest.raises(ValueError, match="no lines"):
        entered(json.dumps(record({}, namespace="crm")), caller=PYAIRBYTE)


def test_a_plain_pipe_has_no_generations_and_no_end() -> None:
    (configured,) = PIPE.catalog(catalog(stream(mode="overwrite", generation_id=3)))["streams"]
    assert configured.keys() == {"stream", "sync_mode", "destination_sync_mode"}
    ledger, lines = entered(record({}), stream_state(1), stream_state(1), caller=PIPE)
    assert (lines, ends(ledger)) == ([json.dumps(m) for m in (record({}), stream_state(1), stream_state(1))], [])
    with pytest.raises(Violation, match="did not come out as it went in"):
        ledger.leave(back(json.dumps(stream_state(2)), "1.0"))
    ledger.leave(back(lines[1], "1.0"))
    ledger.leave(back(lines[2]))


def test_a_prefix_stands_everywhere_but_in_global_states() -> None:
    caller = replace(AIRBYTE, prefix="eu_")
    assert caller.catalog(catalog())["streams"][0]["stream"]["name"] == "eu_users"
    ledger, lines = entered(record({}, "users"), stream_state(1), global_state(2, "users"), caller=caller)
    row, of_stream, of_all = map(json.loads, lines)
    assert row["record"]["stream"] == "eu_users"
    assert of_stream["state"]["stream"]["stream_descriptor"] == {"name": "eu_users"}
    assert of_all["state"]["global"] == global_state(2, "users")["state"]["global"]
    assert statuses(ends(ledger)) == [("eu_users", "COMPLETE"), ("eu_orders", "COMPLETE"), ("eu_users", "COMPLETE")]
    ledger.leave(back(lines[1], "1.0"))
    ledger.leave(back(lines[2]))


@pytest.mark.parametrize("line", ["", "no json", '{"type":"RECORD","record":{}}', "[" * 100_000, b"\xff", "7"])
def test_lines_that_are_no_messages_are_sent_as_they_are(line: str | bytes) -> None:
    assert Ledger(catalog()).enter(line) == [line if isinstance(line, bytes) else line.encode()]


# States that come out


def test_a_state_counts_its_streams_records_since_the_state_before() -> None:
    ledger, lines = entered(
        record({}), record({}), record({}, "orders"), record({}, namespace="crm"), stream_state(1), record({}),
        stream_state(2), stream_state(1, namespace="crm"), stream_state(1, "orders"), stream_state(3),
    )  # fmt: skip
    states = [line for line in lines if '"STATE"' in line]
    for state, counts in zip(states, [("1.0", "1.0"), ("1.0",), ("0.0", "1.0"), ("1.0",), ()], strict=True):
        ledger.leave(back(state, *counts))
    ledger.end(0, "")


@pytest.mark.parametrize("state", [global_state(1, "users"), legacy_state(1)])
def test_a_state_over_all_streams_counts_all_records_since_the_states_before(state: dict[str, Any]) -> None:
    ledger, lines = entered(
        record({}), record({}, "orders"), stream_state(1), record({}), state, record({}, namespace="crm"), state, state
    )
    states = [line for line in lines if '"STATE"' in line]
    for line, count in zip(states, ["1.0", "2.0", "1.0", "0.0"], strict=True):
        ledger.leave(back(line, count))
    ledger.end(0, "")


@pytest.mark.parametrize(
    ("taken", "rejected", "fault"),
    [
        ("1.0", "0.0", "tells of 1 records; 2 were sent"),
        ("2.0", "1.0", "tells of 3 records; 2 were sent"),
        ("2", "0.0", "recordCount is not a number with a decimal point"),
        ("2.0", "0", "rejectedRecordCount is not a number with a decimal point"),
        ('"2.0"', "0.0", "no Airbyte message"),
        ("2.0", "null", "rejectedRecordCount is not a number with a decimal point"),
    ],
)
def test_wrong_counts_are_found(taken: str, rejected: str, fault: str) -> None:
    ledger, lines = entered(record({}), record({}), stream_state(1))
    with pytest.raises(Violation, match=fault):
        ledger.leave(back(lines[-1], taken, rejected))


def test_missing_counts_are_found() -> None:
    ledger, lines = entered(stream_state(1))
    with pytest.raises(Violation, match="recordCount is not a number"):
        ledger.leave(lines[0])


def test_states_out_of_order_twice_or_never_sent_are_found() -> None:
    ledger, (first, second) = entered(stream_state(1), stream_state(2))
    with pytest.raises(Violation, match=r"id .*1.* came out where this is due: .*'0'"):
        ledger.leave(back(second))
    ledger.leave(back(first))
    with pytest.raises(Violation, match=r"id .*0.* came out where this is due: .*'1'"):
        ledger.leave(back(first))
    ledger.leave(back(second))
    with pytest.raises(Violation, match="came out where none is due"):
        ledger.leave(back(second))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"id": 0, ', ""),
        ('"id": 0, ', '"id": 0.0, '),
        ('"id": 0, ', '"id": "0", '),
        ("12345678901234567890123", "12345678901234567890124"),
        ("12345678901234567890123", '"12345678901234567890123"'),
        ("0.10", "0.1"),
        (', "new": {"a": null}', ""),
        ('{"a": null}', "{}"),
        ('"cursor": ', '"Cursor": '),
        ("ü", "u"),
    ],
)
def test_a_state_that_was_changed_is_found(old: str, new: str) -> None:
    raw = json.dumps(stream_state("ü", big=0, small=0, new={"a": None}), ensure_ascii=False)
    raw = raw.replace('"big": 0', '"big": 12345678901234567890123').replace('"small": 0', '"small": 0.10')
    ledger, (line,) = entered(raw)
    assert old in line
    with pytest.raises(Violation):
        ledger.leave(back(line.replace(old, new)))
    entered(raw)[0].leave(back(line))


def test_a_state_may_come_out_written_otherwise_where_it_says_the_same() -> None:
    ledger, (line,) = entered(stream_state("ü"))
    ledger.leave(json.dumps(json.loads(back(line)), sort_keys=True, indent=None))
    assert ledger.states[0]["stream"]["stream_state"] == {"cursor": "ü"}


# Other lines that come out


@pytest.mark.parametrize(
    "line",
    [
        "Traceback",
        "",
        "[]",
        "{}",
        '{"type": "LOG"}',
        '{"type": "NEWS"}',
        '{"type": "LOG", "log": {"level": "LOUD", "message": "x"}}',
        '{"type": "LOG", "log": {"level": "INFO", "message": "x"}, "type": "LOG"}',
        json.dumps(record({})),
        '{"type": "CONNECTION_STATUS", "connectionStatus": {"status": "SUCCEEDED"}}',
        error(message=""),
        error(failure_type="my_error"),
    ],
)
def test_lines_that_a_writing_destination_must_not_print_are_found(line: str) -> None:
    with pytest.raises(Violation):
        entered()[0].leave(line)


@pytest.mark.parametrize(
    ("lines", "exit_code", "stderr", "fault"),
    [
        ([], 1, "", "0 errors instead of one"),
        ([error(), error()], 1, "", "2 errors instead of one"),
        ([error()], 0, "", "exit code 0 after the error"),
        ([], -11, "", "died of signal 11"),
        ([error()], 1, "Traceback (most recent call last):", "traceback"),
    ],
)
def test_ends_that_contradict_themselves_are_found(lines: list[str], exit_code: int, stderr: str, fault: str) -> None:
    ledger, _ = entered(stream_state(1))
    for line in lines:
        ledger.leave(line)
    with pytest.raises(Violation, match=fault):
        ledger.end(exit_code, stderr)


def test_success_without_all_states_is_found_and_failure_may_keep_some_back() -> None:
    ledger, (first, _) = entered(stream_state(1), stream_state(2))
    ledger.leave(back(first))
    with pytest.raises(Violation, match="1 states did not come out"):
        ledger.end(0, "")
    ledger.leave(log())
    ledger.leave(error())
    ledger.end(1, "")
    assert (len(ledger.states), ledger.logs, ledger.errors[0]["message"]) == (1, [("INFO", "hello")], "No.")


# Processes

HONEST = """
import json, sys
counts = [0]
def take(message):
    if message["type"] == "RECORD":
        counts[0] += 1
    elif message["type"] == "STATE":
        message["state"]["destinationStats"] = {"recordCount": float(counts[0]), "rejectedRecordCount": 0.0}
        counts[0] = 0
        print(json.dumps(message), flush=True)
def fail(message, failure_type="config_error"):
    error = {"message": message, "failure_type": failure_type}
    print(json.dumps({"type": "TRACE", "trace": {"type": "ERROR", "emitted_at": 1, "error": error}}), flush=True)
    sys.exit(1)
"""
READ_ALL = "for line in sys.stdin: take(json.loads(line))"


def destination(*scripts: str) -> tuple[str, ...]:
    """A destination of a few lines, to be started as a command."""
    return (sys.executable, "-c", "\n".join(map(textwrap.dedent, (HONEST, *scripts))))


def test_a_sync_from_begin_to_end() -> None:
    messages = [record({"n": 1}), stream_state(1), record({"n": 2}), record({"n": 3}), stream_state(2)]
    result = run_write({}, catalog(), iter(messages), command=destination(READ_ALL))
    assert result.counts == [(1.0, 0.0), (2.0, 0.0)]
    assert [state["stream"]["stream_state"]["cursor"] for state in result.states] == [1, 2]
    assert (result.exit_code, result.errors, result.killed, result.stderr) == (0, [], False, "")


def test_the_destination_finds_its_files_and_every_line() -> None:
    script = """
        arguments = dict(zip(sys.argv[2::2], sys.argv[3::2]))
        content = [json.load(open(arguments[name])) for name in ("--config", "--catalog")]
        lines = [line for line in sys.stdin]
        fail(json.dumps([sys.argv[1], *content, *lines]))
    """
    given = catalog(stream("users", generation_id=7, minimum_generation_id=7, sync_id=3))
    result = run_write({"channel_id": "c"}, given, ["one", "zwei ü"], command=destination(script))
    command, config, seen, *lines = json.loads(result.error["message"])
    assert (command, config, seen) == ("write", {"channel_id": "c"}, given)
    assert seen["streams"][0]["generation_id"] == 7
    assert lines[:2] == ["one\n", "zwei ü\n"]
    assert '"__ab_no_cursor_state_message"' in lines[2]
    assert '"COMPLETE"' in lines[3]


def test_the_source_can_wait_for_the_destination() -> None:
    with ConnectorProcess({}, catalog(), command=destination(READ_ALL)) as process:
        assert process.send(record({}), stream_state(1))
        assert process.expect_state()["stream"]["stream_state"] == {"cursor": 1}
        process.send(stream_state(2), stream_state(3))
        assert process.expect_state()["id"] == 1
        process.wait_until(lambda: len(process.states) == 3)
        assert process.expect_state()["id"] == 2
        with pytest.raises(Violation, match="no state came out"):
            process.expect_state(0.05)
    assert process.finish().exit_code == 0


def test_a_state_that_comes_only_at_the_end_of_input_is_missed() -> None:
    lazy = destination("for line in list(sys.stdin): take(json.loads(line))")
    with ConnectorProcess({}, catalog(), command=lazy) as process:
        process.send(stream_state(1))
        with pytest.raises(Violation, match="no state came out"):
            process.expect_state(0.3)
    assert len(process.finish().states) == 1


def test_feeding_ends_where_the_destination_ends() -> None:
    taken = 0

    def endless() -> Any:
        nonlocal taken
        while True:
            taken += 1
            yield record({"n": taken})

    result = run_write({}, catalog(), endless(), command=destination("fail('No more.')"))
    assert (result.exit_code, result.error["message"], result.error["failure_type"]) == (1, "No more.", "config_error")
    assert 0 < taken < 10_000


@pytest.mark.parametrize(
    ("script", "messages"),
    [
        ("import time; time.sleep(60)", ["x" * 100_000] * 3),  # takes no lines
        ("list(sys.stdin)\nimport time; time.sleep(60)", []),  # does not end
    ],
)
def test_silent_destinations_are_given_up(script: str, messages: list[str]) -> None:
    with pytest.raises(Violation, match="it was silent"):
        run_write({}, catalog(), messages, command=destination(script), silence_seconds=0.3)


def test_destinations_that_keep_states_back_are_given_up() -> None:
    script = """
        import time
        while True:
            print(json.dumps({"type": "LOG", "log": {"level": "INFO", "message": "Working."}}), flush=True)
            time.sleep(0.05)
    """
    with pytest.raises(Violation, match=r"no state came out for 0\.3 s"):
        run_write({}, catalog(), [stream_state(1), stream_state(2)], command=destination(script), state_gap_seconds=0.3)


def test_states_that_come_one_by_one_are_not_late() -> None:
    script = "import time\nfor line in sys.stdin: time.sleep(0.2); take(json.loads(line))"
    result = run_write({}, catalog(), map(stream_state, range(9)), command=destination(script), state_gap_seconds=1.5)
    assert len(result.states) == 9


def test_success_before_the_end_of_the_input_is_found() -> None:
    endless = (record({"n": n}) for n in itertools.count())
    with pytest.raises(Violation, match="did not take all of its input"):
        run_write({}, catalog(), endless, command=destination("sys.exit(0)"))


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        ("print('hello')", "no Airbyte message"),
        ("sys.stdout.write('{}')", "has no end"),
        ("sys.stdout.buffer.write(bytes([255, 10]))", "not UTF-8"),
        ("raise KeyError", "traceback"),
        ("sys.exit(3)", "exit code 3 and 0 errors"),
        ("import os; os.abort()", "signal 6"),
        ("list(sys.stdin)", "1 states did not come out"),
    ],
)
def test_broken_rules_are_found_in_processes(script: str, fault: str) -> None:
    with pytest.raises(Violation, match=fault):
        run_write({}, catalog(), [stream_state(1)], command=destination(script))


def test_a_block_without_an_end_is_judged_too() -> None:
    with (
        pytest.raises(Violation, match="exit code 3"),
        ConnectorProcess({}, catalog(), command=destination("sys.exit(3)")) as process,
    ):
        process.send(record({}))


DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"


def test_terminating_asks_first_and_kills_then() -> None:
    polite = """
        import signal
        signal.signal(signal.SIGTERM, lambda *_: fail("Cancelled.", "transient_error"))
    """
    with ConnectorProcess({}, catalog(), command=destination(polite, READ_ALL)) as process:
        process.send(stream_state(1))
        process.expect_state()
        result = process.terminate()
    assert (result.exit_code, result.killed, result.error["message"]) == (1, False, "Cancelled.")

    with ConnectorProcess({}, catalog(), command=destination(DEAF, READ_ALL)) as process:
        process.send(stream_state(1))
        process.expect_state()
        result = process.terminate(0.1)
    assert (result.exit_code, result.killed, len(result.states)) == (-9, True, 1)


def test_cancelling_closes_both_pipes_and_kills_then() -> None:
    told = """
        for line in sys.stdin: take(json.loads(line))
        try:
            while True: print('{"type": "LOG", "log": {"level": "INFO", "message": "x"}}', flush=True)
        except BrokenPipeError:
            sys.stdout = None
            sys.exit(7)
    """
    with ConnectorProcess({}, catalog(), command=destination(told)) as process:
        process.send(stream_state(1))
        process.expect_state()
        result = process.cancel()
    assert (result.exit_code, result.killed, len(result.states)) == (7, False, 1)

    stubborn = "for line in sys.stdin: take(json.loads(line))\nimport time; time.sleep(60)"
    with ConnectorProcess({}, catalog(), command=destination(stubborn)) as process:
        process.send(stream_state(1))
        process.expect_state()
        result = process.cancel(0.1)
    assert (result.exit_code, result.killed, len(result.states)) == (-9, True, 1)

    with (
        pytest.raises(Violation, match="traceback"),
        ConnectorProcess({}, catalog(), command=destination(READ_ALL, "raise KeyError")) as process,
    ):
        process.cancel()


def test_a_clear_job_truncates_streams_without_a_record() -> None:
    script = """
        arguments = dict(zip(sys.argv[2::2], sys.argv[3::2]))
        streams = json.load(open(arguments["--catalog"]))["streams"]
        fail(json.dumps([streams, [json.loads(line) for line in sys.stdin]]))
    """
    given = catalog(stream("users", "crm", mode="append_dedup", generation_id=4), stream("orders"))
    streams, lines = json.loads(run_clear({}, given, command=destination(script)).error["message"])
    truncations = [(s["destination_sync_mode"], s["generation_id"], s["minimum_generation_id"]) for s in streams]
    assert truncations == [("append", 5, 5), ("append", 1, 1)]
    assert [line["type"] for line in lines] == ["STATE", "STATE", "TRACE", "TRACE"]
    assert lines[0]["state"]["stream"] == {
        "stream_descriptor": {"name": "users", "namespace": "crm"},
        "stream_state": None,
    }


# Readers and pipes

MANY = [m for n in range(40) for m in (record({"n": n}), stream_state(n, pad="x" * 20_000))]


@pytest.mark.parametrize(
    "reader", [Reader(late_seconds=1.0), Reader(bytes_per_read=20_000, pause_seconds=0.01), Reader(bytes_per_read=977)]
)
def test_however_it_is_read_every_byte_is_judged(reader: Reader) -> None:
    result = run_write({}, catalog(), MANY, command=destination(READ_ALL), reader=reader, silence_seconds=0.9)
    assert result.counts == [(1.0, 0.0)] * 40


def test_a_reader_that_is_late_is_late() -> None:
    with ConnectorProcess({}, catalog(), command=destination(READ_ALL), reader=Reader(late_seconds=1.0)) as process:
        process.send(stream_state(1))
        with pytest.raises(Violation, match="no state came out"):
            process.expect_state(0.5)
        process.expect_state()


HASTY = """
    import os
    def take(message):
        if message["type"] == "STATE":
            message["state"]["destinationStats"] = {"recordCount": 1.0, "rejectedRecordCount": 0.0}
            try:
                os.write(1, json.dumps(message).encode() + b"\\n")
            except BlockingIOError:
                pass
"""


def test_a_destination_that_takes_a_part_of_a_write_for_the_whole_is_found() -> None:
    run_write({}, catalog(), MANY, command=destination(HASTY, READ_ALL))
    with pytest.raises(Violation, match=r"no Airbyte message|came out where|did not come out|has no end"):
        run_write(
            {},
            catalog(),
            MANY,
            command=destination(HASTY, READ_ALL),
            reader=Reader(late_seconds=1.0),
            stdout="nonblocking",
        )


def test_a_process_can_be_stopped_and_goes_on() -> None:
    options = {"silence_seconds": 0.5, "state_gap_seconds": 0.5}
    with ConnectorProcess({}, catalog(), command=destination(READ_ALL), **options) as process:  # type: ignore[arg-type]
        process.send(stream_state(1))
        process.expect_state()
        process.send(stream_state(2))
        process.pause(1.0)
        process.expect_state()


def test_standard_input_can_be_closed_or_refuse_to_wait() -> None:
    script = """
        import os
        try:
            blocking = os.get_blocking(0)
        except OSError as problem:
            fail(f"Standard input: {problem.strerror}")
        fail(f"blocking: {blocking}")
    """
    for kind, words in (("pipe", "blocking: True"), ("nonblocking", "blocking: False"), ("closed", "Bad file")):
        result = run_write({}, catalog(), [record({})], command=destination(script), stdin=kind)
        assert words in result.error["message"]


@pytest.mark.parametrize("stdout", ["closed", "full"])
def test_states_that_nobody_can_get_must_not_end_as_a_success(stdout: str) -> None:
    silent = """
        try:
            for line in sys.stdin: take(json.loads(line))
        except OSError:
            pass
        sys.stdout = None
        import os
    """
    with pytest.raises(Violation, match="1 states did not come out"):
        run_write({}, catalog(), [stream_state(1)], command=destination(silent, "os._exit(0)"), stdout=stdout)
    failed = run_write({}, catalog(), [stream_state(1)], command=destination(silent, "os._exit(1)"), stdout=stdout)
    assert (failed.exit_code, failed.stdout, failed.states) == (1, "", [])


def status(text: str) -> str:
    return f"print(json.dumps({{'type': 'CONNECTION_STATUS', 'connectionStatus': {text}}}))\n"


def test_check_gives_its_status_and_message() -> None:
    script = status("{'status': 'FAILED', 'message': json.load(open(sys.argv[3]))['channel_id']}")
    found = run_check({"channel_id": "c"}, command=destination(f"print({log()!r})\n{script}"))
    assert (found.status, found.message) == ("FAILED", "c")
    assert "hello" in found.output


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        ("", "not one CONNECTION_STATUS"),
        ("print('hello')", "not one CONNECTION_STATUS"),
        (status("{'status': 'SUCCEEDED'}") * 2, "not one CONNECTION_STATUS"),
        (status("{'status': 'FAILED', 'message': 'x'}") + "sys.exit(1)", "exit code 1"),
    ],
)
def test_a_check_that_breaks_the_rules_is_found(script: str, fault: str) -> None:
    with pytest.raises(Violation, match=fault):
        run_check({}, command=destination(script))


def test_what_was_printed_is_searched() -> None:
    result = run_write({}, catalog(), [], command=destination(f"print({log('a@example.com')!r})"), caller=PIPE)
    assert_absent(result, "b@example.com")
    assert_absent(CheckResult("FAILED", None, "key"), "b@example.com")
    with pytest.raises(AssertionError, match="was printed"):
        assert_absent(result, "b@example.com", "a@example.com")
