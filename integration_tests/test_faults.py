"""Faults of the machine and of the wire, with the real command as a process.

Those that take minutes are run by `make test-faults`; all are bounded, and on loopback alone.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from integration_tests.messages import catalog, record, stream_state
from integration_tests.platform_double import CONNECTOR
from integration_tests.simulator.process import Simulator, start_simulator

_ACCOUNT = {"api_key": "key", "channels": [{"_id": "channel", "attributes": ["user_id", "visits"]}]}


@pytest.fixture(scope="module")
def server() -> Iterator[Simulator]:
    with start_simulator(accounts=[_ACCOUNT]) as simulator:
        yield simulator


@pytest.fixture
def simulator(server: Simulator) -> Simulator:
    server.reset()
    return server


class Command:
    """A `write` of the console command with its files."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "catalog.json").write_text(json.dumps(catalog()))
        self._folder = folder
        files = ("--config", f"{folder}/config.json", "--catalog", f"{folder}/catalog.json")
        self.arguments = [*CONNECTOR, "write", *files]

    def start(self, rows: Sequence[dict[str, Any]], **options: Any) -> subprocess.Popen[bytes]:
        """Start it with these messages on standard input."""
        path = self._folder / "input.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        with path.open("rb") as messages:
            return subprocess.Popen(
                self.arguments, stdin=messages, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
            )

    def run(self, rows: Sequence[dict[str, Any]], seconds: float = 110, **options: Any) -> Ended:
        """Run it to its end."""
        with self.start(rows, **options) as process:
            out, err = process.communicate(timeout=seconds)
        return Ended(process.returncode, [json.loads(line) for line in out.splitlines()], err.decode())


class Ended:
    """What a command printed, and its exit code."""

    def __init__(self, code: int, lines: list[dict[str, Any]], stderr: str) -> None:
        self.code = code
        self.states = [line["state"] for line in lines if line["type"] == "STATE"]
        self.logs = [line["log"]["message"] for line in lines if line["type"] == "LOG"]
        self.errors = [line["trace"]["error"] for line in lines if line["type"] == "TRACE"]
        self.stderr = stderr


def users(count: int, first: int = 0) -> list[dict[str, Any]]:
    return [record({"subscription_id": f"u{n}", "email": f"u{n}@example.com"}) for n in range(first, first + count)]


def assert_all_delivered(ended: Ended, simulator: Simulator, count: int) -> None:
    assert ended.code == 0, ended.errors
    assert ended.states[-1]["destinationStats"] == {"recordCount": float(count), "rejectedRecordCount": 0.0}
    assert set(simulator.by_user()) == {f"u{n}" for n in range(count)}


# --- the connector runs out of something


@pytest.mark.slow
def test_no_row_is_judged_where_descriptors_run_out(tmp_path: Path, simulator: Simulator) -> None:
    simulator.set_faults(latency=0.2)
    config = simulator.connector_config(advanced={"max_concurrency": 256, "progress_interval_seconds": 0})
    ended = Command(tmp_path, config).run(
        [*users(2_000), stream_state(1)], preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    )
    assert_all_delivered(ended, simulator, 2_000)


@pytest.mark.parametrize(
    ("connections", "in_flight"),
    [pytest.param(8, 64, marks=pytest.mark.slow), pytest.param(32, 256, marks=pytest.mark.faults)],
)
def test_a_limit_on_connections_is_found_and_not_hammered(
    tmp_path: Path, simulator: Simulator, connections: int, in_flight: int
) -> None:
    simulator.set_faults(latency=0.05, connections=connections)
    config = simulator.connector_config(advanced={"max_concurrency": in_flight, "progress_interval_seconds": 0})
    ended = Command(tmp_path, config).run([*users(1_500), stream_state(1)])
    simulator.set_faults()
    assert_all_delivered(ended, simulator, 1_500)
    assert simulator.stats()["calls"] < 1_500 * 1.3


# --- answers that never end


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["trickle_header", "continue", "trickle_chunk", "trickle_gzip", "hang"])
def test_an_answer_that_never_ends_is_ended(tmp_path: Path, simulator: Simulator, kind: str) -> None:
    simulator.set_faults(rules=[{"kind": kind, "subscription": "u3", "nth": 1}])
    config = simulator.connector_config(advanced={"request_timeout_seconds": 1, "progress_interval_seconds": 0})
    ended = Command(tmp_path, config).run([*users(20), stream_state(1)], seconds=100)
    assert_all_delivered(ended, simulator, 20)


# --- an outage without a word


@contextmanager
def relay(port: int, silent_after: int) -> Iterator[int]:
    """A port that passes connections on to another one, until so many bytes were passed: then it is silent."""
    passed = 0
    stop = threading.Event()

    def pump(source: socket.socket, target: socket.socket) -> None:
        nonlocal passed
        try:
            while (data := source.recv(1 << 14)) and not stop.is_set():
                passed += len(data)
                if passed > silent_after:
                    stop.wait()
                target.sendall(data)
        except OSError:
            pass

    def accept() -> None:
        while not stop.is_set():
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", port))
            for pair in ((client, server), (server, client)):
                threading.Thread(target=pump, args=pair, daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        stop.set()


@pytest.mark.faults
def test_a_silent_outage_is_told_within_a_few_time_outs_and_the_minute_of_patience(
    tmp_path: Path, simulator: Simulator
) -> None:
    with relay(int(simulator.url.rpartition(":")[2]), silent_after=200_000) as port:
        config = simulator.connector_config(advanced={"request_timeout_seconds": 3, "progress_interval_seconds": 0})
        config["advanced"]["base_url"] = f"http://127.0.0.1:{port}"
        started = time.monotonic()
        ended = Command(tmp_path, config).run([*users(5_000), stream_state(1)])
    assert ended.code == 1
    assert ended.errors[0]["failure_type"] == "transient_error"
    assert ended.errors[0]["message"].startswith(
        f"CleverPush is out of reach: 127.0.0.1:{port} gave no answer within 3 s, and nothing got through for "
    )
    assert ended.states == []
    assert 60 <= time.monotonic() - started <= 100


# --- standard output that nobody reads


def test_a_signal_has_its_effect_while_nobody_reads_the_output(tmp_path: Path, simulator: Simulator) -> None:
    rows = [row for n in range(3_000) for row in (*users(1, n), stream_state("x" * 2_000))]
    command = Command(tmp_path, simulator.connector_config(advanced={"progress_interval_seconds": 0}))
    with command.start(rows) as process:
        _until(lambda: simulator.stats()["calls"] > 300)
        time.sleep(1.0)
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)
        took = time.monotonic() - started
        assert process.returncode == 1
        assert took < 7.0
        process.stdout.close()  # type: ignore[union-attr]


# --- memory


@pytest.mark.faults
def test_small_states_behind_a_slow_row_take_bounded_memory(tmp_path: Path, simulator: Simulator) -> None:
    simulator.set_faults(rules=[{"kind": "delay", "subscription": "u0", "seconds": 15}])
    rows = [*users(1), *(stream_state(n) for n in range(300_000))]
    command = Command(tmp_path, simulator.connector_config(advanced={"progress_interval_seconds": 0}))
    with command.start(rows) as process:
        peak = 0
        states = 0
        assert process.stdout is not None
        counting = threading.Thread(target=lambda: _count(process.stdout, counted))
        counted: list[int] = []
        counting.start()
        while process.poll() is None:
            peak = max(peak, _resident_bytes(process.pid))
            time.sleep(0.2)
        counting.join()
        states = counted[0]
    assert process.returncode == 0
    assert states == 300_000
    assert peak < 250 * 2**20


def _count(lines: IO[bytes] | None, counted: list[int]) -> None:
    assert lines is not None
    counted.append(sum(b'"STATE"' in line for line in lines))


def _resident_bytes(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS")), 0)


# --- descriptors that are broken, and signals at the wrong moment


def _shell(command: Command, redirection: str) -> subprocess.CompletedProcess[bytes]:
    words = " ".join(f"'{word}'" for word in command.arguments)
    return subprocess.run(["sh", "-c", f"{words} {redirection}"], capture_output=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("redirection", "told"),
    [
        ("<&-", b"Standard input is closed"),
        (">&- </dev/null", b"standard output is closed"),
        ("</dev/null >/dev/full", b"Standard output cannot be written (No space left on device)"),
    ],
)
def test_a_broken_descriptor_is_told_in_a_sentence(
    tmp_path: Path, simulator: Simulator, redirection: str, told: bytes
) -> None:
    config = simulator.connector_config()
    config["channel_id"] = "channel"
    ended = _shell(Command(tmp_path, config), redirection)
    said = ended.stdout + ended.stderr
    if "full" in redirection and ended.returncode == 0:
        return  # nothing had to be written
    assert ended.returncode == 1
    assert told in said
    assert b"Traceback" not in said


def test_an_input_that_does_not_block_is_waited_for(tmp_path: Path, simulator: Simulator) -> None:
    command = Command(tmp_path, simulator.connector_config())
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with subprocess.Popen(command.arguments, stdin=reading, stdout=subprocess.PIPE) as process:
        os.close(reading)
        for message in (*users(1), stream_state(1), *users(1, 1), stream_state(2)):
            time.sleep(0.3)
            os.write(writing, json.dumps(message).encode() + b"\n")
        os.close(writing)
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert out.count(b'"STATE"') == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("after", [0.0, 0.3])
def test_a_signal_while_it_starts_ends_it_without_a_traceback(
    tmp_path: Path, simulator: Simulator, number: signal.Signals, after: float
) -> None:
    command = Command(tmp_path, simulator.connector_config())
    with subprocess.Popen(
        command.arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        _until(lambda: _handles_signals(process.pid))
        time.sleep(after)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode in (1, 128 + number, -number)
    assert b"Traceback" not in out + err


def _handles_signals(pid: int) -> bool:
    """Whether the command has begun: it catches SIGTERM, which Python alone does not."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    caught = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(caught >> (signal.SIGTERM - 1) & 1)


def _until(condition: Any, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
