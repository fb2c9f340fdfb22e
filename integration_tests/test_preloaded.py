"""A command of a kept process lives and dies as the console command does."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from integration_tests.messages import catalog, stream_state
from integration_tests.simulator.process import Simulator


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 1)])
def test_a_signal_ends_it(
    connector: Sequence[str], simulator: Simulator, tmp_path: Path, number: signal.Signals, exit_code: int
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(simulator.connector_config()))
    (tmp_path / "catalog.json").write_text(json.dumps(catalog()))
    options = ["--config", str(tmp_path / "config.json"), "--catalog", str(tmp_path / "catalog.json")]
    with subprocess.Popen([*connector, "write", *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(stream_state(1)).encode() + b"\n")
        process.stdin.flush()
        while b'"STATE"' not in (line := process.stdout.readline()):
            assert line
        process.send_signal(number)
        rest = process.stdout.read()  # comes to an end, though the input does not
        assert process.wait(30) == exit_code
    assert (b"TRACE" in rest) == (number is signal.SIGTERM)
