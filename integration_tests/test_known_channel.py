"""What the channel has is known before the first row: tags, topics, attributes; and what it lacks is told."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from integration_tests.conftest import Calls
from integration_tests.messages import Row, catalog, record, records, stream, stream_state
from integration_tests.platform_double import WriteResult, run_check, run_write
from integration_tests.simulator.model import POISON
from integration_tests.simulator.process import Simulator


def write(simulator: Simulator, object_type: str, *rows: Row, schema: Any = None, **fields: Any) -> WriteResult:
    config = simulator.connector_config(object_type, **fields)
    return run_write(config, catalog(stream(schema=schema)), [*records(*rows), stream_state(len(rows))])


def test_which_tag_was_unknown_is_told_in_the_log_the_summary_and_the_dead_letter_row(
    simulator: Simulator, calls: Calls, tmp_path: Path
) -> None:
    kept = {"storage_type": "local", "destination_path": str(tmp_path)}
    rows: list[Row] = [{"subscription_id": "sub-1", "tags": ["vip", "news-de", "news"]}]
    rows += [{"subscription_id": f"sub-{n}", "tags": ["news-de", "churn"]} for n in (2, 3)]
    result = write(simulator, "tags", *rows, rejected_records=kept, advanced={"max_concurrency": 1})

    assert result.counts == [(0.0, 3.0)]
    assert [body["tagId"] for _, body, _ in calls()].count("news-de") == 1
    held = {s["id"]: s["tags"] for s in simulator.state("Channel-1")["subscriptions"]}
    assert held == {"sub-1": ["news", "vip"], "sub-2": ["churn"], "sub-3": ["churn"], "42": []}
    rejections = [warning for warning in result.warnings if warning.startswith("Rejected: ")]
    assert len(rejections) == 3
    assert all(", unknown_tag: " in warning and "At fault: 'news-de'." in warning for warning in rejections)
    assert any("3 rows rejected as unknown_tag: news-de 3 rows." in warning for warning in result.warnings)
    (file,) = tmp_path.rglob("*.jsonl.gz")
    stored = [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]
    assert [line["code"] for line in stored] == ["unknown_tag"] * 3
    assert all("'news-de'" in line["reason"] for line in stored)
    assert result.warnings[0].startswith("The channel has no tag with the ID 'news-de'.")


def test_tags_by_name_become_ids(simulator: Simulator, calls: Calls) -> None:
    rows: list[Row] = [{"subscription_id": "sub-1", "tags": "VIP, News"}, {"subscription_id": "sub-2", "tags": "vipp"}]
    result = write(simulator, "tags", *rows, tags_are_names=True)
    assert [body["tagId"] for _, body, _ in calls()] == ["vip", "news"]
    assert result.counts == [(1.0, 1.0)]
    assert "(nearest: 'vip'" in " ".join(result.warnings)


def test_names_that_cannot_be_looked_up_end_the_sync_before_the_first_call(simulator: Simulator, calls: Calls) -> None:
    simulator.behave(forbidden=["tags"])
    result = write(simulator, "tags", {"subscription_id": "sub-1", "tags": "VIP"}, tags_are_names=True)
    assert result.error["failure_type"] == "config_error"
    assert (calls(), result.states) == ([], [])


ROW: Row = {"subscription_id": "u1", "email": "a@b.example", "city": "Rom", "plan": "gold"}


def test_a_column_without_an_attribute_is_left_out_and_told(simulator: Simulator, calls: Calls) -> None:
    schema = {"type": "object", "properties": {name: {"type": "string"} for name in ROW}}
    result = write(simulator, "subscriptions", ROW, schema=schema)
    assert [body["customAttributes"] for _, body, _ in calls()] == [{"city": "Rom", "user_id": "u1"}]
    (warning,) = result.warnings
    assert warning.startswith("Stream 'users': the channel has no custom attribute with the ID 'plan' (left out;")


def test_where_the_attributes_cannot_be_read_all_columns_are_sent(simulator: Simulator) -> None:
    simulator.behave(forbidden=["config", "topics"])
    result = write(simulator, "subscriptions", ROW)
    sent = [call["json"]["customAttributes"] for call in simulator.calls() if call["path"] == "/subscription/sync"]
    assert sent == [{"city": "Rom", "plan": "gold", "user_id": "u1"}]
    assert [w.partition(" cannot be read")[0] for w in result.warnings[:2]] == [
        "The channel's topics",
        "The channel's attributes",
    ]


@pytest.mark.parametrize("object_type", ["subscriptions", "tags"])
def test_secrets_of_the_account_are_told_and_kept_nowhere(
    simulator: Simulator, object_type: str, tmp_path: Path
) -> None:
    kept = {"storage_type": "local", "destination_path": str(tmp_path)}
    config = simulator.connector_config(object_type, rejected_records=kept, audience_mode="remove")
    checked = run_check(config)
    result = run_write(config, catalog(), [record({"subscription_id": "x", "tags": "no"}), stream_state(1)])
    assert POISON not in checked.output + result.stdout + result.stderr
    assert not [file for file in tmp_path.rglob("*.gz") if POISON.encode() in gzip.decompress(file.read_bytes())]
