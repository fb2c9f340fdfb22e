"""Rows that CleverPush cannot take: told, counted and kept, while the others go on."""

from __future__ import annotations

import gzip
import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import requests

from integration_tests.conftest import Calls
from integration_tests.messages import Message, Row, catalog, record, records, stream, stream_state
from integration_tests.platform_double import ConnectorProcess, assert_absent, run_write
from integration_tests.simulator.process import Simulator

GOOD = {"subscription_id": "u0", "email": "ada@example.com"}
REFUSED: dict[str, Row] = {
    "missing_subscription_id": {"subscription_id": " ", "email": "bob@example.com"},
    "invalid_subscription_id": {"subscription_id": ["u2"], "email": "cid@example.com"},
    "invalid_value": {"subscription_id": "u3", "email": ["dan@example.com", "dan@example.org"]},
    "unknown_topic": {"subscription_id": "u5", "email": "fay@example.com", "topics": "news,gossip"},
    "contact_required": {"subscription_id": "u6", "city": "Bonn"},
    "payload_refused": {"subscription_id": "u7", "email": "gus at example.com", "phone": "+49 151 2345678"},
}
PRIVATE = "bob@", "cid@", "dan@", "fay@", "gus at", "2345678", "Bonn"


def with_states(*rows: Row, name: str = "users") -> list[Message]:
    """Each row, and a state after it that has the row's number from 1."""
    return [m for n, row in enumerate(rows, 1) for m in (record(row, name), stream_state(n, name))]


def test_each_refused_row_is_told_and_counted_and_can_be_sent_again(
    simulator: Simulator, connector: Sequence[str], calls: Calls, tmp_path: Path
) -> None:
    config = simulator.connector_config(rejected_records={"storage_type": "local", "destination_path": str(tmp_path)})
    result = run_write(config, catalog(), with_states(GOOD, *REFUSED.values(), GOOD))

    assert result.exit_code == 0
    assert result.counts == [(1, 0)] + [(0, 1)] * 6 + [(1, 0)]
    assert [body["customAttributes"]["user_id"] for _, body, status in calls() if status == 200] == ["u0", "u0"]
    told = sorted(w for w in result.warnings if w.startswith("Rejected: "))
    for number, (code, row) in enumerate(REFUSED.items(), 2):
        whose = f", subscription_id '{row['subscription_id']}'" if f"{row['subscription_id']}"[0] == "u" else ""
        assert told[number - 2].startswith(f"Rejected: stream 'users', row {number}{whose}, {code}: ")
    assert any("gossip" in line for line in told)  # IDs of topics help to mend it, and are nobody's
    (summary,) = (log.message for log in result.logs if log.message.startswith("Stream 'users': 8 rows read"))
    assert "2 delivered (2 created or updated" in summary
    assert ", 6 rejected (" in summary
    assert all(f"{code} 1" in summary for code in REFUSED)
    assert_absent(result, *PRIVATE, simulator.api_key)

    stored = b"".join(gzip.decompress(path.read_bytes()) for path in tmp_path.rglob("*.gz"))
    kept = [json.loads(line) for line in stored.splitlines()]
    assert len(kept) == 6
    assert {row["code"]: row["data"] for row in kept} == REFUSED

    # u6 has come to CleverPush by another way, and can now be updated.
    body = {"channelId": "Channel-1", "emailAddress": "fox@example.com", "customAttributes": {"user_id": "u6"}}
    headers = {"Authorization": simulator.api_key}
    requests.post(f"{simulator.url}/subscription/sync", json=body, headers=headers, timeout=10).raise_for_status()
    replay = [*connector, "replay", "--from", str(tmp_path), "--code", "contact_required"]
    replayed = subprocess.run(replay, capture_output=True, text=True, check=True).stdout.splitlines()
    again = run_write(config, catalog(), [*replayed, stream_state(1)])
    assert (again.exit_code, again.counts) == (0, [(1, 0)])
    assert simulator.by_user()["u6"]["customAttributes"] == {"user_id": "u6", "city": "Bonn"}


def test_refused_tags(simulator: Simulator) -> None:
    rows: dict[str, Row] = {
        "missing_tags": {"subscription_id": "sub-1", "tags": " , "},
        "invalid_tags": {"subscription_id": "sub-1", "tags": {"vip": True}},
        "unknown_tag": {"subscription_id": "sub-1", "tags": "vip,vpi"},
        "not_found": {"subscription_id": "u1", "tags": "vip"},
    }
    good: Row = {"subscription_id": "sub-2", "tags": "vip"}
    result = run_write(simulator.connector_config("tags"), catalog(), with_states(*rows.values(), good))
    assert result.exit_code == 0
    assert result.counts == [(0, 1)] * 4 + [(1, 0)]
    for code, row in rows.items():
        assert any(f"'{row['subscription_id']}', {code}: " in warning for warning in result.warnings)
    assert any("vpi" in warning for warning in result.warnings)
    assert any("Channel Settings > Tags" in warning for warning in result.warnings)


def test_many_refused_rows_are_summed_up(simulator: Simulator) -> None:
    bad: list[Row] = [{"subscription_id": "", "email": f"p{n}@example.com"} for n in range(150)]
    result = run_write(simulator.connector_config(), catalog(), [*records(*bad, GOOD), stream_state(1), *records(*bad)])
    assert (result.exit_code, result.counts) == (0, [(1, 150)])
    assert len([w for w in result.warnings if w.startswith("Rejected: ")]) == 100
    assert any("300 rows rejected as missing_subscription_id" in w for w in result.warnings)
    (summary,) = (log.message for log in result.logs if log.message.startswith("Stream 'users': 301 rows read"))
    assert "1 delivered (1 created or updated" in summary
    assert ", 300 rejected (missing_subscription_id 300)" in summary
    assert len(result.warnings) == 103  # with that there are more, the count of the reason, and how the sync ended
    assert_absent(result, "@example.com")


def test_the_first_refused_row_can_fail_the_sync(simulator: Simulator) -> None:
    first, its_state, *others = with_states(GOOD, REFUSED["unknown_topic"], GOOD)
    with ConnectorProcess(simulator.connector_config(on_rejected="fail"), catalog()) as process:
        process.send(first, its_state)
        process.expect_state()  # what is not on its way yet when the sync ends is left to the next one
        process.send(*others)
        result = process.finish()
    assert (result.exit_code, result.error["failure_type"]) == (1, "config_error")
    assert "stream 'users', row 2, subscription_id 'u5', unknown_topic: " in result.error["message"]
    assert result.counts == [(1, 0)]  # the refused row stays before the last state, and comes again
    assert_absent(result, *PRIVATE)


def test_too_large_a_share_of_refused_rows_ends_the_sync_early(simulator: Simulator) -> None:
    taken = 0

    def rows() -> Iterator[Message]:
        nonlocal taken
        for taken in range(50_000):
            yield record(GOOD if taken % 4 == 0 else REFUSED["missing_subscription_id"])

    result = run_write(simulator.connector_config(max_rejected_ratio=0.5), catalog(), rows())
    assert (result.exit_code, result.error["failure_type"]) == (1, "config_error")
    assert "missing_subscription_id" in result.error["message"]
    assert 1_000 <= taken < 49_999


def test_the_share_of_few_rows_is_judged_at_the_end(simulator: Simulator) -> None:
    messages = with_states(REFUSED["missing_subscription_id"], GOOD, GOOD, GOOD)
    result = run_write(simulator.connector_config(max_rejected_ratio=0.2), catalog(), messages)
    assert (result.exit_code, result.error["failure_type"]) == (1, "config_error")
    assert "1 of 4 rows were rejected" in result.error["message"]
    assert result.counts == [(0, 1), (1, 0), (1, 0), (1, 0)]


def test_a_stream_without_a_good_row_fails_the_sync_after_its_states(simulator: Simulator) -> None:
    bad = [REFUSED["unknown_topic"]] * 8 + [REFUSED["contact_required"]] * 12
    messages = [*with_states(*bad, name="orders"), *with_states(GOOD), stream_state(9, "orders")]
    result = run_write(simulator.connector_config(), catalog(stream("orders"), stream("users")), messages)
    error: dict[str, Any] = result.error
    assert (result.exit_code, error["failure_type"]) == (1, "config_error")
    assert "'orders'" in error["message"]
    assert "12 as contact_required" in error["message"]
    assert "Map at least one contact field" in error["message"]
    assert result.counts == [(0, 1)] * 20 + [(1, 0), (0, 0)]
