"""A double of the Airbyte platform: it does to a destination what the platform does, and holds it to the same rules.

The rules, each with its public source in the repositories airbyte-platform (the replication worker) and
airbyte-protocol:

1.  A destination is a process that reads messages line by line on standard input and answers on standard output, while
    both run at their own speed (`ReplicationWorkerHelper`). What it prints is Airbyte messages and nothing else.
2.  A state that comes out says that every record before it is safely at the destination. The platform never sends those
    again.
3.  The platform puts an `id` into each state of the source, beside its `type`, and knows the state by it when it comes
    out (`StateWithId`). The rest of the state belongs to the source and comes out as it went in, whatever stands in it.
4.  States come out in the order in which they went in, each once, and all of them where the sync succeeds.
5.  `destinationStats` of a state tells the records since the state before that covered them: of its own stream for a
    STREAM state, of all streams for a GLOBAL one and for one without a type (`StateCheckSumCountEventHandler`).
    `recordCount` are those taken, `rejectedRecordCount` those given up; their sum is compared with what was sent. Both
    are decimals on the wire.
6.  Where the destination's metadata says `supportsRefreshes`, it is told each stream's status: STARTED, and at the end
    COMPLETE where the source read the stream to its end (`StreamStatusCompletionTracker`). The catalog then names
    generations (`generation_id`, `minimum_generation_id`, `sync_id`).
7.  A failure is one TRACE message of type ERROR, with a message for the user and a `failure_type`, and an exit code
    other than 0; a success has neither, and has taken all of its input.
8.  A destination that neither takes the next line nor says anything is given up after a while
    (`DestinationTimeoutMonitor`), and so is one that does not end after its input has ended, and one that keeps states
    back while it says other things: all come back without a long gap.
9.  A cancelled sync is sent SIGTERM, and SIGKILL where it has not ended some seconds later.

Whatever breaks a rule ends the process and raises :class:`Violation`.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple

from airbyte_cdk.models import AirbyteMessageSerializer

CONNECTOR = (str(Path(sys.executable).with_name("destination-cleverpush")),)
SILENCE_SECONDS = 30.0
"""How long a destination may neither take a line nor print one."""
STATE_GAP_SECONDS = 60.0
"""How long the next state may take, while one is due."""
FAILURE_TYPES = ("config_error", "transient_error", "system_error")

Line = Mapping[str, Any] | str | bytes
"""A message, or a line as it stands, without its line end."""


class Violation(AssertionError):
    """The destination broke a rule of the platform."""


class StreamKey(NamedTuple):
    """A stream's name and namespace."""

    name: str
    namespace: str | None


class Log(NamedTuple):
    """A LOG message."""

    level: str
    message: str


@dataclass(frozen=True)
class WriteResult:
    """What a destination said, and how it ended.

    Attributes:
        states: the `state` of each STATE message.
        errors: the `error` of each TRACE message of type ERROR.
        exit_code: as of `subprocess`; -9 where it was killed.
        killed: whether the double killed it.
        stdout: everything printed.
        stderr: everything on standard error.
    """

    states: list[dict[str, Any]]
    logs: list[Log]
    errors: list[dict[str, Any]]
    exit_code: int
    killed: bool
    stdout: str
    stderr: str

    @property
    def error(self) -> dict[str, Any]:
        """The failure: `message`, `failure_type`, and more."""
        (error,) = self.errors
        return error

    @property
    def warnings(self) -> list[str]:
        """The texts of the warnings in the log."""
        return [log.message for log in self.logs if log.level == "WARN"]

    @property
    def counts(self) -> list[tuple[float, float]]:
        """Per state, the records taken and the records rejected."""
        stats = [state["destinationStats"] for state in self.states]
        return [(s["recordCount"], s["rejectedRecordCount"]) for s in stats]


class CheckResult(NamedTuple):
    """The answer to `check`, and all that was printed with it."""

    status: str
    message: str | None
    output: str


@dataclass
class _Sent:
    """A state on its way: as it went in, and the records that it covers."""

    number: int
    message: Any
    records: int


@dataclass
class Ledger:
    """The platform's bookkeeping for one sync: what went in, and whether what comes out is right. Pure."""

    catalog: Mapping[str, Any]
    states: list[dict[str, Any]] = field(default_factory=list)
    logs: list[Log] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        streams = [configured["stream"] for configured in self.catalog.get("streams", ())]
        self._streams = [StreamKey(s["name"], s.get("namespace") or None) for s in streams]
        self._started: set[StreamKey] = set()
        self._records: Counter[StreamKey] = Counter()
        self._waiting: deque[_Sent] = deque()
        self._sent = 0

    def enter(self, message: Line) -> list[bytes]:
        """Note a message of the source; returns the lines for the destination."""
        line = message if isinstance(message, str | bytes) else json.dumps(message, ensure_ascii=False)
        parsed = _parse_or_none(line)
        kind = parsed.get("type") if isinstance(parsed, dict) else None
        body = parsed.get(str(kind).lower()) if isinstance(parsed, dict) else None
        lines: list[bytes] = []
        if kind == "RECORD" and isinstance(body, dict) and isinstance(body.get("stream"), str):
            key = StreamKey(body["stream"], body.get("namespace") or None)
            self._records[key] += 1
            if key in self._streams and key not in self._started:
                self._started.add(key)
                lines.append(_status(key, "STARTED"))
        elif kind == "STATE" and isinstance(body, dict):
            line = self._number_state(line if isinstance(line, str) else line.decode())
        return [*lines, line if isinstance(line, bytes) else line.encode()]

    def end_of_input(self, statuses: Mapping[str, str | None]) -> list[bytes]:
        """The last lines for the destination: each stream's status, COMPLETE where `statuses` says nothing else."""
        ends = [(key, statuses.get(key.name, "COMPLETE")) for key in self._streams]
        return [_status(key, status) for key, status in ends if status is not None]

    def leave(self, line: str) -> None:
        """Judge a line of the destination.

        Raises:
            Violation: it breaks a rule.
        """
        self.lines.append(line)
        try:
            message = _exact(line)
            plain = json.loads(line)
            AirbyteMessageSerializer.load(plain)
            kind = plain["type"]
            body = plain[kind.lower()]
        except Exception as error:  # noqa: BLE001 - whatever the reader finds, it is no message
            raise Violation(f"no Airbyte message: {line!r} ({error})") from None
        if kind == "STATE":
            self._judge_state(message)
            self.states.append(body)
        elif kind == "LOG":
            self.logs.append(Log(body["level"], body["message"]))
        elif kind == "TRACE" and body["type"] == "ERROR":
            failure = body["error"]
            if not failure.get("message") or failure.get("failure_type") not in FAILURE_TYPES:
                raise Violation(f"an error without a message or a failure type: {line}")
            self.errors.append(failure)
        elif kind != "TRACE":
            raise Violation(f"a destination does not send {kind} while it writes: {line}")

    def end(self, exit_code: int, stderr: str) -> None:
        """Judge how the destination ended by itself.

        Raises:
            Violation: it breaks a rule.
        """
        if "Traceback (most recent call last)" in stderr:
            raise Violation(f"a traceback on standard error:\n{stderr}")
        if exit_code < 0:
            raise Violation(f"it died of signal {-exit_code}")
        if exit_code == 0 and self.errors:
            raise Violation(f"exit code 0 after the error {self.errors[0]['message']!r}")
        if exit_code != 0 and len(self.errors) != 1:
            raise Violation(f"exit code {exit_code} and {len(self.errors)} errors instead of one\n{stderr}")
        if exit_code == 0 and self._waiting:
            raise Violation(f"success, but {len(self._waiting)} states did not come out, the first is {self._oldest}")

    @property
    def due(self) -> int:
        """How many states have not come out."""
        return len(self._waiting)

    @property
    def _oldest(self) -> str:
        return json.dumps(self._waiting[0].message, ensure_ascii=False)

    def _number_state(self, line: str) -> str:
        """Put an `id` into a state, and note it. The line stays as it is otherwise, so that nothing is lost in it."""
        number, self._sent = self._sent, self._sent + 1
        line = re.sub(
            r'("state"\s*:\s*\{)(?=\s*(\}?))',
            lambda found: f'{found[1]}"id": {number}' + ("" if found[2] else ", "),
            line,
            count=1,
        )
        message = _exact(line)
        if message["state"].get("id") != _Number(str(number)):
            raise ValueError("the line names a 'state' before its state, or has no place for an id")
        self._waiting.append(_Sent(number, _without_stats(message), self._take_records(message["state"])))
        return line

    def _take_records(self, state: Mapping[str, Any]) -> int:
        """The records that a state covers; none of them is covered again."""
        if state.get("type", "LEGACY") == "STREAM":
            descriptor = state["stream"]["stream_descriptor"]
            return self._records.pop(StreamKey(descriptor["name"], descriptor.get("namespace") or None), 0)
        covered = self._records.total()
        self._records.clear()
        return covered

    def _judge_state(self, message: Any) -> None:
        state = message["state"]
        number = state.get("id")
        due = self._waiting[0] if self._waiting else None
        if due is None or number != _Number(str(due.number)):
            expected = "none is due" if due is None else f"{due.number} is due"
            raise Violation(f"the state with id {number} came out where {expected}")
        if _without_stats(message) != due.message:
            raise Violation(f"a state did not come out as it went in: {_without_stats(message)} for {due.message}")
        stats = state.get("destinationStats")
        told = _count(stats, "recordCount") + _count(stats, "rejectedRecordCount")
        if told != due.records:
            raise Violation(f"state {due.number} tells of {told:g} records; {due.records} were sent")
        self._waiting.popleft()


class ConnectorProcess:
    """One `write` of a destination, to be used as a context and fed step by step.

    Without :meth:`finish` or :meth:`kill`, the end of the block finishes it.

    Args:
        catalog: a configured catalog.
        command: what comes before `write --config FILE --catalog FILE`.
        statuses: per stream name, what it is told to be at the end instead of COMPLETE; None: nothing.
        silence_seconds: see :data:`SILENCE_SECONDS`.
        state_gap_seconds: see :data:`STATE_GAP_SECONDS`.
        environment: variables besides those of this process.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        catalog: Mapping[str, Any],
        *,
        command: Sequence[str] = CONNECTOR,
        statuses: Mapping[str, str | None] | None = None,
        silence_seconds: float = SILENCE_SECONDS,
        state_gap_seconds: float = STATE_GAP_SECONDS,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._files = {"config": config, "catalog": catalog}
        self._command = command
        self._statuses = statuses or {}
        self._silence = silence_seconds
        self._state_gap = state_gap_seconds
        self._due_since: float | None = None
        self._environment = environment or {}
        self._ledger = Ledger(catalog)
        self._changed = threading.Condition()
        self._violation: Violation | None = None
        self._stderr = b""
        self._expected = 0
        self._killed = self._cancelled = self._input_open = self._input_refused = self._output_ended = False
        self._result: WriteResult | None = None

    def __enter__(self) -> ConnectorProcess:
        self._folder = tempfile.TemporaryDirectory()
        arguments: list[str] = []
        for name, content in self._files.items():
            path = Path(self._folder.name, f"{name}.json")
            path.write_text(json.dumps(content), encoding="utf-8")
            arguments += [f"--{name}", str(path)]
        self._process = subprocess.Popen(
            [*self._command, "write", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env={**os.environ, **self._environment},
        )
        self._input_open = True
        self._stdin = _pipe(self._process.stdin)
        os.set_blocking(self._stdin.fileno(), False)
        self._readers = [threading.Thread(target=r, daemon=True) for r in (self._read_stdout, self._read_stderr)]
        self._active = time.monotonic()
        for reader in self._readers:
            reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.finish()
        finally:
            self._end()
            self._folder.cleanup()

    @property
    def states(self) -> list[dict[str, Any]]:
        """The states that have come out so far."""
        with self._changed:
            return list(self._ledger.states)

    @property
    def logs(self) -> list[Log]:
        """The log so far."""
        with self._changed:
            return list(self._ledger.logs)

    def send(self, *messages: Line) -> bool:
        """Feed messages; waits while the destination takes none. Returns False once it takes no more.

        Raises:
            Violation: the destination is silent for too long, or keeps states back.
        """
        for message in messages:
            with self._changed:
                lines = self._ledger.enter(message)
                if self._due_since is None and self._ledger.due:
                    self._due_since = time.monotonic()
            self._check_state_gap()
            if not all(self._feed(line) for line in lines):
                return False
        return self._input_open

    def expect_state(self, seconds: float = 15.0) -> dict[str, Any]:
        """Wait for the next state to come out.

        Raises:
            Violation: none came in time.
        """
        self.wait_until(lambda: len(self._ledger.states) > self._expected, seconds, "no state came out")
        self._expected += 1
        return self._ledger.states[self._expected - 1]

    def wait_until(self, condition: Callable[[], bool], seconds: float = 15.0, otherwise: str = "it did not") -> None:
        """Wait for a condition; it is asked after each line that comes out, and again and again meanwhile.

        Raises:
            Violation: it did not come true in time, or before the output ended.
        """
        with self._changed:
            deadline = time.monotonic() + seconds
            while not condition() and not self._output_ended and time.monotonic() < deadline:
                self._changed.wait(0.05)
            if self._violation:
                raise self._violation
            if not condition():
                last = self._ledger.lines[-5:]
                raise Violation(f"{otherwise} within {seconds:g} s, or before the output ended: {last}")

    def cancel(self, grace_seconds: float = 10.0) -> WriteResult:
        """Cancel the sync: SIGTERM, and SIGKILL after the grace. Its input stays open, as the platform leaves it."""
        self._cancelled = True
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            return self.kill()
        return self.finish()

    def kill(self) -> WriteResult:
        """SIGKILL, without a warning."""
        self._killed = True
        self._process.kill()
        return self.finish()

    def finish(self) -> WriteResult:
        """End the input, wait for the destination to end, and judge it.

        Raises:
            Violation: the destination broke a rule.
        """
        if self._result is None:
            self._end_input()
            while self._process.poll() is None:
                self._check_silence()
                time.sleep(0.01)
            for reader in self._readers:
                reader.join(self._silence)
            if self._violation:
                raise self._violation
            stderr = self._stderr.decode("utf-8", "replace")
            ledger = self._ledger
            if not self._killed:
                ledger.end(self._process.returncode, stderr)
                if self._process.returncode == 0 and self._input_refused:
                    raise Violation("success, but it did not take all of its input")
            stdout = "\n".join(ledger.lines)
            self._result = WriteResult(
                ledger.states, ledger.logs, ledger.errors, self._process.returncode, self._killed, stdout, stderr
            )
        return self._result

    def _end_input(self) -> None:
        if self._input_open and not self._killed and not self._cancelled:
            for line in self._ledger.end_of_input(self._statuses):
                self._feed(line)
        self._close_input()

    def _close_input(self) -> None:
        self._input_open = False
        self._stdin.close()

    def _feed(self, line: bytes) -> bool:
        data = memoryview(line + b"\n")
        while data and self._input_open:
            _, writable, _ = select.select([], [self._stdin], [], 0.1)
            if not writable:
                self._check_silence()
                continue
            try:
                data = data[os.write(self._stdin.fileno(), data) :]
            except BrokenPipeError:
                self._input_refused = True
                self._close_input()
            self._active = time.monotonic()
        return self._input_open

    def _check_silence(self) -> None:
        if time.monotonic() - self._active > self._silence:
            self._end()
            raise Violation(f"it was silent for {self._silence:g} s: {self._ledger.lines[-5:]}")
        self._check_state_gap()

    def _check_state_gap(self) -> None:
        since = self._due_since
        if since is not None and time.monotonic() - since > self._state_gap:
            self._end()
            raise Violation(f"no state came out for {self._state_gap:g} s, though {self._ledger.due} are due")

    def _read_stdout(self) -> None:
        try:
            for raw in _pipe(self._process.stdout):
                self._active = time.monotonic()
                with self._changed:
                    self._take(raw)
                    self._changed.notify_all()
        except Violation as violation:
            self._violation = violation
            self._process.kill()
        finally:
            with self._changed:
                self._output_ended = True
                self._changed.notify_all()

    def _take(self, raw: bytes) -> None:
        if not raw.endswith(b"\n"):
            if self._killed:
                return
            raise Violation(f"the last line has no end: {raw!r}")
        try:
            line = raw[:-1].decode("utf-8")
        except UnicodeDecodeError:
            raise Violation(f"a line that is not UTF-8: {raw!r}") from None
        due = self._ledger.due
        self._ledger.leave(line)
        if self._ledger.due < due:
            self._due_since = time.monotonic() if self._ledger.due else None

    def _read_stderr(self) -> None:
        self._stderr = _pipe(self._process.stderr).read()

    def _end(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._close_input()
        for reader in self._readers:
            reader.join(self._silence)


def run_write(
    config: Mapping[str, Any], catalog: Mapping[str, Any], messages: Iterable[Line], **options: Any
) -> WriteResult:
    """One sync from begin to end; `options` are those of :class:`ConnectorProcess`.

    Args:
        messages: messages or raw lines; they are taken one by one, as the destination takes them.

    Raises:
        Violation: the destination broke a rule.
    """
    with ConnectorProcess(config, catalog, **options) as process:
        for message in messages:
            if not process.send(message):
                break
        return process.finish()


def run_check(config: Mapping[str, Any], *, command: Sequence[str] = CONNECTOR, seconds: float = 60.0) -> CheckResult:
    """One `check`, as the platform does it: one CONNECTION_STATUS comes out, and the exit code is 0 whatever it says.

    Raises:
        Violation: the destination broke a rule.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "config.json")
        path.write_text(json.dumps(config), encoding="utf-8")
        done = subprocess.run(
            [*command, "check", "--config", str(path)], capture_output=True, timeout=seconds, check=False, text=True
        )
    try:
        messages = [json.loads(line) for line in done.stdout.splitlines()]
        (status,) = [message["connectionStatus"] for message in messages if message["type"] == "CONNECTION_STATUS"]
        found = CheckResult(status["status"], status.get("message"), done.stdout + done.stderr)
    except (ValueError, KeyError, TypeError):
        raise Violation(f"not one CONNECTION_STATUS: {done.stdout!r} {done.stderr!r}") from None
    if done.returncode != 0 or "Traceback (most recent call last)" in done.stderr:
        raise Violation(f"exit code {done.returncode}: {found.output}")
    return found


def assert_absent(result: WriteResult | CheckResult, *needles: str) -> None:
    """Nothing that was printed holds any of these: keys, addresses, phone numbers."""
    output = result.output if isinstance(result, CheckResult) else result.stdout + result.stderr
    for needle in needles:
        assert needle not in output, f"{needle!r} was printed"


class _Number(NamedTuple):
    """A JSON number as it is written, so that no digit of it is lost in comparing."""

    text: str


def _exact(line: str | bytes) -> Any:
    """A JSON text, its numbers as they are written.

    Raises:
        ValueError: it is none, or an object of it names a member twice.
    """
    return json.loads(
        line, parse_int=_Number, parse_float=_Number, parse_constant=_no_number, object_pairs_hook=_unique
    )


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no JSON number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(found := dict(pairs)) != len(pairs):
        raise ValueError("an object names a member twice")
    return found


def _parse_or_none(line: str | bytes) -> Any:
    try:
        return json.loads(line, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return None


def _count(stats: Any, name: str) -> float:
    count = stats.get(name) if isinstance(stats, dict) else None
    if not isinstance(count, _Number) or not re.fullmatch(r"\d+\.\d+", count.text):
        raise Violation(f"{name} is not a number with a decimal point: {stats}")
    return float(count.text)


def _without_stats(message: Mapping[str, Any]) -> dict[str, Any]:
    state = {name: value for name, value in message["state"].items() if name != "destinationStats"}
    return {**message, "state": state}


def _status(key: StreamKey, status: str) -> bytes:
    descriptor = {"name": key.name} | ({"namespace": key.namespace} if key.namespace else {})
    trace = {
        "type": "STREAM_STATUS",
        "emitted_at": 1_700_000_000_000.0,
        "stream_status": {"stream_descriptor": descriptor, "status": status},
    }
    return json.dumps({"type": "TRACE", "trace": trace}).encode()


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe
