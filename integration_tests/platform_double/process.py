"""A destination as a process, between a source and a reader of what it says."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple

from integration_tests.platform_double.callers import AIRBYTE, Caller, Line
from integration_tests.platform_double.ledger import Ledger, Log, Violation

CONNECTOR = (str(Path(sys.executable).with_name("destination-cleverpush")),)
SILENCE_SECONDS = 30.0
"""How long a destination may neither take a line nor print one."""
STATE_GAP_SECONDS = 60.0
"""How long the next state may take, while one is due."""
_GLANCE = 0.05  # seconds between two looks whether something has changed


@dataclass(frozen=True)
class Reader:
    """How standard output is read: not before some seconds have passed, so many bytes at once, with pauses."""

    late_seconds: float = 0.0
    bytes_per_read: int = 65_536
    pause_seconds: float = 0.0


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


class ConnectorProcess:
    """One `write` of a destination, to be used as a context and fed step by step.

    Without :meth:`finish`, :meth:`cancel`, :meth:`terminate` or :meth:`kill`, the end of the block finishes it.

    Args:
        catalog: a configured catalog, under the source's names.
        caller: who feeds the destination, and so what it makes of catalog and messages.
        command: what comes before `write --config FILE --catalog FILE`.
        reader: how its standard output is read.
        stdin: what it is given; with `closed` it can be sent nothing.
        stdout: what it is given; with `closed` and `full` (a device that has no room) nothing comes out.
        silence_seconds: see :data:`SILENCE_SECONDS`.
        state_gap_seconds: see :data:`STATE_GAP_SECONDS`.
        environment: variables besides those of this process.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        catalog: Mapping[str, Any],
        *,
        caller: Caller = AIRBYTE,
        command: Sequence[str] = CONNECTOR,
        reader: Reader | None = None,
        stdin: Literal["pipe", "nonblocking", "closed"] = "pipe",
        stdout: Literal["pipe", "nonblocking", "closed", "full"] = "pipe",
        silence_seconds: float = SILENCE_SECONDS,
        state_gap_seconds: float = STATE_GAP_SECONDS,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._files = {"config": config, "catalog": caller.catalog(catalog)}
        self._command = command
        self._reading = reader or Reader()
        self._stdin_kind, self._stdout_kind = stdin, stdout
        self._silence = silence_seconds
        self._state_gap = state_gap_seconds
        self._due_since: float | None = None
        self._environment = environment or {}
        self._ledger = Ledger(catalog, caller)
        self._changed = threading.Condition()
        self._violation: Violation | None = None
        self._stderr = b""
        self._expected = 0
        self._killed = self._cancelled = self._judged_leniently = self._deaf = False
        self._input_open = self._input_refused = self._output_ended = False
        self._result: WriteResult | None = None

    def __enter__(self) -> ConnectorProcess:
        self._folder = tempfile.TemporaryDirectory()
        arguments: list[str] = []
        for name, content in self._files.items():
            path = Path(self._folder.name, f"{name}.json")
            path.write_text(json.dumps(content), encoding="utf-8")
            arguments += [f"--{name}", str(path)]
        closed = ("<&- " if self._stdin_kind == "closed" else "") + (">&-" if self._stdout_kind == "closed" else "")
        before = ["/bin/sh", "-c", f'exec "$@" {closed}', "sh"] if closed else []
        theirs_in, self._stdin = os.pipe()
        self._stdout, theirs_out = os.pipe()
        os.set_blocking(self._stdin, False)
        os.set_blocking(theirs_in, self._stdin_kind != "nonblocking")
        os.set_blocking(theirs_out, self._stdout_kind != "nonblocking")
        if self._stdout_kind == "full":
            os.close(theirs_out)
            theirs_out = os.open("/dev/full", os.O_WRONLY)
        self._process = subprocess.Popen(
            [*before, *self._command, "write", *arguments],
            stdin=theirs_in,
            stdout=theirs_out,
            stderr=subprocess.PIPE,
            env={**os.environ, **self._environment},
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._input_open = True
        self._readers = [threading.Thread(target=r, daemon=True) for r in (self._read_stdout, self._read_stderr)]
        self._active = time.monotonic()
        for reader in self._readers:
            reader.start()
        if self._stdin_kind == "closed":
            self._close_input()
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
                self._note_due()
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

    def pause(self, seconds: float) -> None:
        """Stop the process (SIGSTOP), and let it go on after so many seconds (SIGCONT)."""
        self._process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self._be_patient()
        self._process.send_signal(signal.SIGCONT)

    def cancel(self, grace_seconds: float = 10.0) -> WriteResult:
        """Cancel the sync as the platform does: close both pipes, and SIGKILL after the grace.

        What came out until then is judged, and a traceback on standard error, but not how it ends.
        """
        self._judged_leniently = self._cancelled = self._deaf = True
        self._close_input()
        self._readers[0].join()
        return self._wait_or_kill(grace_seconds)

    def terminate(self, grace_seconds: float = 10.0) -> WriteResult:
        """SIGTERM, as of Kubernetes, Docker and people, and SIGKILL after the grace. Its input stays open."""
        self._cancelled = True
        self._process.send_signal(signal.SIGTERM)
        return self._wait_or_kill(grace_seconds)

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
            while any(reader.is_alive() for reader in self._readers):
                self._readers[0].join(_GLANCE)
                self._readers[1].join(_GLANCE)
                if time.monotonic() - self._active > self._silence:
                    raise Violation("it ended, and its output does not")
            if self._violation:
                raise self._violation
            stderr = self._stderr.decode("utf-8", "replace")
            ledger = self._ledger
            if self._judged_leniently:
                ledger.end(1, stderr, heard=False)
            elif not self._killed:
                ledger.end(self._process.returncode, stderr, heard=self._stdout_kind in ("pipe", "nonblocking"))
                if self._process.returncode == 0 and self._input_refused:
                    raise Violation("success, but it did not take all of its input")
            stdout = "\n".join(ledger.lines)
            self._result = WriteResult(
                ledger.states, ledger.logs, ledger.errors, self._process.returncode, self._killed, stdout, stderr
            )
        return self._result

    def _wait_or_kill(self, grace_seconds: float) -> WriteResult:
        try:
            self._process.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            return self.kill()
        return self.finish()

    def _end_input(self) -> None:
        if self._input_open and not self._killed and not self._cancelled:
            with self._changed:
                lines = self._ledger.end_of_input()
                self._note_due()
            for line in lines:
                self._feed(line)
        self._close_input()

    def _close_input(self) -> None:
        if self._input_open:
            self._input_open = False
            os.close(self._stdin)

    def _note_due(self) -> None:
        if self._due_since is None and self._ledger.due:
            self._due_since = time.monotonic()

    def _be_patient(self) -> None:
        """Count no time that was not the destination's."""
        with self._changed:
            self._active = time.monotonic()
            self._due_since = self._due_since and self._active

    def _feed(self, line: bytes) -> bool:
        data = memoryview(line + b"\n")
        while data and self._input_open:
            _, writable, _ = select.select([], [self._stdin], [], 0.1)
            if not writable:
                self._check_silence()
                continue
            try:
                data = data[os.write(self._stdin, data) :]
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
            self._rest(self._reading.late_seconds)
            for raw in _lines(self._read()):
                with self._changed:
                    self._take(raw)
                    self._changed.notify_all()
        except Violation as violation:
            self._violation = violation
            self._process.kill()
        finally:
            os.close(self._stdout)
            with self._changed:
                self._output_ended = True
                self._changed.notify_all()

    def _read(self) -> Iterator[bytes]:
        """What comes out, until it ends or nobody wants it any more."""
        while not self._deaf:
            if not select.select([self._stdout], [], [], _GLANCE)[0]:
                continue
            data = os.read(self._stdout, self._reading.bytes_per_read)
            if not data:
                return
            self._active = time.monotonic()
            yield data
            self._rest(self._reading.pause_seconds)

    def _rest(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self._deaf:
            time.sleep(min(left, _GLANCE))
            self._be_patient()

    def _take(self, raw: bytes) -> None:
        if not raw.endswith(b"\n"):
            if self._killed or self._deaf:
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
        assert self._process.stderr is not None
        self._stderr = self._process.stderr.read()

    def _end(self) -> None:
        self._deaf = True
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


def run_clear(config: Mapping[str, Any], catalog: Mapping[str, Any], **options: Any) -> WriteResult:
    """A job that clears the data: streams are truncated and have no record, states are emptied (EmptyAirbyteSource).

    Raises:
        Violation: the destination broke a rule.
    """
    truncated = {"sync_mode": "full_refresh", "destination_sync_mode": "overwrite"}
    streams = [
        {**configured, **truncated, "generation_id": configured.get("generation_id", 0) + 1}
        for configured in catalog["streams"]
    ]
    emptied = (
        {"type": "STATE", "state": {"type": "STREAM", "stream": {"stream_descriptor": key, "stream_state": None}}}
        for configured in streams
        for key in [{n: v for n, v in configured["stream"].items() if n in ("name", "namespace")}]
    )
    return run_write(config, {**catalog, "streams": streams}, emptied, **options)


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


def _lines(data: Iterable[bytes]) -> Iterator[bytes]:
    """Whole lines with their ends, and what is left at the end without one."""
    pending: list[bytes] = []
    for piece in data:
        *whole, rest = piece.split(b"\n")
        for part in whole:
            yield b"".join((*pending, part, b"\n"))
            pending = []
        pending += [rest] if rest else []
    if pending:
        yield b"".join(pending)
