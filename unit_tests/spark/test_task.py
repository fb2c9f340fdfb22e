"""A task feeds its batches into a sync."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from destination_cleverpush.errors import Failure
from destination_cleverpush.spark.options import read_options
from destination_cleverpush.spark.results import Outcome
from destination_cleverpush.spark.task import deliver
from unit_tests.configurations import raw_config
from unit_tests.server import Server, said
from unit_tests.spark.batches import Batch, Column, batch

LOGGER = logging.getLogger("airbyte.test")
COLUMNS = {"subscription_id": None, "email": None, "price": float}


def run(url: str, *batches: Batch, **fields: Any) -> Outcome:
    options = {
        "secret_config": json.dumps(raw_config(url, unmapped_fields="send", **fields)),
        "assume_partitioned": "true",
        "tasks_at_once": "2",
    }
    return deliver(iter(batches), COLUMNS, read_options(options, LOGGER), "job-task-0-attempt-1", LOGGER)


def people(first: int, count: int) -> Batch:
    numbers = range(first, first + count)
    return batch([f"u{n}" for n in numbers], ["a@b.c"] * count, [None if n % 2 else "1.5" for n in numbers])


def test_rows_become_calls_and_counts() -> None:
    with Server(said(200, {})) as server:
        found = run(server.url, people(0, 0), people(0, 700), people(700, 1))
        bodies = {asked.json["customAttributes"]["user_id"]: asked.json for asked in server.written}
    assert set(bodies) == {f"u{n}" for n in range(701)}
    assert bodies["u0"]["customAttributes"] == {"user_id": "u0", "price": 1.5}
    assert bodies["u1"]["customAttributes"] == {"user_id": "u1"}
    assert (found.read, found.counts.delivered, found.calls) == (701, 701, 701)
    assert found.done == {"created or updated": 701}


def test_a_task_without_rows_calls_nobody() -> None:
    with Server(said(200, {})) as server:
        assert run(server.url, people(0, 0)) == Outcome()
        assert server.asked == []


def test_rejected_rows_are_counted_and_kept_by_task_and_attempt_and_not_judged(tmp_path: Path) -> None:
    store = {"storage_type": "local", "destination_path": str(tmp_path)}
    nobody = batch([None] * 1_100, ["a@b.c"] * 1_100, [None] * 1_100)
    with Server(said(200, {})) as server:
        found = run(server.url, nobody, max_rejected_ratio=0, rejected_records=store)
    assert found.counts.rejected.total() == 1_100
    assert [file.parent.name for file in tmp_path.rglob("*.jsonl.gz")] == ["job-task-0-attempt-1"]


def test_the_first_rejected_row_fails_it_where_the_user_says_so() -> None:
    with Server(said(200, {})) as server, pytest.raises(Failure, match="stream 'rows', row 2, missing_subscription_id"):
        run(server.url, people(0, 1), batch([None], [None], [None]), on_rejected="fail")


def test_times_that_python_cannot_hold_are_told_by_their_column() -> None:
    with Server(said(200, {})) as server, pytest.raises(Failure, match="The column 'price' holds a time outside"):
        run(server.url, Batch([*people(0, 1).columns[:2], Column([None], late=True)], 1))


def test_what_nobody_foresaw_is_told_without_the_row() -> None:
    with Server(said(200, {})) as server, pytest.raises(Failure, match=r"failed unexpectedly \(ValueError\)") as failed:
        run(server.url, batch(["u1"], ["a@b.c"], ["secret"]))
    assert failed.value.__cause__ is None
    assert failed.value.__suppress_context__
