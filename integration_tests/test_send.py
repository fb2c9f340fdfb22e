"""`send`: a file's rows at CleverPush, by the console command."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from integration_tests.conftest import Calls
from integration_tests.simulator.process import Simulator

CSV = "subscription_id;phone;city\n001;+49151;Köln\n;+49152;\n"


def send(
    connector: Sequence[str], folder: Path, config: dict[str, Any], name: str, content: str, *options: str
) -> tuple[int, list[Any]]:
    """The exit code, and the lines that a pipe gets."""
    (folder / name).write_text(content, encoding="utf-8")
    (folder / "config.json").write_text(json.dumps(config))
    command = [*connector, "send", str(folder / name), "--config", str(folder / "config.json"), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("options", [(), ("--fail-on-rejected",)])
def test_rows_of_a_csv_file(
    connector: Sequence[str], simulator: Simulator, calls: Calls, tmp_path: Path, options: tuple[str, ...]
) -> None:
    found, lines = send(connector, tmp_path, simulator.connector_config(), "people.csv", CSV, *options)
    attributes = {"city": "Köln", "user_id": "001"}
    assert calls() == [("/subscription/sync", {"phoneNumber": "+49151", "customAttributes": attributes}, 200)]
    told = [line["log"]["message"] for line in lines if line["type"] == "LOG"]
    assert any(message.startswith("Rejected: stream 'people', row 2, missing_subscription_id") for message in told)
    assert found == len(options)
    failures = [line["trace"]["error"]["message"] for line in lines if line["type"] == "TRACE"]
    sentence = "1 row was rejected, and --fail-on-rejected makes that a failure. All other rows were delivered."
    assert failures == ([sentence] if options else [])


def test_a_column_that_the_header_lacks_ends_it_before_the_first_call(
    connector: Sequence[str], simulator: Simulator, calls: Calls, tmp_path: Path
) -> None:
    config = simulator.connector_config(field_mapping=[{"source": "id", "destination": "subscription_id"}])
    code, lines = send(connector, tmp_path, config, "people.csv", CSV)
    assert (code, calls()) == (1, [])
    assert "its schema has no 'id' (subscription_id;" in lines[-1]["trace"]["error"]["message"]


def test_json_lines_under_another_name(
    connector: Sequence[str], simulator: Simulator, calls: Calls, tmp_path: Path
) -> None:
    line = json.dumps({"subscription_id": "sub-1", "tags": ["vip"]})
    config = simulator.connector_config("tags")
    code, lines = send(connector, tmp_path, config, "x.jsonl", line, "--stream", "segments", "--complete")
    assert code == 0
    assert calls() == [("/subscription/tag/add", {"subscriptionId": "sub-1", "tagId": "vip"}, 200)]
    assert any("Stream 'segments': 1 rows read, 1 delivered" in one["log"]["message"] for one in lines)
