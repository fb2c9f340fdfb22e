"""A call ends in time, whatever the server does; here the time-out is 0.2 s and a call may take twice as long."""

from __future__ import annotations

import re
import socket
import ssl
import threading
import time
from pathlib import Path

import pytest

from destination_cleverpush.api.client import Client
from destination_cleverpush.words import Answer, Operation, Verdict
from unit_tests.api.calls import SYNC, TAG, settings
from unit_tests.api.wire import Script, read_request, reset, then_without_end, wire

TIMEOUT = 0.2
OK = b"HTTP/1.1 200 OK\r\n"
INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
GZIP = b"\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\x03"  # a file name follows, up to a zero byte
ENDLESS = {
    "status line": (b"HTTP/1.1 200 ", b"O"),
    "header line": (OK + b"X-A: ", b"a"),
    "header lines": (OK, b"X: y\r\n"),
    "continue": (b"", CONTINUE),
    "interim": (b"", INTERIM),
    "body": (OK + b"Content-Length: 100000\r\n\r\n", b" "),
    "chunk extension": (OK + b"Transfer-Encoding: chunked\r\n\r\n5;a=", b"a"),
    "chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "trailer": (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX: ", b"a"),
    "gzip header": (OK + b"Content-Encoding: gzip\r\nContent-Length: 100000\r\n\r\n" + GZIP, b"a"),
}


def timed_answer(url: str, operation: Operation = SYNC) -> tuple[Answer, float]:
    started = time.monotonic()
    answer = Client(settings(url, TIMEOUT)).send(operation)
    return answer, time.monotonic() - started


@pytest.mark.parametrize("name", ENDLESS)
def test_what_trickles_without_end_is_ended(name: str) -> None:
    with wire(then_without_end(*ENDLESS[name], pause=0.02)) as url:
        answer, seconds = timed_answer(url)
    assert (answer.verdict, answer.summary) == (Verdict.RETRY, f"gave no answer within {TIMEOUT} s")
    assert TIMEOUT < seconds < 15  # and not for ever


@pytest.mark.parametrize("name", ["header line", "interim", "gzip header"])
def test_over_tls_too(name: str, tls: ssl.SSLContext) -> None:
    with wire(then_without_end(*ENDLESS[name], pause=0.02), tls) as url:
        answer, seconds = timed_answer(url)
    assert answer.summary == f"gave no answer within {TIMEOUT} s"
    assert seconds < 15  # and not for ever


@pytest.mark.parametrize("interim", [CONTINUE, INTERIM])
def test_a_flood_is_ended_like_a_trickle(interim: bytes) -> None:
    with wire(then_without_end(b"", interim * 100, pause=0)) as url:
        answer, seconds = timed_answer(url)
    assert answer.summary == f"gave no answer within {TIMEOUT} s"
    assert seconds < 15  # and not for ever


def test_a_silence_at_the_end_ends_with_the_deadline() -> None:
    """The last wait is shortened: 0.9 of two time-outs of 0.5 s are over when the server falls silent."""

    def script(sock: socket.socket, ending: threading.Event) -> None:
        read_request(sock)
        for byte in (OK[:1], OK[1:2], OK[2:3]):
            sock.sendall(byte)
            ending.wait(0.45)
        ending.wait(60)

    with wire(script) as url:
        started = time.monotonic()
        assert Client(settings(url, 0.5)).send(SYNC).summary == "gave no answer within 0.5 s"
    assert 0.95 < time.monotonic() - started < 1.25, "it would take 1.4 s"


def test_a_proxy_that_trickles_or_is_silent_is_ended(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for pause in (0.02, 60):
        with wire(then_without_end(b"HTTP/1.1 200 OK\r\nX: ", b"a", pause)) as proxy:
            monkeypatch.setenv("https_proxy", proxy)
            answer, seconds = timed_answer("https://127.0.0.1:9")
        assert re.fullmatch(
            rf"could not be connected to through the proxy \S+ \(environment variable https_proxy\) within {TIMEOUT} s",
            answer.summary,
        )
        assert answer.local, "no byte of the row has left"
        assert seconds < 15  # and not for ever


def test_a_silent_handshake_is_ended() -> None:
    with wire(then_without_end(b"", b"", pause=60)) as url:
        answer, seconds = timed_answer(url.replace("http:", "https:"))
    assert (answer.summary, answer.local) == (f"could not be connected to within {TIMEOUT} s", True)
    assert seconds < 15  # and not for ever


@pytest.mark.parametrize("secure", [False, True])
def test_a_server_that_reads_a_large_row_slowly_is_ended(secure: bool, tls: ssl.SSLContext) -> None:
    def slowly(sock: socket.socket, ending: threading.Event) -> None:
        while not ending.wait(0.05) and sock.recv(1 << 16):
            pass

    large = Operation(SYNC.action, {"x": "x" * 16_000_000})
    with wire(slowly, tls if secure else None) as url:
        answer, seconds = timed_answer(url, large)
    assert answer.summary == f"gave no answer within {TIMEOUT} s"
    assert not answer.local, "the server has seen some of the row"
    assert seconds < 3, "it would take twelve"


def test_a_large_row_arrives_whole() -> None:
    seen = []

    def script(sock: socket.socket, _: threading.Event) -> None:
        seen.append(read_request(sock))
        sock.sendall(OK + b"Content-Length: 2\r\n\r\n{}")

    with wire(script) as url:
        assert timed_answer(url, Operation(SYNC.action, {"x": "ab" * 500_000}))[0].verdict is Verdict.DELIVERED
    assert seen[0].endswith(b'"x": "' + b"ab" * 500_000 + b'"}')


def test_interim_answers_are_passed_over() -> None:
    interim = b"".join(b"HTTP/1.1 %d Wait\r\nX: y\r\n\r\n" % status for status in (100, 102, 103, 199))

    def script(sock: socket.socket, _: threading.Event) -> None:
        while read_request(sock).strip():
            sock.sendall(interim + b'HTTP/1.1 201 OK\r\nContent-Length: 12\r\n\r\n{"id": "a1"}')

    with wire(script) as url:
        client = Client(settings(url, TIMEOUT))
        for _ in range(2):
            answer = client.send(SYNC)
            assert (answer.status, answer.ids) == (201, ("a1",))


def test_the_time_of_a_call_is_its_own() -> None:
    """What the deadline of one call left over does not shorten the waits of the next on the same connection."""

    def script(sock: socket.socket, ending: threading.Event) -> None:
        for pauses in ((0.15, 0.15), (0.15,)):
            read_request(sock)
            for pause in pauses:
                sock.sendall(CONTINUE)
                ending.wait(pause)
            sock.sendall(OK + b"Content-Length: 2\r\n\r\n{}")

    with wire(script) as url:
        client = Client(settings(url, TIMEOUT))
        assert [client.send(TAG).verdict for _ in range(2)] == [Verdict.DELIVERED] * 2


# --- connections that are reset


def resetting(*, after_request: bool, answers: int = 0) -> Script:
    def script(sock: socket.socket, ending: threading.Event) -> None:
        for _ in range(answers):
            read_request(sock)
            sock.sendall(OK + b"Content-Length: 2\r\n\r\n{}")
        if after_request:
            read_request(sock)
        reset(sock)

    return script


def test_a_new_connection_that_is_reset_is_a_sign_of_too_many() -> None:
    with wire(resetting(after_request=False)) as url:
        early, _ = timed_answer(url)
    with wire(resetting(after_request=True)) as url:
        late, _ = timed_answer(url)
    assert (early.verdict, early.congested) == (Verdict.RETRY, True)
    assert (late.verdict, late.congested) == (Verdict.RETRY, True)
    assert not late.local, "the server has seen the row"


def test_a_handshake_that_is_reset_judges_no_row() -> None:
    with wire(resetting(after_request=False)) as url:
        answer, _ = timed_answer(url.replace("http:", "https:"))
    assert (answer.verdict, answer.local, answer.congested) == (Verdict.RETRY, True, True)


def test_a_kept_connection_that_is_closed_is_no_sign_of_too_many() -> None:
    with wire(resetting(after_request=True, answers=1)) as url:
        client = Client(settings(url, TIMEOUT))
        assert client.send(SYNC).verdict is Verdict.DELIVERED
        answer = client.send(SYNC)
    assert (answer.verdict, answer.congested, answer.local) == (Verdict.RETRY, False, False)
