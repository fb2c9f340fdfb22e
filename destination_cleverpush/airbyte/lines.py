"""Airbyte's lines in: rows, states, and what the source says about its streams (Airbyte protocol v0)."""

from __future__ import annotations

import json
import os
import select
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, BinaryIO

from destination_cleverpush.airbyte.states import JSON_SPACE, STATE_BYTES, StateText
from destination_cleverpush.errors import Failure, FailureKind
from destination_cleverpush.words import Complete, PassedOver, Row, State, StreamId

_CHUNK_BYTES = 1 << 16
_BLANKS = JSON_SPACE + "\ufeff"  # a byte order mark may begin the input
_STATE_KINDS = frozenset({"STREAM", "GLOBAL", "LEGACY"})

Message = Row | State | Complete | PassedOver


class UnreadableLine(Failure):
    """A line that is no Airbyte message. Its number is told, its content (personal data) never."""

    def __init__(self, number: int, why: str) -> None:
        message = (
            f"Line {number} of the input is not a readable Airbyte message ({why}). The rows before it were sent; the "
            "sync stops here, so that no row is lost unnoticed. This is a fault of the source or of the pipe "
            "between it and this destination, not of CleverPush."
        )
        super().__init__(FailureKind.SYSTEM, message)


def read_lines(stream: BinaryIO) -> Iterator[list[bytes]]:
    """The lines of a binary stream, in batches: each line is handed on as soon as it has arrived whole.

    A real file is read with `os.read`, which holds no lock: a reader that still waits when the process ends does not
    stop it from ending. A descriptor that does not block is waited for.
    """
    try:
        fd = stream.fileno()
    except (AttributeError, OSError):
        yield from ([line] for line in stream)
        return
    rest: list[bytes] = []
    while chunk := _read(fd):
        *lines, last = chunk.split(b"\n")
        if lines:
            lines[0] = b"".join((*rest, lines[0]))
            rest.clear()
            yield lines
        rest.append(last)
    if tail := b"".join(rest):
        yield [tail]


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, _CHUNK_BYTES)
    except BlockingIOError:
        select.select([fd], [], [])
        return _read(fd)


class LineParser:
    """Lines to messages.

    A line that does not begin with a brace is text of something else in the pipe: it is passed over and counted.

    Args:
        streams: that are configured. A record without a namespace belongs to the only one of its name: PyAirbyte's
            cache drops the namespace of records (PyAirbyte repository, issue 903).
        on_difference: called once per stream (None: a state of all) where a state's `sourceStats` count other records
            since the previous state than came here: with the stream, the source's count and ours.
    """

    def __init__(
        self, streams: Iterable[StreamId], on_difference: Callable[[StreamId | None, float, int], None]
    ) -> None:
        self._streams = _by_what_they_are_called(streams)
        self._on_difference = on_difference
        self._decoder = json.JSONDecoder(parse_constant=self._constant)  # json.loads would make a new one for each line
        self._has_constant = False
        self.passed_over = 0
        """Lines that were none of Airbyte's, so far."""
        self._number = 0
        self._positions: dict[StreamId, int] = {}
        self._covered: dict[StreamId, int] = {}
        self._different: set[StreamId | None] = set()

    def parse(self, batches: Iterable[list[bytes]]) -> Iterator[list[Message]]:
        """The messages among the lines, in the same batches.

        Other message types are passed over, since a newer platform may send them; so are blank lines.

        Raises:
            UnreadableLine: at the first line that is not JSON or not an Airbyte message, after the messages before it.
        """
        for batch in batches:
            messages: list[Message] = []
            try:
                for line in batch:
                    self._number += 1
                    if line and not line.isspace() and (message := self._line(line)) is not None:
                        messages.append(message)
            except UnreadableLine:
                yield messages
                raise
            yield messages

    def _line(self, line: bytes) -> Message | None:
        try:
            text = line.decode("utf-8").strip(_BLANKS if self._number == 1 else JSON_SPACE)
            if not text.startswith("{"):
                self.passed_over += 1
                return PassedOver()
            self._has_constant = False
            message, end = self._decoder.raw_decode(text)
            if end != len(text):
                raise _NotAMessage("it is not JSON")
            return self.message(message, text)
        except UnicodeDecodeError:
            if not line.lstrip().startswith(b"{"):
                self.passed_over += 1
                return PassedOver()
            why = "it is not UTF-8"
        except json.JSONDecodeError:
            why = "it is not JSON"
        except _NotAMessage as error:
            why = str(error)
        except (ValueError, RecursionError):
            why = "it holds a number or nesting beyond all limits"
        raise UnreadableLine(self._number, why)

    def message(self, message: Any, text: str) -> Message | None:
        """One decoded message; `text` is its line.

        Raises:
            ValueError: saying what is missing, without quoting the message.
        """
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            raise _NotAMessage("it has no message type")
        kind = message["type"]
        if kind == "RECORD":
            return self._row(message.get("record"), len(text))
        if kind == "STATE":
            if self._has_constant:
                raise _NotAMessage("its state holds NaN or Infinity, which JSON does not have")
            state = self._state(message.get("state"), StateText(text, next(reversed(message)) == "state"))
            self._compare(state.stream, message["state"].get("sourceStats"))
            return state
        return self._complete(message.get("trace")) if kind == "TRACE" else None

    def _row(self, record: Any, size: int) -> Row:
        if not isinstance(record, dict) or not isinstance(record.get("data"), dict):
            raise _NotAMessage("its record has no data")
        emitted_at = record.get("emitted_at")
        stream = self._stream_id(record, "stream")
        position = self._positions[stream] = self._positions.get(stream, 0) + 1
        return Row(stream, record["data"], emitted_at if isinstance(emitted_at, int) else None, size, position)

    def _compare(self, stream: StreamId | None, stats: Any) -> None:
        """Hold the source's count of records since the previous state against what came."""
        streams = list(self._positions) if stream is None else [stream]
        came = 0
        for each in streams:
            position = self._positions.get(each, 0)
            came += position - self._covered.get(each, 0)
            self._covered[each] = position
        count = stats.get("recordCount") if isinstance(stats, dict) else None
        if isinstance(count, int | float) and count != came and stream not in self._different:
            self._different.add(stream)
            self._on_difference(stream, count, came)

    def _state(self, state: Any, text: StateText) -> State:
        if not isinstance(state, dict):
            raise _NotAMessage("its state is missing")
        kind = state.get("type") or "LEGACY"
        if kind not in _STATE_KINDS:
            raise _NotAMessage("its state is of an unknown type")
        size = len(text.line) + STATE_BYTES
        if kind != "STREAM":
            return State(None, size, text)
        stream = state.get("stream")
        descriptor = stream.get("stream_descriptor") if isinstance(stream, dict) else None
        if not isinstance(descriptor, dict):
            raise _NotAMessage("its state names no stream")
        return State(self._stream_id(descriptor, "name"), size, text)

    def _complete(self, trace: Any) -> Complete | None:
        """The end of a stream (`STREAM_STATUS`, `COMPLETE`); all else that a TRACE may say is passed over."""
        status = (
            trace.get("stream_status") if isinstance(trace, dict) and trace.get("type") == "STREAM_STATUS" else None
        )
        if not isinstance(status, dict) or status.get("status") != "COMPLETE":
            return None
        descriptor = status.get("stream_descriptor")
        return Complete(self._stream_id(descriptor, "name")) if isinstance(descriptor, dict) else None

    def _stream_id(self, holder: Mapping[str, Any], key: str) -> StreamId:
        name, namespace = holder.get(key), holder.get("namespace")
        if not isinstance(name, str) or not (namespace is None or isinstance(namespace, str)):
            raise _NotAMessage("it names no stream")
        stream = StreamId(name, namespace or None)
        return self._streams.get(stream, stream)

    def _constant(self, name: str) -> float:
        """NaN and Infinity, which JSON does not have: in a cell they judge the row, anywhere else the line."""
        self._has_constant = True
        return float(name)


def _by_what_they_are_called(streams: Iterable[StreamId]) -> dict[StreamId, StreamId]:
    """The streams, also by their name alone where it can mean but one: one object for all rows of a stream."""
    by_name: dict[str, list[StreamId]] = {}
    for stream in streams:
        by_name.setdefault(stream.name, []).append(stream)
    alone = {StreamId(name): found[0] for name, found in by_name.items() if len(found) == 1}
    return alone | {stream: stream for found in by_name.values() for stream in found}


class _NotAMessage(ValueError):
    pass
