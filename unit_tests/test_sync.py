"""One sync put together: rows in, calls at CleverPush, states and log lines out."""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from destination_cleverpush.errors import Failure, FailureKind
from destination_cleverpush.sync import Sync
from destination_cleverpush.words import Complete, Row, State, Stream, StreamId
from unit_tests.configurations import NOBODY, make_config
from unit_tests.server import Asked, Canned, Server, said, wait_until
from unit_tests.settlement.keeper import FakeKeeper

LOGGER = logging.getLogger("airbyte.test")
USERS, ORDERS = StreamId("users"), StreamId("orders")
EARLY = "The source ended early: "

Message = Row | State | Complete


def row(position: int, subscription_id: str | None = "", stream: StreamId = USERS) -> Row:
    data = {"subscription_id": f"u{position}" if subscription_id == "" else subscription_id, "email": "a@b.c"}
    return Row(stream, data, 1, 100, position)


def state(number: int, stream: StreamId | None = USERS) -> State:
    return State(stream, 100, number)


def streams(*ids: StreamId, **fields: Any) -> list[Stream]:
    return [Stream(found, {}, **fields) for found in ids or (USERS,)]


def run(sync: Sync, *messages: Message) -> list[tuple[int, int, int]]:
    return list(_settled(sync, [[message] for message in messages]))


def _settled(sync: Sync, batches: Iterable[Sequence[Message]]) -> Iterator[tuple[int, int, int]]:
    for batch in sync.run(batches):
        yield from ((due.state.content, due.delivered, due.rejected) for due in batch)


def ended(sync: Sync, *messages: Message) -> tuple[list[tuple[int, int, int]], Failure]:
    """The states that left, and the failure that ended the sync."""
    found: list[tuple[int, int, int]] = []
    with pytest.raises(Failure) as failed:
        found.extend(_settled(sync, [messages]))
    return found, failed.value


def refusing(*ids: str, status: int = 400) -> Any:
    """An answer that refuses the rows of these subscriptions."""

    def answer(asked: Asked) -> Canned:
        if asked.method == "GET":
            return said(200, {})
        return said(status, "no") if asked.json["customAttributes"]["user_id"] in ids else said(200, {})

    return answer


# --- rows and states


def test_states_leave_with_their_counts() -> None:
    with Server(refusing("u2")) as server:
        found = run(
            Sync(make_config(server.url), streams(USERS, ORDERS), LOGGER),
            *(row(1), row(1, stream=ORDERS), state(1), row(2), row(3, None), row(2, "o2", ORDERS), state(2, None)),
        )
        assert sorted(asked.json["customAttributes"]["user_id"] for asked in server.written) == ["o2", "u1", "u1", "u2"]
    assert found == [(1, 1, 0), (2, 2, 2)]


def test_a_row_of_a_stream_that_is_not_configured_ends_the_sync_after_the_rows_before_it() -> None:
    with Server(said(200, {})) as server:
        sync = Sync(make_config(server.url), streams(USERS, ORDERS), LOGGER)
        found, failure = ended(sync, row(1), state(1), row(1, stream=StreamId("nobody", "crm")), row(2), state(2))
        assert len(server.written) == 1
    assert found == [(1, 1, 0)]
    assert failure.kind is FailureKind.SYSTEM
    assert failure.message.startswith(
        "The source sent a row of the stream 'crm.nobody', which is not in the configured"
    )
    assert "(it has: users, orders)" in failure.message


def test_of_two_streams_of_one_name_the_namespace_must_say_which() -> None:
    namesakes = streams(StreamId("users", "crm"), StreamId("users", "shop"))
    with Server(said(200, {})) as server:
        _, failure = ended(Sync(make_config(server.url), namesakes, LOGGER), row(1))
        assert server.written == []
    assert failure.kind is FailureKind.SYSTEM
    assert failure.message == (
        "The source sent a row of the stream 'users' without a namespace, and the catalog has several streams of that "
        "name: crm.users, shop.users. The rows before it were sent."
    )


def test_a_failure_of_the_source_ends_the_sync_after_what_came_before() -> None:
    def batches() -> Iterator[list[Message]]:
        yield [row(1), state(1)]
        raise Failure(FailureKind.SYSTEM, "Line 3 is odd.")

    found: list[tuple[int, int, int]] = []
    with Server(said(200, {})) as server, pytest.raises(Failure, match=r"Line 3 is odd\."):
        found.extend(_settled(Sync(make_config(server.url), streams(), LOGGER), batches()))
    assert found == [(1, 1, 0)]


def test_a_mapping_that_cannot_work_fails_before_the_first_row() -> None:
    config = make_config(field_mapping=[{"source": "a", "destination": "email"}], unmapped_fields="ignore")
    with pytest.raises(Failure, match="fills no 'subscription_id'"):
        Sync(config, streams(), LOGGER)


def test_a_cancelled_sync_ends_soon_and_says_so() -> None:
    with Server(lambda asked: Canned(silence=30 if asked.method == "POST" else 0)) as server:
        sync = Sync(make_config(server.url), streams(), LOGGER)
        keeper = FakeKeeper(sync._settlement)

        def batches() -> Iterator[list[Message]]:
            yield [state(0), row(1), state(1)]
            wait_until(lambda: bool(server.written))
            sync.cancel("Somebody cancelled it.")

        found: list[tuple[int, int, int]] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("destination_cleverpush.sync.CANCEL_GRACE_SECONDS", 0.2)
            with pytest.raises(Failure) as failed:
                found.extend(_settled(sync, batches()))
    assert found == [(0, 0, 0)]
    assert keeper.hurried == [0.2]
    assert failed.value.kind is FailureKind.TRANSIENT
    assert failed.value.message == (
        "Somebody cancelled it. Rows that were not delivered will be sent with the next attempt."
    )


# --- rejected rows


def test_where_a_rejected_row_is_to_fail_the_sync_its_state_stays_back() -> None:
    with Server(refusing("u2")) as server:
        config = make_config(server.url, on_rejected="fail", advanced={"max_concurrency": 1})
        found, failure = ended(Sync(config, streams(), LOGGER), row(1), state(1), row(2), state(2))
    assert found == [(1, 1, 0)]
    assert failure.kind is FailureKind.CONFIG
    assert failure.message.startswith(
        "A row was rejected, and the configuration says to fail then: stream 'users', row 2"
    )


def test_too_high_a_share_of_rejected_rows_fails_the_sync_at_its_end() -> None:
    with Server(refusing("u2")) as server:
        config = make_config(server.url, max_rejected_ratio=0.1)
        found, failure = ended(Sync(config, streams(), LOGGER), row(1), row(2), state(1))
    assert found == [(1, 1, 1)]
    assert failure.message.startswith("1 of 2 rows were rejected, more than the highest share")


def test_a_stream_of_which_every_row_was_rejected_fails_the_sync() -> None:
    with Server(said(200, {})) as server:
        sync = Sync(make_config(server.url), streams(USERS, ORDERS), LOGGER)
        _, failure = ended(sync, row(1), *(row(n, None, ORDERS) for n in range(20)))
    assert failure.message.startswith(
        "Every row of stream 'orders' was rejected (20 in all), 20 as missing_subscription_id"
    )


def stored(folder: Path) -> list[dict[str, Any]]:
    files = folder.rglob("*.jsonl.gz")
    return [json.loads(line) for file in files for line in gzip.decompress(file.read_bytes()).splitlines()]


def test_rejected_rows_are_stored_before_their_state_leaves(tmp_path: Path) -> None:
    kept = {"storage_type": "local", "destination_path": str(tmp_path)}
    with Server(refusing("u2")) as server:
        sync = Sync(make_config(server.url, rejected_records=kept), streams(sync_id=77), LOGGER)
        batches = _settled(sync, [[row(1), row(2), row(3, None), state(1)]])
        assert next(batches) == (1, 1, 2)
        found = stored(tmp_path)
        assert list(batches) == []
    assert sorted((line["position"], line["code"]) for line in found) == [
        (2, "payload_refused"),
        (3, "missing_subscription_id"),
    ]
    assert {path.parent.name for path in tmp_path.rglob("*.jsonl.gz")} == {"sync-77"}


def test_a_store_that_cannot_be_written_ends_the_sync_and_holds_the_state_back(tmp_path: Path) -> None:
    kept = {"storage_type": "local", "destination_path": str(tmp_path / "none")}
    with Server(refusing("u2")) as server:
        sync = Sync(make_config(server.url, rejected_records=kept), streams(), LOGGER)
        found, failure = ended(sync, row(1), state(1), row(2), state(2))
    assert found == [(1, 1, 0)]
    assert failure.kind is FailureKind.CONFIG
    assert "dead letter store" in failure.message.lower()


# --- what is told


def told(config: dict[str, Any], caplog: pytest.LogCaptureFixture, *ids: str | None) -> list[str]:
    """What a sync of these rows logs."""
    with Server(config.pop("answer")) as server, caplog.at_level(logging.INFO):
        sync = Sync(make_config(server.url, **config), streams(), LOGGER)
        run(sync, *(row(position, found) for position, found in enumerate(ids, 1)))
    return caplog.messages


@pytest.mark.parametrize(("seconds", "expected"), [(0.05, True), (0, False)])
def test_the_progress_has_an_interval_and_can_be_silenced(
    seconds: float, expected: bool, caplog: pytest.LogCaptureFixture
) -> None:
    config = {"answer": Canned(silence=0.3), "advanced": {"progress_interval_seconds": seconds}}
    found = told(config, caplog, "u1", "u2")
    assert any(message.startswith("Progress: ") for message in found) is expected


def test_the_end_is_summed_up_per_stream(caplog: pytest.LogCaptureFixture) -> None:
    found = told({"answer": said(200, {})}, caplog, "u1", "u2", None)
    assert any(line.startswith("Stream 'users': 1 row rejected as missing_subscription_id") for line in found)
    summary = "Stream 'users': 3 rows read, 2 delivered (2 created or updated"
    assert any(line.startswith(summary) and ", 1 rejected (missing_" in line for line in found)


# --- the source's end


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [message for message in caplog.messages if message.startswith(EARLY)]


def test_a_source_that_ended_early_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with Server(said(200, {})) as server:
        sync = Sync(make_config(server.url), streams(USERS, ORDERS, generation_id=3), LOGGER)
        assert run(sync, row(1), state(1), Complete(USERS)) == [(1, 1, 0)]
    assert warnings(caplog) == [
        f"{EARLY}it did not say that it has read 'orders' whole. What it sent was delivered.",
    ]


def test_of_many_streams_a_few_are_named(caplog: pytest.LogCaptureFixture) -> None:
    ids = [StreamId(f"s{number}") for number in range(7)]
    run(Sync(make_config(NOBODY), streams(*ids, generation_id=3), LOGGER))
    (warning,) = warnings(caplog)
    assert "'s0', 's1', 's2', 's3', 's4' and others whole" in warning


@pytest.mark.parametrize(
    ("generation", "messages"), [(3, [row(1), state(1), Complete(USERS)]), (None, [row(1), state(1)])]
)
def test_a_source_that_has_read_all_or_knows_no_generations_did_not_end_early(
    generation: int | None, messages: list[Message], caplog: pytest.LogCaptureFixture
) -> None:
    with Server(said(200, {})) as server:
        run(Sync(make_config(server.url), streams(generation_id=generation), LOGGER), *messages)
    assert warnings(caplog) == []


def test_after_a_failure_it_was_not_the_source_that_ended_early(caplog: pytest.LogCaptureFixture) -> None:
    with Server(said(401)) as server:
        sync = Sync(make_config(server.url), streams(generation_id=3), LOGGER)
        ended(sync, row(1), state(1))
    assert warnings(caplog) == []
