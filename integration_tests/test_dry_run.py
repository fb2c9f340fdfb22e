"""A dry run reads, and writes nothing: no call, no state, no rejected row; its log and its plan say what would be."""

from __future__ import annotations

import json
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from integration_tests.messages import Row, catalog, records, stream_state
from integration_tests.simulator.process import Simulator

ROWS: list[Row] = [
    {"subscription_id": f"u{n}", "email": "ada@example.com", "city": "Rom", "gone": n % 3 == 0} for n in range(30)
]


def write(connector: Sequence[str], folder: Path, config: dict[str, Any], *options: str) -> tuple[int, list[Any]]:
    """One `write`, and what came out as messages; the platform double would miss the states."""
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "catalog.json").write_text(json.dumps(catalog()))
    lines = [*records(*ROWS, {"email": "eve@example.com"}), stream_state(31)]
    done = subprocess.run(
        [*connector, "write", "--config", folder / "config.json", "--catalog", folder / "catalog.json", *options],
        input="".join(json.dumps(line) + "\n" for line in lines),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("by", ["option", "form"])
def test_nothing_is_written_and_the_log_says_what_would_be(
    simulator: Simulator, connector: Sequence[str], tmp_path: Path, by: str
) -> None:
    store = tmp_path / "rejected"
    store.mkdir()
    config = simulator.connector_config(
        audience_mode="mirror",
        removed_field="gone",
        rejected_records={"storage_type": "local", "destination_path": str(store)},
        advanced={"dry_run": True} if by == "form" else {},
    )
    before = simulator.state()
    plan = tmp_path / "plan.jsonl"
    code, messages = write(connector, tmp_path, config, *(["--dry-run"] if by == "option" else []), "--plan", str(plan))
    assert (code, {message["type"] for message in messages}) == (0, {"LOG"})
    assert {call["method"] for call in simulator.calls()} == {"GET"}
    assert simulator.state() == before
    assert list(store.iterdir()) == []
    log = [message["log"]["message"] for message in messages]
    (summary,) = [line for line in log if line.startswith("Dry run: nothing was sent. ")]
    for what in ("31 rows read, 30 would be", "20 created or updated", "10 unsubscribed", "missing_subscription_id 1"):
        assert what in summary
    shown = [line for line in log if line.startswith("Dry run, would be called: ")]
    assert len(shown) == 10
    assert all("@" not in line and "Rom" not in line for line in shown)
    calls = [json.loads(line) for line in plan.read_text().splitlines()]
    assert sorted(call["path"] for call in calls) == ["/subscription/sync"] * 20 + ["/subscription/unsubscribe"] * 10
    assert calls[-1]["body"]["channelId"] == simulator.channel_id
    assert stat.S_IMODE(plan.stat().st_mode) == 0o600
    assert any(str(plan) in line and "personal data" in line for line in log)


def test_a_plan_needs_a_dry_run(simulator: Simulator, connector: Sequence[str], tmp_path: Path) -> None:
    plan = tmp_path / "plan.jsonl"
    code, messages = write(connector, tmp_path, simulator.connector_config(), "--plan", str(plan))
    assert code == 1
    assert messages[-1]["trace"]["error"]["message"].startswith("--plan writes down the calls of a dry run")
    assert not plan.exists()
    assert simulator.calls() == []
