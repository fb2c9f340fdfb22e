from __future__ import annotations

import json
import logging
import re
from typing import Any

import pytest

from destination_cleverpush.answers import Answer, Verdict
from destination_cleverpush.config import parse_config
from destination_cleverpush.delivery.dispatcher import Dispatcher
from destination_cleverpush.pipeline import Progress, Sync
from destination_cleverpush.protocol import parse_lines
from unit_tests.configurations import catalog, raw_config
from unit_tests.delivery.simulation import row
from unit_tests.server import Canned, Server, said

LOGGER = logging.getLogger("airbyte.test")


def lines(*ids: str | None) -> list[bytes]:
    records = [{"stream": "users", "emitted_at": 1, "data": {"subscription_id": i, "email": "a@b.c"}} for i in ids]
    return [json.dumps({"type": "RECORD", "record": record}).encode() for record in records]


def told(config: dict[str, Any], caplog: pytest.LogCaptureFixture, *ids: str | None) -> list[str]:
    """What a sync of these rows logs."""
    sync = Sync(parse_config(config), catalog("users"), LOGGER)
    with caplog.at_level(logging.INFO):
        list(sync.run(parse_lines([lines(*ids)])))
    return [record.getMessage() for record in caplog.records]


def test_the_progress_is_told_while_something_changes(caplog: pytest.LogCaptureFixture) -> None:
    dispatcher = Dispatcher(4, None, lambda _row, _answer: None)
    progress = Progress(dispatcher, LOGGER)
    with caplog.at_level(logging.INFO):
        progress.tell()
        progress.tell()
        dispatcher.add_row(row("a"))
        progress.tell()
        attempt = dispatcher.next(0.0)
        progress.tell()
        dispatcher.answered(attempt, Answer(Verdict.THROTTLED, delay=30.0), 1.0)
        progress.tell()
        progress.tell()
    found = [record.getMessage() for record in caplog.records]
    assert len(found) == 4, found
    assert found[0].startswith("Progress: 0 rows read, 0 delivered, 0 rejected; 0 calls per second, 0 in flight")
    assert found[1].startswith("Progress: 1 rows read, 0 delivered, 0 rejected; 0 calls per second, 0 in flight")
    assert re.search(r"[1-9]\d* calls per second, 1 in flight \(limit 4\), 0 retries", found[2])
    assert found[3].endswith("0 retries, throttled for 30 s.")


@pytest.mark.parametrize(("seconds", "expected"), [(0.05, True), (0, False)])
def test_the_progress_has_an_interval_and_can_be_silenced(
    seconds: float, expected: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with Server(Canned(silence=0.3)) as server:
        found = told(raw_config(server.url, advanced={"progress_interval_seconds": seconds}), caplog, "u1", "u2")
    assert any(message.startswith("Progress: ") for message in found) is expected


def test_the_end_is_summed_up_per_stream(caplog: pytest.LogCaptureFixture) -> None:
    with Server(said(200, {})) as server:
        found = told(raw_config(server.url), caplog, "u1", "u2", None)
    assert found[-2].startswith("Stream 'users': 1 row rejected as missing_subscription_id. ")
    assert found[-1].startswith("Stream 'users': 3 rows read, 2 delivered, 1 rejected (missing_subscription_id 1), 2")
