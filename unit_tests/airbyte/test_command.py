"""The console command, as a process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STUBBED = """
import sys, time, types

class DestinationCleverpush:
    def run(self, args):
        print("ready", file=sys.stderr, flush=True)
        time.sleep(60)

stub = types.ModuleType("destination_cleverpush.airbyte.destination")
stub.DestinationCleverpush = DestinationCleverpush
sys.modules[stub.__name__] = stub
"""
MAIN = "from destination_cleverpush.airbyte.command import main; main()"


def start(code: str, *args: str, out: int = subprocess.PIPE) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *args],
        stdout=out,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_it_runs_the_command_that_the_arguments_name() -> None:
    process = start(MAIN, "spec")
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert json.loads(out)["type"] == "SPEC"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_at_once_with_a_trace(number: signal.Signals) -> None:
    process = start(STUBBED + MAIN)
    assert process.stderr is not None
    assert process.stderr.readline() == "ready\n"
    process.send_signal(number)
    out, _ = process.communicate(timeout=10)
    assert process.returncode == 128 + number
    trace = json.loads(out)
    assert trace["type"] == "TRACE"
    assert trace["trace"]["error"] == {
        "message": f"The connector was ended by {number.name}.",
        "internal_message": f"The connector was ended by {number.name}.",
        "failure_type": "transient_error",
    }


def test_an_output_that_nobody_reads_does_not_keep_it() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        while True:
            os.write(writing, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writing, True)
    process = start(STUBBED + MAIN, out=writing)
    os.close(writing)
    assert process.stderr is not None
    assert process.stderr.readline() == "ready\n"
    process.terminate()
    assert process.wait(10) == 128 + signal.SIGTERM
    os.close(reading)
    process.stderr.close()
