"""The command line itself: what it prints where, and how it ends."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from destination_cleverpush.config import load_spec
from integration_tests.conftest import Calls
from integration_tests.messages import catalog, record, records, stream_state
from integration_tests.platform_double import CONNECTOR, FAILURE_TYPES, assert_absent, run_write
from integration_tests.simulator.process import Simulator


def run(
    *arguments: object, stdin: Path | None = None, connector: Sequence[str] = CONNECTOR
) -> subprocess.CompletedProcess[str]:
    command = [*connector, *map(str, arguments)]
    with (stdin or Path("/dev/null")).open() as lines:
        return subprocess.run(command, stdin=lines, capture_output=True, text=True, check=False, timeout=60)


def test_spec_prints_the_form_as_it_is_shipped() -> None:
    done = run("spec")
    (line,) = done.stdout.splitlines()
    message = json.loads(line)
    shipped = load_spec()
    assert (done.returncode, done.stderr, message["type"]) == (0, "", "SPEC")
    assert message["spec"]["connectionSpecification"] == shipped["connectionSpecification"]
    modes = ["append", "append_dedup", "overwrite", "update", "soft_delete"]
    assert message["spec"]["supported_destination_sync_modes"] == modes


def test_a_wrong_command_line_ends_with_its_usage(connector: Sequence[str]) -> None:
    done = run("write", "--config", "c.json", connector=connector)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: destination-cleverpush write")
    assert "--catalog" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("command", "content", "sentence"),
    [
        ("write", None, "cannot be read: No such file or directory."),
        ("check", '{"api_key": "private-key-0a1b2c"', "is not JSON."),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    connector: Sequence[str], tmp_path: Path, command: str, content: str | None, sentence: str
) -> None:
    path = tmp_path / "config.json"
    if content is not None:
        path.write_text(content)
    catalog_file = ("--catalog", path) if command == "write" else ()
    done = run(command, "--config", path, *catalog_file, connector=connector)
    (line,) = done.stdout.splitlines()
    error = json.loads(line)["trace"]["error"]
    assert (done.returncode, done.stderr, error["failure_type"]) == (1, "", FAILURE_TYPES[0])
    assert error["message"] == f"The configuration file {path} {sentence}"


def test_write_takes_a_file_as_its_input(simulator: Simulator, calls: Calls, tmp_path: Path) -> None:
    rows = records({"subscription_id": "u1", "phone": "+49151"}, {"subscription_id": "u2", "phone": "+49152"})
    lines = [*map(json.dumps, rows), json.dumps(stream_state(2))]
    (tmp_path / "lines.jsonl").write_text("\n".join(lines))  # without an end of the last line
    (tmp_path / "config.json").write_text(json.dumps(simulator.connector_config()))
    (tmp_path / "catalog.json").write_text(json.dumps(catalog()))
    options = "--config", tmp_path / "config.json", "--catalog", tmp_path / "catalog.json"
    done = run("write", *options, stdin=tmp_path / "lines.jsonl")
    assert (done.returncode, done.stderr) == (0, "")
    assert [json.loads(line)["type"] for line in done.stdout.splitlines()].count("STATE") == 1
    assert [body["phoneNumber"] for _, body, _ in calls()] == ["+49151", "+49152"]


def test_write_ends_where_nobody_reads_its_output(simulator: Simulator, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(simulator.connector_config()))
    (tmp_path / "catalog.json").write_text(json.dumps(catalog()))
    options = ["--config", str(tmp_path / "config.json"), "--catalog", str(tmp_path / "catalog.json")]
    with subprocess.Popen(
        [*CONNECTOR, "write", *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stdin.write(json.dumps(stream_state(1)).encode() + b"\n")
        process.stdin.flush()
        assert process.wait(60) == 1  # though its input goes on
        assert process.stderr.read() == b""


def test_neither_key_nor_people_are_in_the_most_talkative_log(simulator: Simulator) -> None:
    rules = [{"subscription": "u1", "nth": 1, "kind": "status", "status": 500, "body": {"error": "ada@example.com?"}}]
    simulator.set_faults(rules=rules)
    messages = [
        record({"subscription_id": "u1", "email": "ada@example.com", "phone": "+49 151 2345678", "city": "Köln"}),
        record({"subscription_id": "u2", "email": "bob at example.com", "phone": "+49 151 2345678"}),
        record({"subscription_id": "eve@example.com", "city": "Bonn"}),
        stream_state(3),
    ]
    config = simulator.connector_config()
    result = run_write(config, catalog(), messages, environment={"LOG_LEVEL": "debug"})
    assert (result.exit_code, result.counts) == (0, [(1, 2)])
    assert_absent(result, simulator.api_key, "ada@", "bob at", "eve@", "2345678", "Köln", "K\\u00f6ln", "Bonn")
