"""The connector as Python sees it: the CDK's interface."""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any, cast

import pytest
from airbyte_cdk.destinations import Destination
from airbyte_cdk.models import (
    AirbyteMessage,
    AirbyteMessageSerializer,
    AirbyteStateStats,
    ConfiguredAirbyteCatalogSerializer,
    FailureType,
    Status,
    Type,
)
from airbyte_cdk.utils.airbyte_secrets_utils import update_secrets
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_cleverpush import DestinationCleverpush, checks
from destination_cleverpush.airbyte import destination
from destination_cleverpush.airbyte.destination import _cancel_on_signals
from destination_cleverpush.airbyte.output import Output
from destination_cleverpush.sync import Sync
from unit_tests.configurations import CHANNEL, KEY, NOBODY, catalog, raw_config
from unit_tests.server import Asked, Canned, Server, said

LOGGER = logging.getLogger("airbyte")


def record(**data: Any) -> AirbyteMessage:
    message = {"type": "RECORD", "record": {"stream": "users", "emitted_at": 1, "data": data}}
    return AirbyteMessageSerializer.load(message)


def state(cursor: int) -> AirbyteMessage:
    stream = {"stream_descriptor": {"name": "users"}, "stream_state": {"cursor": cursor}}
    return AirbyteMessageSerializer.load({"type": "STATE", "state": {"type": "STREAM", "stream": stream}})


def write(config: dict[str, Any], *messages: AirbyteMessage) -> list[AirbyteMessage]:
    configured = ConfiguredAirbyteCatalogSerializer.load(catalog("users"))
    return list(DestinationCleverpush().write(config, configured, messages))


def test_it_is_a_destination_with_a_spec() -> None:
    destination = DestinationCleverpush()
    assert isinstance(destination, Destination)
    spec = destination.spec(LOGGER)
    assert spec.connectionSpecification["required"] == ["channel_id", "api_key", "object_type"]
    assert [mode.value for mode in spec.supported_destination_sync_modes or []] == [
        "append",
        "append_dedup",
        "overwrite",
        "update",
        "soft_delete",
    ]


def test_messages_in_states_out() -> None:
    log = AirbyteMessageSerializer.load({"type": "LOG", "log": {"level": "INFO", "message": "hi"}})
    with Server(said(200, {})) as server:
        found = write(raw_config(server.url), record(subscription_id="u1", email="a@b.c"), log, state(1))
        assert [asked.json["customAttributes"] for asked in server.written] == [{"user_id": "u1"}]
    (message,) = found
    assert message.type is Type.STATE
    assert message.state is not None
    assert message.state.stream is not None
    assert message.state.stream.stream_state is not None
    assert message.state.stream.stream_state.__dict__ == {"cursor": 1}
    assert message.state.destinationStats is not None
    assert message.state.destinationStats.recordCount == 1.0


def test_a_failure_is_raised_after_the_states_that_are_done() -> None:
    def answer(asked: Asked) -> Canned:
        if asked.method == "GET":
            return said(404, "Not found")
        return said(401 if asked.json["customAttributes"]["user_id"] == "u2" else 200, {})

    with Server(answer) as server:
        configured = ConfiguredAirbyteCatalogSerializer.load(catalog("users"))
        messages = [record(subscription_id="u1"), state(1), record(subscription_id="u2"), state(2)]
        config = raw_config(server.url, advanced={"max_concurrency": 1})
        found = DestinationCleverpush().write(config, configured, messages)
        assert json.dumps(AirbyteMessageSerializer.dump(next(iter(found)))).count('"cursor": 1') == 1
        with pytest.raises(AirbyteTracedException) as failure:
            list(found)
    assert failure.value.failure_type is FailureType.config_error
    assert "invalid API key" in str(failure.value.message)


def test_a_reader_that_stops_early_stops_the_sync() -> None:
    with Server(said(200, {})) as server:
        configured = ConfiguredAirbyteCatalogSerializer.load(catalog("users"))
        endless = (message for n in range(10**9) for message in (record(subscription_id=f"u{n}"), state(n)))
        found = iter(DestinationCleverpush().write(raw_config(server.url), configured, endless))
        next(found)
        found.close()  # type: ignore[attr-defined]
        asked = len(server.written)
    assert asked < 10**5


def test_check() -> None:
    with Server(lambda _: said(200, {"channels": [{"_id": CHANNEL}]})) as server:
        assert DestinationCleverpush().check(LOGGER, raw_config(server.url)).status is Status.SUCCEEDED
    with Server(said(401)) as server:
        refused = DestinationCleverpush().check(LOGGER, raw_config(server.url))
    assert refused.status is Status.FAILED
    assert str(refused.message).startswith("Authentication failed: invalid API key")
    assert KEY not in str(refused.message)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"object_type": "users"}, "object_type"),
        ({"advanced": {"max_concurrency": 0}}, "advanced.max_concurrency"),
        ({"advanced": {"base_url": "http://example.com"}}, "advanced.base_url"),
        ({"field_mapping": [{"source": "a"}]}, "field_mapping.0.destination"),
        ({"field_mapping": [{"source": "a", "destination": "email"}], "unmapped_fields": "ignore"}, "subscription_id"),
    ],
)
def test_check_names_the_field_that_the_form_forbids(fields: dict[str, Any], named: str) -> None:
    status = DestinationCleverpush().check(LOGGER, raw_config(**fields))
    assert status.status is Status.FAILED
    assert f"'{named}'" in str(status.message)


def test_a_signal_cancels_from_a_thread_of_its_own_and_has_ended_the_process_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a signal interrupts in the main thread may hold the delivery's lock, halfway through its bookkeeping."""
    happened: SimpleQueue[tuple[str, object]] = SimpleQueue()
    sync = SimpleNamespace(cancel=lambda: happened.put(("cancel", threading.current_thread())))
    output = SimpleNamespace(hurry=lambda seconds: happened.put(("hurry", seconds)))
    monkeypatch.setattr(destination, "CANCEL_SECONDS", 0.05)
    monkeypatch.setattr(os, "_exit", lambda code: happened.put(("exit", code)))
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        _cancel_on_signals(cast(Sync, sync), cast(Output, output))
        signal.raise_signal(signal.SIGTERM)
        found = [happened.get(timeout=5) for _ in range(3)]
        signal.raise_signal(signal.SIGTERM)
        assert happened.get(timeout=5) == ("exit", 128 + signal.SIGTERM), "the second one does not wait"
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert [what for what, _ in found] == ["hurry", "cancel", "exit"]
    assert found[0][1] == 0.05
    assert found[1][1] is not threading.main_thread()


# --- what is told before the first row


def notices(caplog: pytest.LogCaptureFixture, configured: dict[str, Any], **fields: Any) -> list[tuple[str, str]]:
    with caplog.at_level(logging.INFO):
        streams = ConfiguredAirbyteCatalogSerializer.load(configured)
        list(DestinationCleverpush().write(raw_config(NOBODY, **fields), streams, []))
    found = ((record.levelname, record.getMessage()) for record in caplog.records)
    return [(level, message) for level, message in found if "overwrite" in message]


def test_overwrite_without_mirror_is_warned_of_once_per_stream(caplog: pytest.LogCaptureFixture) -> None:
    advice = (
        "Use the audience sync mode Mirror to remove rows that are marked as removed, and Change Tracking to remove "
        "those who are absent, too."
    )
    found = notices(caplog, catalog("users", "orders", mode="overwrite"))
    assert [level for level, _ in found] == ["WARNING", "WARNING"]
    assert [notice for _, notice in found] == [
        f"Stream '{stream}' is in overwrite mode, but nothing that is absent from the source is removed from "
        f"CleverPush. {advice}"
        for stream in ("users", "orders")
    ]


def test_overwrite_with_mirror_is_told_what_mirror_removes(caplog: pytest.LogCaptureFixture) -> None:
    ((level, notice),) = notices(
        caplog, catalog("users", mode="overwrite"), audience_mode="mirror", removed_field="gone"
    )
    assert level == "INFO"
    assert "Mirror removes the rows that the column 'gone' marks, and no others" in notice
    assert notice.endswith("; with Change Tracking, it removes those who are absent, too.")


def test_append_needs_no_notice_unless_the_generation_says_that_all_is_new(caplog: pytest.LogCaptureFixture) -> None:
    appending = catalog("users")
    assert notices(caplog, appending) == []
    appending["streams"][0] |= {"generation_id": 4, "minimum_generation_id": 4, "sync_id": 9}
    assert [level for level, _ in notices(caplog, appending)] == ["WARNING"]


def test_a_difference_to_what_the_source_counted_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    found = [state(1), state(2)]
    for message in found:
        assert message.state is not None
        message.state.sourceStats = AirbyteStateStats(recordCount=5.0)
    with Server(said(200, {})) as server:
        write(raw_config(server.url), record(subscription_id="u1"), *found)
    assert [message for message in caplog.messages if "counted" in message] == [
        (
            "Stream 'users': the source counted 5 records before a state, and 1 came here. If this goes on, records "
            "are lost or doubled between the source and this destination."
        )
    ]


# --- the console command


@pytest.fixture
def _own_logger() -> Iterator[None]:
    before = (LOGGER.handlers, LOGGER.propagate, LOGGER.level)
    yield
    LOGGER.handlers, LOGGER.propagate = before[0], before[1]
    LOGGER.setLevel(before[2])
    update_secrets([])


class Console:
    """The console command with its files, run within this process."""

    def __init__(self, folder: Path, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch
        self.config, self.catalog = folder / "config.json", folder / "catalog.json"
        self.config.write_text(json.dumps(config))
        self.catalog.write_text(json.dumps(catalog("users")))

    def run(self, *args: str, lines: bytes = b"") -> tuple[int, list[Any]]:
        """The exit code and the messages."""
        written = io.BytesIO()
        self._patch.setattr(sys, "stdout", SimpleNamespace(buffer=written, isatty=lambda: False))
        self._patch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(lines)))
        self._patch.setattr(destination, "_cancel_on_signals", lambda *_: None)
        try:
            DestinationCleverpush().run(list(args))
            code: Any = 0
        except SystemExit as end:
            code = end.code
        return code, [json.loads(line) for line in written.getvalue().splitlines()]

    def write(self, lines: bytes) -> tuple[int, list[Any]]:
        return self.run("write", "--config", str(self.config), "--catalog", str(self.catalog), lines=lines)


ROW = b'{"type":"RECORD","record":{"stream":"users","data":{"subscription_id":"u1"}}}\n'
STATE = b'{"type":"STATE","state":{"id":7,"data":{"n":1.10}}}\n'


@pytest.mark.usefixtures("_own_logger")
def test_lines_in_lines_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(said(200, {})) as server:
        code, found = Console(tmp_path, raw_config(server.url), monkeypatch).write(ROW + STATE)
    assert code == 0
    stats = {"recordCount": 1.0, "rejectedRecordCount": 0.0}
    assert [message for message in found if message["type"] == "STATE"] == [
        {"type": "STATE", "state": {"id": 7, "data": {"n": 1.10}, "destinationStats": stats}}
    ]
    assert {message["type"] for message in found} == {"STATE", "LOG"}


@pytest.mark.usefixtures("_own_logger")
def test_a_failure_is_told_in_a_trace_after_the_states(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(said(200, {})) as server:
        code, found = Console(tmp_path, raw_config(server.url), monkeypatch).write(ROW + STATE + b'{"bob@example.com\n')
    assert code == 1
    assert [message["type"] for message in found if message["type"] != "LOG"] == ["STATE", "TRACE"]
    assert found[-1]["trace"]["error"]["failure_type"] == "system_error"
    assert found[-1]["trace"]["error"]["message"].startswith("Line 3 of the input is not a readable Airbyte message")
    assert "bob@example.com" not in json.dumps(found)


@pytest.mark.usefixtures("_own_logger")
def test_a_defect_is_told_by_its_kind_and_place_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError("@".join(("bob", "example.com")))  # the trace shows lines of code, but no values

    monkeypatch.setattr(destination, "read_catalog", fail)
    code, found = Console(tmp_path, raw_config(NOBODY), monkeypatch).write(ROW)
    error = found[-1]["trace"]["error"]
    assert code == 1
    assert error["failure_type"] == "system_error"
    assert error["message"].startswith("The connector failed unexpectedly (ZeroDivisionError). ")
    assert "in fail" in error["stack_trace"]
    assert "bob@example.com" not in json.dumps(found)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "The configuration file {} cannot be read: No such file or directory."),
        ("[]", "The configuration file {} does not hold a JSON object."),
    ],
)
@pytest.mark.usefixtures("_own_logger")
def test_a_configuration_file_that_cannot_be_used(
    content: str | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = Console(tmp_path, {}, monkeypatch)
    console.config.unlink()
    if content is not None:
        console.config.write_text(content)
    code, found = console.run("check", "--config", str(console.config))
    assert code == 1
    assert found[-1]["trace"]["error"]["message"] == message.format(console.config)


@pytest.mark.usefixtures("_own_logger")
def test_byte_order_marks_before_the_files_and_the_input_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = b"\xef\xbb\xbf"
    with Server(said(200, {})) as server:
        console = Console(tmp_path, raw_config(server.url), monkeypatch)
        for path in (console.config, console.catalog):
            path.write_bytes(mark + path.read_bytes())
        code, found = console.write(mark + ROW + STATE)
    assert code == 0
    assert [message["type"] for message in found if message["type"] != "LOG"] == ["STATE"]
    assert not any("passed over" in json.dumps(message) for message in found)


@pytest.mark.usefixtures("_own_logger")
def test_the_command_check_hides_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(said(401)) as server:
        console = Console(tmp_path, raw_config(server.url, api_key=f" {KEY} "), monkeypatch)
        code, found = console.run("check", "--config", str(console.config))
    assert code == 0
    assert found[-1]["type"] == "CONNECTION_STATUS"
    assert found[-1]["connectionStatus"]["status"] == "FAILED"
    assert KEY not in json.dumps(found)


@pytest.mark.parametrize("blanks", ["", " "])
@pytest.mark.usefixtures("_own_logger")
def test_the_key_is_hidden_in_the_log_whoever_tells_it(
    blanks: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "check_connection", lambda *_: LOGGER.warning("It is '%s'.", KEY))
    console = Console(tmp_path, raw_config(api_key=f"{blanks}{KEY}{blanks}"), monkeypatch)
    _, found = console.run("check", "--config", str(console.config))
    assert found[0]["log"]["message"] == "It is '****'."


@pytest.mark.parametrize("args", [[], ["discover"], ["unknown"], ["write", "--config", "x"], ["check"]])
def test_a_wrong_command_line_ends_with_code_2(args: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        DestinationCleverpush().run(args)
    assert end.value.code == 2


@pytest.mark.usefixtures("_own_logger")
def test_an_output_that_cannot_be_written_is_told_on_standard_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(SystemExit) as end:
            DestinationCleverpush().run(["spec"])
    assert end.value.code == 1
    assert "destination-cleverpush: Standard output cannot be written (No space left" in capsys.readouterr().err


@pytest.mark.usefixtures("_own_logger")
def test_a_reader_that_has_gone_is_no_failure_to_tell(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as gone:
        monkeypatch.setattr(sys, "stdout", gone)
        with pytest.raises(SystemExit) as end:
            DestinationCleverpush().run(["spec"])
    assert end.value.code == 1
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("_own_logger")
def test_a_closed_input_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(tmp_path, raw_config(), monkeypatch)
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=written, isatty=lambda: False))
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(SystemExit):
        DestinationCleverpush().run(["write", "--config", str(console.config), "--catalog", str(console.catalog)])
    error = json.loads(written.getvalue().splitlines()[-1])["trace"]["error"]
    assert error["message"] == "Standard input is closed: there are no messages to deliver."
