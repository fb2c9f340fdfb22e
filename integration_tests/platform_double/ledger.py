"""The platform's bookkeeping for one sync: what went in, and whether what comes out is right. Pure."""

from __future__ import annotations

import json
import re
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from airbyte_cdk.models import AirbyteMessageSerializer

from integration_tests.platform_double.callers import AIRBYTE, Caller, Line, StreamKey

FAILURE_TYPES = ("config_error", "transient_error", "system_error")


class Violation(AssertionError):
    """The destination broke a rule of the platform."""


class Log(NamedTuple):
    """A LOG message."""

    level: str
    message: str


class _Sent(NamedTuple):
    """A state on its way: as it went in, and the records that it covers."""

    message: Any
    records: int


@dataclass
class Ledger:
    """One sync; streams are known by the source's names.

    Attributes:
        catalog: the configured catalog, under the source's names.
        caller: who feeds the destination.
    """

    catalog: Mapping[str, Any]
    caller: Caller = AIRBYTE
    states: list[dict[str, Any]] = field(default_factory=list)
    logs: list[Log] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._streams = [StreamKey.of(configured["stream"]) for configured in self.catalog.get("streams", ())]
        self._stateless = set(self._streams)
        self._begun: list[StreamKey] = []
        self._records: Counter[StreamKey] = Counter()
        self._waiting: deque[_Sent] = deque()
        self._sent = 0

    def enter(self, message: Line) -> list[bytes]:
        """Note a message of the source; returns the lines for the destination.

        Raises:
            ValueError: this caller cannot send that.
        """
        parsed = _parse_or_none(message) if isinstance(message, str | bytes) else message
        kind = parsed.get("type") if isinstance(parsed, Mapping) else None
        body = parsed.get(str(kind).lower()) if isinstance(parsed, Mapping) else None
        if isinstance(message, Mapping) and kind not in ("RECORD", "STATE") and not self.caller.forwards_all:
            return []
        lines: list[bytes] = []
        if kind == "RECORD" and isinstance(body, Mapping) and isinstance(body.get("stream"), str):
            key = StreamKey(body["stream"], body.get("namespace") or None)
            self._records[key] += 1
            lines += self._begin(key)
            return [*lines, self._line(message)]
        if kind == "STATE" and isinstance(body, Mapping):
            return [*self._begin(*self._stream_of(body)), self._enter_state(self._line(message).decode(), body)]
        line = message if isinstance(message, str | bytes) else json.dumps(message, ensure_ascii=False)
        return [line if isinstance(line, bytes) else line.encode()]

    def end_of_input(self) -> list[bytes]:
        """The last lines for the destination."""
        if self.caller.source_fails:
            return []
        lines: list[bytes] = []
        if self.caller.missing_states:
            for key in [key for key in self._streams if key in self._stateless]:
                lines += self.enter(_missing_state(key))
        if self.caller.statuses == "end":
            lines += [self._status(key, "COMPLETE") for key in self._streams]
        elif self.caller.statuses == "each":
            for key in [key for key in self._streams if key not in self._begun]:
                lines += self._begin(key)
            lines += [self._status(key, "COMPLETE") for key in self._begun[-1:]]
        return lines

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

    def end(self, exit_code: int, stderr: str, *, heard: bool = True) -> None:
        """Judge how the destination ended by itself.

        Args:
            heard: whether its standard output reached anybody.

        Raises:
            Violation: it breaks a rule.
        """
        if "Traceback (most recent call last)" in stderr:
            raise Violation(f"a traceback on standard error:\n{stderr}")
        if exit_code < 0:
            raise Violation(f"it died of signal {-exit_code}")
        if exit_code == 0 and self.errors:
            raise Violation(f"exit code 0 after the error {self.errors[0]['message']!r}")
        if exit_code != 0 and len(self.errors) != 1 and heard:
            raise Violation(f"exit code {exit_code} and {len(self.errors)} errors instead of one\n{stderr}")
        if exit_code == 0 and self._waiting:
            oldest = json.dumps(self._waiting[0].message, ensure_ascii=False)
            raise Violation(f"success, but {len(self._waiting)} states did not come out, the first is {oldest}")

    @property
    def due(self) -> int:
        """How many states have not come out."""
        return len(self._waiting)

    def _line(self, message: Line) -> bytes:
        """A RECORD or STATE as it is sent; what stands written already stays as it is."""
        if isinstance(message, Mapping):
            return json.dumps(self.caller.message(message), ensure_ascii=False).encode()
        if self.caller.renames:
            raise ValueError("a caller that renames takes messages, and no lines")
        return message if isinstance(message, bytes) else message.encode()

    def _begin(self, *keys: StreamKey) -> Iterator[bytes]:
        """The statuses around a stream, where the caller sends them: it reads one stream after the other."""
        for key in keys:
            if self.caller.statuses != "each" or key not in self._streams or self._begun[-1:] == [key]:
                continue
            if key in self._begun:
                raise ValueError(f"this caller has read {key} already")
            yield from (self._status(last, "COMPLETE") for last in self._begun[-1:])
            self._begun.append(key)
            yield from (self._status(key, status) for status in ("STARTED", "RUNNING"))

    def _stream_of(self, state: Mapping[str, Any]) -> list[StreamKey]:
        return [StreamKey.of(state["stream"]["stream_descriptor"])] if state.get("type") == "STREAM" else []

    def _enter_state(self, line: str, state: Mapping[str, Any]) -> bytes:
        """Note a state, and number it. The line stays as it is otherwise, so that nothing is lost in it."""
        self._stateless -= set(self._stream_of(state) or self._streams)
        covered = self._take_records(state)
        if self.caller.numbers_states:
            counted = "" if "sourceStats" in state else f', "sourceStats": {{"recordCount": {covered}.0}}'
            added = f'"id": {self._sent}{counted}'
            line = re.sub(
                r'("state"\s*:\s*\{)(?=\s*(\}?))',
                lambda found: found[1] + added + ("" if found[2] else ", "),
                line,
                count=1,
            )
        message = _exact(line)
        if self.caller.numbers_states and message["state"].get("id") != _Number(str(self._sent)):
            raise ValueError("the line names a 'state' before its state, or has no place for an id")
        self._sent += 1
        self._waiting.append(_Sent(_without_stats(message), covered))
        return line.encode()

    def _take_records(self, state: Mapping[str, Any]) -> int:
        """The records that a state covers; none of them is covered again."""
        if streams := self._stream_of(state):
            return self._records.pop(streams[0], 0)
        covered = self._records.total()
        self._records.clear()
        return covered

    def _judge_state(self, message: Any) -> None:
        found = _without_stats(message)
        if not self._waiting:
            raise Violation(f"a state came out where none is due: {found}")
        due = self._waiting[0]
        if found["state"].get("id") != due.message["state"].get("id"):
            raise Violation(f"the state with id {found['state'].get('id')} came out where this is due: {due.message}")
        if found != due.message:
            raise Violation(f"a state did not come out as it went in: {found} for {due.message}")
        stats = message["state"].get("destinationStats")
        told = _count(stats, "recordCount") + _count(stats, "rejectedRecordCount")
        if told != due.records:
            raise Violation(f"a state tells of {told:g} records; {due.records} were sent: {found}")
        self._waiting.popleft()

    def _status(self, key: StreamKey, status: str) -> bytes:
        descriptor = self.caller.named({"name": key.name}) | ({"namespace": key.namespace} if key.namespace else {})
        trace = {
            "type": "STREAM_STATUS",
            "emitted_at": 1_700_000_000_000.0,
            "stream_status": {"stream_descriptor": descriptor, "status": status},
        }
        return json.dumps({"type": "TRACE", "trace": trace}).encode()


def _missing_state(key: StreamKey) -> dict[str, Any]:
    """The state that the CDK's sources emit at the end of a stream that has no cursor."""
    descriptor = {"name": key.name} | ({"namespace": key.namespace} if key.namespace else {})
    described = {"stream_descriptor": descriptor, "stream_state": {"__ab_no_cursor_state_message": True}}
    return {"type": "STATE", "state": {"type": "STREAM", "stream": described}}


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
