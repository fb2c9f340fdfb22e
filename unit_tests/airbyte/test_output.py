"""Standard output: every byte arrives, whatever the descriptor is, and nobody waits for ever."""

from __future__ import annotations

import fcntl
import io
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import Any

import pytest

from destination_cleverpush.airbyte.output import Output, OutputClosed
from destination_cleverpush.errors import Failure, FailureKind
from unit_tests.server import wait_until

LINES = [f"{number} " + "x" * 1000 for number in range(3_000)]
"""Much more than a pipe holds."""
SENT = "".join(f"{line}\n" for line in LINES).encode()


class Pipe:
    """A pipe, and an output that writes to it."""

    def __init__(self, *, blocking: bool, capacity: int | None = None, most_bytes: int = 1 << 16) -> None:
        self.reading, writing = os.pipe()
        os.set_blocking(writing, blocking)
        if capacity is not None:
            fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, capacity)
        self.sink = os.fdopen(writing, "wb", buffering=0)
        self.output = Output(self.sink, most_bytes)
        self._reader_closed = False

    def read(self, length: int = len(SENT)) -> bytes:
        """So many bytes, unless the pipe ends before."""
        parts, left = [], length
        while left and (part := os.read(self.reading, min(left, 1 << 16))):
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    def close_reader(self) -> None:
        if not self._reader_closed:
            self._reader_closed = True
            os.close(self.reading)


@contextmanager
def pipe(**options: Any) -> Iterator[Pipe]:
    """A pipe whose output writes nothing any more in the end: its descriptor may be another file's by then."""
    found = Pipe(**options)
    try:
        yield found
    finally:
        found.close_reader()
        wait_until(lambda: found.output._error is not None or not found.output._unwritten)
        found.sink.close()


def beside(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


# --- every byte


@pytest.mark.parametrize("blocking", [True, False])
@pytest.mark.parametrize("capacity", [None, 4096])
def test_every_byte_arrives_through_a_raw_descriptor(blocking: bool, capacity: int | None) -> None:
    """As with PYTHONUNBUFFERED=1; a pipe that does not block takes a part and says so, or nothing at all."""
    with pipe(blocking=blocking, capacity=capacity) as p:

        def write() -> None:
            for line in LINES:
                p.output.write(line)

        beside(write)
        assert p.read() == SENT
        p.output.flush()


@pytest.mark.parametrize("blocking", [True, False])
def test_a_reader_that_comes_late_misses_nothing(blocking: bool) -> None:
    with pipe(blocking=blocking) as p:
        p.output.tell(*LINES)
        time.sleep(0.2)
        assert p.read() == SENT
        p.output.flush()


def test_a_descriptor_that_takes_a_part_is_given_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    with pipe(blocking=True) as p:
        whole, fd = os.write, p.sink.fileno()
        monkeypatch.setattr(os, "write", lambda to, data: whole(to, data[:7] if to == fd else data))
        p.output.write("one line that is longer", "another line")
        p.output.flush()
        assert p.read(37) == b"one line that is longer\nanother line\n"
        monkeypatch.undo()


def test_lines_are_utf_8_and_half_characters_do_no_harm() -> None:
    with pipe(blocking=True) as p:
        p.output.write("\u00e4 \ud800")
        p.output.flush()
        assert p.read(10) == "\u00e4 \\ud800\n".encode()


def test_lines_of_many_threads_stay_whole_and_in_order() -> None:
    with pipe(blocking=False) as p:

        def write(name: int) -> None:
            for number in range(200):
                p.output.write(f"{name} {number} " + "x" * 500)

        threads = [beside(lambda name=name: write(name)) for name in range(5)]  # type: ignore[misc]
        length = sum(len(f"{name} {number} \n") + 500 for name in range(5) for number in range(200))
        found = [line.split(b" ") for line in p.read(length).splitlines()]
        for thread in threads:
            thread.join(10)
    for name in range(5):
        assert [int(number) for who, number, _ in found if int(who) == name] == list(range(200))


def test_a_stream_without_a_descriptor_has_its_buffer_written() -> None:
    buffer = io.BytesIO()
    output = Output(SimpleNamespace(buffer=buffer))
    output.write("one", "two")
    output.flush()
    assert buffer.getvalue() == b"one\ntwo\n"


# --- waiting


def test_telling_never_waits_and_writing_does() -> None:
    with pipe(blocking=True) as p:
        p.output.tell(*LINES)  # nobody reads: it would stand here for ever
        written = threading.Event()

        def write() -> None:
            p.output.write("last")
            written.set()

        beside(write)
        assert not written.wait(0.2)
        assert p.read(len(SENT) + 5) == SENT + b"last\n"
        assert written.wait(10)


@pytest.mark.parametrize("hurried_first", [True, False])
@pytest.mark.parametrize("call", [lambda output: output.write("last"), lambda output: output.flush()])
def test_hurry_ends_all_waiting(call: Callable[[Output], None], hurried_first: bool) -> None:
    failures: list[Failure] = []

    def wait(output: Output) -> None:
        try:
            call(output)
        except Failure as failure:
            failures.append(failure)

    with pipe(blocking=False) as p:
        p.output.tell(*LINES)
        if hurried_first:
            p.output.hurry(0.05)
            p.output.hurry(600)  # the earlier end counts
        waiting = beside(lambda: wait(p.output))
        if not hurried_first:
            time.sleep(0.05)
            assert waiting.is_alive()
            p.output.hurry(0.05)
        waiting.join(10)
    (failure,) = failures
    assert failure.kind is FailureKind.SYSTEM
    assert failure.message == "Standard output was not read in time; states that were not read are sent again."


def test_hurry_does_not_hinder_what_is_read_in_time() -> None:
    with pipe(blocking=False) as p:
        p.output.hurry(30)
        p.output.tell(*LINES)
        beside(p.output.flush)
        assert p.read() == SENT


# --- nobody reads, or nothing can be written


@pytest.mark.parametrize("blocking", [True, False])
def test_a_reader_that_has_gone_is_told_from_a_failure(blocking: bool) -> None:
    with pipe(blocking=blocking) as p:
        p.close_reader()
        p.output.tell("lost")
        with pytest.raises(OutputClosed):
            p.output.flush()
        p.output.tell("lost too")
        with pytest.raises(OutputClosed):
            p.output.write("lost as well")


def test_a_reader_that_goes_while_a_writer_waits() -> None:
    with pipe(blocking=True) as p:
        p.output.tell(*LINES)
        threading.Timer(0.05, p.close_reader).start()
        with pytest.raises(OutputClosed):
            p.output.write("lost")


@pytest.mark.parametrize("asked_first", [True, False])
def test_a_reader_that_has_gone_is_told_though_nobody_writes_any_more(asked_first: bool) -> None:
    told = threading.Event()
    with pipe(blocking=True) as p:
        p.close_reader()
        if asked_first:
            p.output.when_broken(told.set)
        p.output.tell("a state")
        if not asked_first:
            wait_until(lambda: p.output._error is not None)
            p.output.when_broken(told.set)
        assert told.wait(10)


def test_a_full_disk_is_a_failure() -> None:
    with open("/dev/full", "wb", buffering=0) as full:  # noqa: PTH123
        output = Output(full)
        with suppress(Failure):
            output.write("lost")  # it may not have been tried yet
        with pytest.raises(Failure) as failure:
            output.flush()
        with pytest.raises(Failure):
            output.write("lost too")
    assert failure.value.kind is FailureKind.SYSTEM
    assert failure.value.message == "Standard output cannot be written (No space left on device)."
