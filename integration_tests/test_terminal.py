"""The same command at a terminal and in a pipe: for people, and for Airbyte."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Sequence
from pathlib import Path

import pytest

from integration_tests.messages import catalog, records, stream_state
from integration_tests.simulator.process import Simulator

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
COLOUR = re.compile(r"\x1b\[(?:[0-9]+;)*[349][0-7](?:;[0-9]+)*m")


def at_terminal(
    command: Sequence[str], width: int = 80, stdin: Path | None = None, **environment: str
) -> tuple[int, str]:
    """The exit code of a command whose standard output is a terminal, and what it wrote there."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    env = {**os.environ, "TERM": "xterm-256color", **environment}
    env.pop("COLUMNS", None)
    with (stdin or Path("/dev/null")).open("rb") as lines:
        process = subprocess.Popen(command, stdin=lines, stdout=its, stderr=subprocess.PIPE, env=env)
    os.close(its)
    written = b""
    try:
        while part := os.read(ours, 1 << 16):
            written += part
    except OSError:  # how Linux says that nobody writes any more
        pass
    finally:
        os.close(ours)
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    return process.wait(60), written.decode()


@pytest.fixture
def files(simulator: Simulator, tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps(simulator.connector_config()))
    (tmp_path / "catalog.json").write_text(json.dumps(catalog()))
    (tmp_path / "users.csv").write_text("subscription_id,phone\nu1,+49151\n,+49152\n")
    lines = [*records({"subscription_id": "u1", "phone": "+49151"}, {"phone": "1"}), stream_state(2)]
    (tmp_path / "users.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return tmp_path


def command(connector: Sequence[str], folder: Path, name: str, *options: str) -> list[str]:
    arguments = {"send": [str(folder / "users.csv")], "write": ["--catalog", str(folder / "catalog.json")]}
    return [*connector, name, *arguments.get(name, []), "--config", str(folder / "config.json"), *options]


@pytest.mark.parametrize("name", ["check", "discover", "send", "write"])
def test_people_get_text_and_pipes_get_airbytes_lines(connector: Sequence[str], files: Path, name: str) -> None:
    lines = files / "users.jsonl" if name == "write" else None
    code, shown = at_terminal(command(connector, files, name), stdin=lines, NO_COLOR="1")
    assert code == 0
    assert COLOUR.findall(shown) == []
    told = [ESCAPE.sub("", line) for line in re.split(r"[\r\n]+", shown)]
    assert '{"type"' not in shown
    assert max(map(len, told)) <= 80

    with (lines or Path("/dev/null")).open("rb") as stdin:
        done = subprocess.run(command(connector, files, name), stdin=stdin, capture_output=True, check=True, timeout=60)
    types = {json.loads(line)["type"] for line in done.stdout.splitlines()}
    assert (
        types
        == {
            "check": {"CONNECTION_STATUS", "LOG"},
            "discover": {"DESTINATION_CATALOG"},
            "send": {"LOG"},
            "write": {"LOG", "STATE"},
        }[name]
    )

    code, shown = at_terminal(command(connector, files, name, "--json"), stdin=lines)
    assert code == 0
    assert {json.loads(line)["type"] for line in shown.split("\r\n") if line} == types


def test_a_terminal_has_colours_unless_nobody_wants_them(connector: Sequence[str], files: Path) -> None:
    _, shown = at_terminal(command(connector, files, "check"))
    assert COLOUR.findall(shown)


def test_a_check_that_fails_has_exit_code_1_at_a_terminal_and_0_in_a_pipe(
    connector: Sequence[str], files: Path
) -> None:
    config = json.loads((files / "config.json").read_text()) | {"api_key": "a-key-that-nobody-issued"}
    (files / "config.json").write_text(json.dumps(config))
    code, shown = at_terminal(command(connector, files, "check"))
    assert code == 1
    assert "Authentication failed: invalid API key." in shown
    done = subprocess.run(command(connector, files, "check"), capture_output=True, check=False, timeout=60)
    assert done.returncode == 0
