"""The dead letter store in a directory, as the console command tells of it and reads from it."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from integration_tests.messages import Message, catalog, records
from integration_tests.platform_double import CONNECTOR
from integration_tests.simulator.process import Simulator

GOOD = {"subscription_id": "u0", "email": "ada@example.com"}


def complete() -> Message:
    """The source has read the stream whole."""
    status = {"stream_descriptor": {"name": "users"}, "status": "COMPLETE"}
    return {"type": "TRACE", "trace": {"type": "STREAM_STATUS", "emitted_at": 1, "stream_status": status}}


@pytest.mark.parametrize("in_kubernetes", [True, False])
@pytest.mark.parametrize("command", ["check", "write"])
def test_a_directory_that_goes_away_with_its_pod_is_told(
    simulator: Simulator, tmp_path: Path, command: str, in_kubernetes: bool
) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "KUBERNETES_SERVICE_HOST"}
    if in_kubernetes:
        environment["KUBERNETES_SERVICE_HOST"] = "10.0.0.1"
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        store = {"storage_type": "local", "destination_path": directory}
        (tmp_path / "config.json").write_text(json.dumps(simulator.connector_config(rejected_records=store)))
        (tmp_path / "catalog.json").write_text(json.dumps(catalog()))
        files = ["--config", str(tmp_path / "config.json")]
        files += ["--catalog", str(tmp_path / "catalog.json")] if command == "write" else []
        lines = "\n".join(map(json.dumps, [*records(GOOD), complete()])) if command == "write" else ""
        done = subprocess.run(
            [*CONNECTOR, command, *files], env=environment, input=lines, capture_output=True, text=True, check=True
        )
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    warnings = [m["log"]["message"] for m in messages if m["type"] == "LOG" and m["log"]["level"] == "WARN"]
    told = f"The dead letter store's directory '{directory}' is on no lasting volume of this Kubernetes pod: "
    assert [warning.startswith(told) for warning in warnings] == ([True] if in_kubernetes else [])
    if command == "check":
        assert messages[-1]["connectionStatus"]["status"] == "SUCCEEDED"
    else:
        assert "1 delivered" in done.stdout


@pytest.mark.parametrize(
    ("content", "sentence"), [(None, "cannot be read: No such file or directory."), ("POISON", "is not JSON.")]
)
def test_a_configuration_that_replay_cannot_use_is_named_and_not_quoted(
    tmp_path: Path, content: str | None, sentence: str
) -> None:
    path = tmp_path / "config.json"
    if content is not None:
        path.write_text(content)
    done = subprocess.run([*CONNECTOR, "replay", "--config", path], capture_output=True, text=True, check=False)
    (line,) = done.stdout.splitlines()
    error = json.loads(line)["trace"]["error"]
    assert (done.returncode, error["failure_type"]) == (1, "config_error")
    assert error["message"] == f"The configuration file {path} {sentence}"
    assert done.stderr == error["message"] + "\n"  # its output goes into another process
    assert "POISON" not in done.stdout
