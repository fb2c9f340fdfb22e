"""Airbyte's protocol on the wire: lines in, lines out (Airbyte protocol v0, airbyte-protocol repository).

The CDK's message classes drop every field that they do not know. The platform gives each state an `id` and finds its
bookkeeping by it when the state comes back (airbyte-platform repository, `StateWithId`), so a state is kept here as
the text that came in, and only `destinationStats` is put into it.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from copy import copy
from enum import Enum
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any, BinaryIO, NamedTuple

from airbyte_cdk.logger import AirbyteLogFormatter
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

_CHUNK_BYTES = 1 << 16
_JSON_SPACE = " \t\r\n"
_EMPTY_BEFORE = "{" + _JSON_SPACE


class StreamId(NamedTuple):
    """A stream's identity: its name, and its namespace where it has one."""

    name: str
    namespace: str | None = None

    def __str__(self) -> str:
        return f"{self.namespace}.{self.name}" if self.namespace else self.name


class StateKind(Enum):
    """What a state covers: one stream, or all of them."""

    STREAM = "STREAM"
    GLOBAL = "GLOBAL"
    LEGACY = "LEGACY"


class Record(NamedTuple):
    """One row of one stream. `size` is the length of its line in bytes; `emitted_at` is in epoch milliseconds."""

    stream: StreamId
    data: Mapping[str, Any]
    emitted_at: int | None
    size: int


class State(NamedTuple):
    """A state as it came in. `stream` is set for the kind STREAM alone; `is_last`: nothing follows it in its line."""

    kind: StateKind
    stream: StreamId | None
    line: str
    is_last: bool = False


Message = Record | State


class UnreadableLine(AirbyteTracedException):
    """A line that is no Airbyte message. Its number is told, its content (personal data) never."""

    def __init__(self, number: int, why: str) -> None:
        message = (
            f"Line {number} of the input is not a readable Airbyte message ({why}). The rows before it were sent; the "
            "sync stops here, so that no row is lost unnoticed. This is a fault of the source or of the pipe "
            "between it and this destination, not of CleverPush."
        )
        super().__init__(message=message, internal_message=message, failure_type=FailureType.system_error)


def read_lines(stream: BinaryIO) -> Iterator[list[bytes]]:
    """The lines of a binary stream, in batches: each line is handed on as soon as it has arrived whole.

    A real file is read with `os.read`, which holds no lock: a reader that still waits when the process ends does not
    stop it from ending.
    """
    try:
        fd = stream.fileno()
    except (AttributeError, OSError):
        yield from ([line] for line in stream)
        return
    rest: list[bytes] = []
    while chunk := os.read(fd, _CHUNK_BYTES):
        *lines, last = chunk.split(b"\n")
        if lines:
            lines[0] = b"".join((*rest, lines[0]))
            rest.clear()
            yield lines
        rest.append(last)
    if tail := b"".join(rest):
        yield [tail]


def parse_lines(batches: Iterable[list[bytes]]) -> Iterator[list[Message]]:
    """The records and states among the lines, in the same batches.

    Other message types are passed over, since a newer platform may send them; so are blank lines.

    Raises:
        UnreadableLine: at the first line that is not JSON or not an Airbyte message, after the messages before it.
    """
    number = 0
    for batch in batches:
        messages: list[Message] = []
        try:
            for number, line in enumerate(batch, start=number + 1):  # noqa: B020 - counts on
                if line and not line.isspace() and (message := _parse_line(number, line)) is not None:
                    messages.append(message)
        except UnreadableLine:
            yield messages
            raise
        yield messages


def _parse_line(number: int, line: bytes) -> Message | None:
    try:
        text = line.decode("utf-8").strip(_JSON_SPACE)
        message, end = _DECODER.raw_decode(text)
        if end != len(text):
            raise _NotAMessage("it is not JSON")
        return parse_message(message, text)
    except UnicodeDecodeError:
        why = "it is not UTF-8"
    except json.JSONDecodeError:
        why = "it is not JSON"
    except _NotAMessage as error:
        why = str(error)
    except (ValueError, RecursionError):
        why = "it holds a number or nesting beyond all limits"
    raise UnreadableLine(number, why)


def parse_message(message: Any, text: str) -> Message | None:
    """One decoded message; `text` is its line.

    Raises:
        ValueError: saying what is missing, without quoting the message.
    """
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise _NotAMessage("it has no message type")
    if message["type"] == "RECORD":
        return _record(message.get("record"), len(text))
    if message["type"] == "STATE":
        return _state(message.get("state"), text, next(reversed(message)) == "state")
    return None


def with_stats(state: State, delivered: int, rejected: int) -> str:
    """The state's line as it came in, to the letter, with `destinationStats` put into its state.

    The platform compares `recordCount + rejectedRecordCount` with its own count of the rows since the previous state
    (airbyte-platform repository, `StateCheckSumCountEventHandler`); both are decimals on the wire.
    """
    stats = f'"destinationStats":{{"recordCount":{float(delivered)},"rejectedRecordCount":{float(rejected)}}}'
    line, has_stats = state.line, "destinationStats" in state.line
    if state.is_last and not has_stats and line[-2] == "}" and line[-3] not in _EMPTY_BEFORE:  # as it nearly always is
        return f"{line[:-2]},{stats}}}}}"
    found = [member for member in _members(line, line.index("{")) if member.key == "state"][-1]
    if not has_stats:
        close = found.end - 1
        comma = "," if _skip(line, found.value + 1) < close else ""
        return f"{line[:close]}{comma}{stats}{line[close:]}".strip()
    kept = [line[m.start : m.end] for m in _members(line, found.value) if m.key != "destinationStats"]
    return f"{line[: found.value]}{{{','.join([*kept, stats])}}}{line[found.end :]}".strip()


class _Member(NamedTuple):
    """A member of a JSON object: where it starts, where its value starts, and where both end."""

    key: str
    start: int
    value: int
    end: int


_SCANNER = json.JSONDecoder(parse_int=len, parse_float=len)  # finds where a value ends; numbers are never converted


def _members(text: str, start: int) -> list[_Member]:
    """The members of the JSON object that starts at `start`, in a text known to be JSON."""
    members: list[_Member] = []
    position = _skip(text, start + 1)
    while text[position] != "}":
        key, after = scanstring(text, position + 1, False)
        value = _skip(text, _skip(text, after) + 1)
        _, end = _SCANNER.raw_decode(text, value)
        members.append(_Member(key, position, value, end))
        position = _skip(text, end)
        if text[position] == ",":
            position = _skip(text, position + 1)
    return members


def _skip(text: str, position: int) -> int:
    while text[position] in _JSON_SPACE:
        position += 1
    return position


class _NotAMessage(ValueError):
    pass


def _refuse_constant(name: str) -> Any:
    raise _NotAMessage(f"{name} is not a JSON number")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)  # json.loads would make a new one for each line


def _record(record: Any, size: int) -> Record:
    if not isinstance(record, dict) or not isinstance(record.get("data"), dict):
        raise _NotAMessage("its record has no data")
    emitted_at = record.get("emitted_at")
    return Record(
        _stream_id(record, "stream"),
        record["data"],
        emitted_at if isinstance(emitted_at, int) else None,
        size,
    )


def _state(state: Any, text: str, is_last: bool) -> State:
    if not isinstance(state, dict):
        raise _NotAMessage("its state is missing")
    try:
        kind = StateKind(state.get("type") or "LEGACY")
    except ValueError:
        raise _NotAMessage("its state is of an unknown type") from None
    if kind is not StateKind.STREAM:
        return State(kind, None, text, is_last)
    stream = state.get("stream")
    descriptor = stream.get("stream_descriptor") if isinstance(stream, dict) else None
    if not isinstance(descriptor, dict):
        raise _NotAMessage("its state names no stream")
    return State(kind, _stream_id(descriptor, "name"), text, is_last)


def _stream_id(holder: Mapping[str, Any], key: str) -> StreamId:
    name, namespace = holder.get(key), holder.get("namespace")
    if not isinstance(name, str) or not (namespace is None or isinstance(namespace, str)):
        raise _NotAMessage("it names no stream")
    return StreamId(name, namespace or None)


class Output:
    """Airbyte's standard output: whole lines from any thread, flushed at once.

    The CDK prints into a buffer, which would hold acknowledged states back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def write(self, *lines: str) -> None:
        """Write the lines and push them into the pipe."""
        data = "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")
        with self._lock:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()


class OutputLogHandler(logging.Handler):
    """Log records as Airbyte LOG lines, with the CDK's secret filter, through the same output as the states."""

    def __init__(self, output: Output) -> None:
        super().__init__()
        self._output = output
        self.setFormatter(AirbyteLogFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        """Write one log record, unless nobody reads any more."""
        # The CDK's formatter refuses half characters (lone surrogates), which a row may hold.
        told = copy(record)  # the record itself belongs to all handlers
        told.msg, told.args = record.getMessage().encode("utf-8", "backslashreplace").decode(), None
        with suppress(BrokenPipeError):
            self._output.write(self.format(told))


def error_trace(error: AirbyteTracedException, now: float, stack: str | None = None) -> str:
    """The TRACE ERROR line for a failure.

    Args:
        now: epoch seconds.
        stack: where in the connector an unforeseen failure happened; None for failures that the user can understand.
    """
    trace = {
        "type": "TRACE",
        "trace": {
            "type": "ERROR",
            "emitted_at": int(now * 1000),
            "error": {
                "message": filter_secrets(error.message or ""),
                "internal_message": filter_secrets(error.internal_message or ""),
                "failure_type": error.failure_type.value,
                **({"stack_trace": filter_secrets(stack)} if stack else {}),
            },
        },
    }
    return json.dumps(trace)
