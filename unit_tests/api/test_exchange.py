"""Calls whose answers nobody waits for: begun over a kept connection, and looked at when something comes."""

from __future__ import annotations

import base64
import gzip
import http.client
import io
import socket
import ssl
import threading
import time

import pytest
from hypothesis import given
from hypothesis import settings as settings_
from hypothesis import strategies as st

from destination_cleverpush.api.client import Client
from destination_cleverpush.api.exchange import is_whole, plain
from destination_cleverpush.words import Action, Answer, Operation, Verdict
from unit_tests.api.calls import SYNC, TAG, begun, land, settings
from unit_tests.api.test_deadline import ENDLESS
from unit_tests.api.wire import Script, read_request, reset, wire
from unit_tests.server import Canned, Server, said

TAKEN = b'HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{"id": "s1"}'
CHUNKED = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n{"id":\r\n6\r\n "s1"}\r\n0\r\n\r\n'
WHOLE = {
    "length": TAKEN,
    "no body": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "length in other words": b'HTTP/1.1 200 OK\ncontent-length:\t12 \nX: y\n\n{"id": "s1"}',
    "chunks": CHUNKED,
    "gzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 32\r\n\r\n"
    + gzip.compress(b'{"id": "s1"}', mtime=0),
    "no content, with a length": b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n",
    "refusal": b'HTTP/1.1 422 No\r\nContent-Length: 18\r\n\r\n{"error": "no way"',
}
UNCLEAR = {
    "until it closes": b"HTTP/1.1 200 OK\r\n\r\n",
    "interim": b"HTTP/1.1 100 Continue\r\n\r\n" + TAKEN,
    "chunks, not all": CHUNKED[:-9],
    "a trailer": CHUNKED[:-2] + b"X: y\r\n\r\n",
    "no number": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    "chunks and a length": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n",
}


@pytest.mark.parametrize("name", WHOLE)
def test_the_end_of_an_answer_shows(name: str) -> None:
    answer = WHOLE[name]
    assert is_whole(answer) is True
    assert not any(is_whole(answer[:end]) for end in range(len(answer)))


@pytest.mark.parametrize("name", UNCLEAR)
def test_the_end_of_an_answer_does_not_show(name: str) -> None:
    assert is_whole(UNCLEAR[name]) is None


PLAIN = TAKEN.replace(b"OK", b"OK\r\nServer:nginx \r\nconnection: Keep-Alive\r\nX-A: 1\r\nx-a: \xe4")
NOT_PLAIN = {
    "not all": TAKEN[:-1],
    "more than all": TAKEN + b"H",
    "closes": TAKEN.replace(b"OK", b"OK\r\nConnection: close"),
    "old": TAKEN.replace(b"1.1", b"1.0"),
    "interim": UNCLEAR["interim"],
    "folded": TAKEN.replace(b"OK", b"OK\r\nX: y\r\n z"),
    "no colon": TAKEN.replace(b"OK", b"OK\r\nX"),
    "no head": b"HTTP/1.1 200 OK\r\n\r\n",
    "two lengths": TAKEN.replace(b"OK", b"OK\r\nContent-Length: 12"),
    "status of four digits": TAKEN.replace(b"200", b"2000"),
    "chunks and a length": CHUNKED.replace(b"OK", b"OK\r\nContent-Length: 12"),
    "a chunk that is too short": CHUNKED.replace(b"6\r\n{", b"5\r\n{"),
    "a chunk with an extension": CHUNKED.replace(b"6\r\n{", b"6;x=y\r\n{"),
    "more after the last chunk": CHUNKED + CHUNKED,
    "chunks and a blank": CHUNKED.replace(b"chunked", b"chunked "),
    "a long head": TAKEN.replace(b"OK", b"OK\r\na: " + b"x" * 20_000),
    "a trailer": UNCLEAR["a trailer"],
    **{name: WHOLE[name] for name in ("length in other words", "gzip", "no content, with a length")},
}


class _Received(io.BytesIO):
    def makefile(self, _mode: str) -> io.BytesIO:
        return self


@settings_(max_examples=500, deadline=None)
@given(
    st.sampled_from([PLAIN, CHUNKED, *WHOLE.values()]),
    st.lists(st.tuples(st.integers(0, 90), st.integers(0, 2), st.binary(max_size=2)), max_size=2),
)
def test_what_is_read_as_plain_is_what_http_client_reads(answer: bytes, changes: list[tuple[int, int, bytes]]) -> None:
    for at, cut, put in changes:
        answer = answer[:at] + put + answer[at + cut :]
    found = plain(answer, 1 << 16)
    assert found is not None or changes or answer not in (PLAIN, CHUNKED, TAKEN)
    if found is not None:
        theirs = http.client.HTTPResponse(_Received(answer), method="POST")  # type: ignore[arg-type]
        theirs.begin()
        assert (found.status, found.body) == (theirs.status, theirs.read().lstrip())
        assert not theirs.will_close
        for name in theirs.headers:
            values = theirs.headers.get_all(name, [])
            assert found.headers[name] == ", ".join(value.lstrip(" \t") for value in values)


@pytest.mark.parametrize("name", NOT_PLAIN)
def test_other_forms_are_left_to_http_client(name: str) -> None:
    assert plain(NOT_PLAIN[name], 1 << 16) is None


def test_a_long_answer_is_left_to_http_client() -> None:
    assert plain(TAKEN, len(TAKEN)) is not None
    assert plain(TAKEN, len(TAKEN) - 1) is None


def answers(first: bytes, pieces: list[bytes], pause: float = 0.0) -> Script:
    """Answer one request with `first`, and the next in pieces; then nothing more."""

    def script(sock: socket.socket, ending: threading.Event) -> None:
        read_request(sock)
        sock.sendall(first)
        read_request(sock)
        for piece in pieces:
            sock.sendall(piece)
            ending.wait(pause)
        ending.wait(60)

    return script


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("whole", [TAKEN, CHUNKED, WHOLE["gzip"]])
def test_an_answer_in_one_piece_is_there_at_the_first_look(whole: bytes, secure: bool, tls: ssl.SSLContext) -> None:
    with wire(answers(TAKEN, [whole]), tls if secure else None) as url:
        looks = list(land(begun(Client(settings(url)))))
    found = [look for look in looks if look is not None]
    assert [(answer.verdict, answer.ids) for answer in found] == [(Verdict.DELIVERED, ("s1",))]


@pytest.mark.parametrize("secure", [False, True])
def test_an_answer_in_pieces_is_gathered_without_waiting(secure: bool, tls: ssl.SSLContext) -> None:
    pieces = [TAKEN[at : at + 1] for at in range(len(TAKEN))]
    with wire(answers(TAKEN, pieces, 0.002), tls if secure else None) as url:
        call = begun(Client(settings(url)))
        started = time.monotonic()
        assert call.look() is None or time.monotonic() - started < 5
        *early, last = land(call)
    assert early.count(None) == len(early) > 3
    assert last is not None
    assert last.ids == ("s1",)
    assert not call.blocks


def test_no_content_is_there_at_once_whatever_length_it_names() -> None:
    with wire(answers(TAKEN, [WHOLE["no content, with a length"]])) as url:
        *_, answer = land(begun(Client(settings(url, 0.5))))
    assert answer == Answer(Verdict.DELIVERED, status=200)


@pytest.mark.parametrize("name", ["chunks, not all", "a trailer", "interim"])
def test_an_answer_whose_end_does_not_show_is_waited_for(name: str) -> None:
    rest = {"chunks, not all": CHUNKED[-9:]}.get(name, b"")
    with wire(answers(TAKEN, [UNCLEAR[name], rest], 0.05)) as url:
        call = begun(Client(settings(url)))
        assert list(land(call)) == [None]
        assert call.blocks
        assert call.wait().ids == ("s1",)


@pytest.mark.parametrize("name", ENDLESS)
def test_what_trickles_without_end_is_ended(name: str) -> None:
    start, again = ENDLESS[name]

    def script(sock: socket.socket, ending: threading.Event) -> None:
        read_request(sock)
        sock.sendall(TAKEN)
        read_request(sock)
        sock.sendall(start)
        while not ending.wait(0.02):
            sock.sendall(again)

    with wire(script) as url:
        call = begun(Client(settings(url, 0.2)))
        *_, last = land(call)
        answer = call.wait() if last is None else last
    assert (answer.verdict, answer.summary) == (Verdict.RETRY, "gave no answer within 0.2 s")


@pytest.mark.parametrize("secure", [False, True])
def test_a_silent_server_is_ended(secure: bool, tls: ssl.SSLContext) -> None:
    with wire(answers(TAKEN, []), tls if secure else None) as url:
        client = Client(settings(url, 0.3))
        *_, answer = land(begun(client))
        assert answer is not None
        assert (answer.verdict, answer.summary) == (Verdict.RETRY, "gave no answer within 0.3 s")
        assert client.begin(SYNC) is None  # an answer that comes late is nobody's


def test_an_answer_that_is_there_counts_however_late_it_is_looked_at() -> None:
    with wire(answers(TAKEN, [TAKEN])) as url:
        call = begun(Client(settings(url, 0.1)))
        time.sleep(0.4)  # as of a process that was stopped
        answer = call.look()
    assert answer is not None
    assert answer.ids == ("s1",)


@pytest.mark.parametrize("hard", [False, True])
def test_a_connection_that_breaks_is_told_as_such(hard: bool) -> None:
    def script(sock: socket.socket, ending: threading.Event) -> None:
        read_request(sock)
        sock.sendall(TAKEN)
        read_request(sock)
        sock.sendall(TAKEN[:-1])
        if hard:
            reset(sock)

    with wire(script) as url:
        *_, answer = land(begun(Client(settings(url))))
    assert answer is not None
    assert (answer.verdict, answer.summary, answer.congested) == (Verdict.RETRY, "broke off the connection", False)


@pytest.mark.parametrize("said_before", [b"HTTP/1.1 429 No\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", b""])
def test_an_answer_counts_that_came_before_the_request_could_be_sent(
    said_before: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    begins, refused = threading.Event(), threading.Event()

    def script(sock: socket.socket, _ending: threading.Event) -> None:
        read_request(sock)
        sock.sendall(TAKEN)
        assert begins.wait(10)
        sock.sendall(said_before)
        reset(sock)
        refused.set()

    with wire(script) as url:
        client = Client(settings(url))
        assert client.send(SYNC).verdict is Verdict.DELIVERED
        send = http.client.HTTPConnection.send

        def late(connection: http.client.HTTPConnection, data: bytes) -> None:
            begins.set()
            assert refused.wait(10)
            time.sleep(0.05)
            send(connection, data)

        monkeypatch.setattr(http.client.HTTPConnection, "send", late)
        call = client.begin(SYNC)
        assert call is not None
        answer = call if isinstance(call, Answer) else call.look()
    assert answer is not None
    if said_before:
        assert (answer.verdict, answer.delay) == (Verdict.THROTTLED, 7)
    else:
        assert (answer.verdict, answer.local) == (Verdict.RETRY, True), "no row is judged by what was never sent"


@pytest.mark.parametrize("size", [10, 1 << 14, 1 << 16])
def test_head_and_body_of_a_short_request_leave_together(size: int) -> None:
    pieces: list[bytes] = []

    def script(sock: socket.socket, _ending: threading.Event) -> None:
        while request := sock.recv(1 << 20):
            pieces.append(request)
            if request.endswith(b"}"):
                sock.sendall(TAKEN)

    row = Operation(SYNC.action, {"customAttributes": {"user_id": "u1", "text": "x" * size}})
    with wire(script) as url:
        client = Client(settings(url))
        for _ in range(3):
            assert client.send(row).verdict is Verdict.DELIVERED
    assert len(b"".join(pieces).split(b"POST ")) == 4
    if size == 10:
        assert len(pieces) == 3


def test_only_a_kept_connection_is_used() -> None:
    with Server(said(200, {})) as server:
        client = Client(settings(server.url))
        assert client.begin(SYNC) is None
        client.send(SYNC)
        large = Operation(SYNC.action, {"customAttributes": {"user_id": "u1", "text": "x" * 20_000}})
        assert client.begin(large) is None
        assert client.begin(TAG) is None  # which route it has is not known
        assert client.begin(SYNC) is not None
        assert client.begin(SYNC) is None  # the other call has it


def test_a_connection_that_was_closed_meanwhile_is_not_used() -> None:
    def script(sock: socket.socket, _ending: threading.Event) -> None:
        read_request(sock)
        sock.sendall(TAKEN)

    with wire(script) as url:
        client = Client(settings(url))
        assert client.send(SYNC).verdict is Verdict.DELIVERED
        time.sleep(0.1)
        assert client.begin(SYNC) is None
        assert client.send(SYNC).verdict is Verdict.DELIVERED


@pytest.mark.parametrize(
    ("whole", "kept"), [(TAKEN, True), (CHUNKED, True), (TAKEN.replace(b"OK", b"OK\r\nConnection: close"), False)]
)
def test_a_connection_is_kept_for_the_next_call(whole: bytes, kept: bool) -> None:
    connections = 0

    def script(sock: socket.socket, _ending: threading.Event) -> None:
        nonlocal connections
        connections += 1
        while read_request(sock).strip():
            sock.sendall(whole if b"tagId" in whole or connections > 1 or not kept else TAKEN)

    with wire(script) as url:
        client = Client(settings(url))
        client.send(SYNC)
        for _ in range(5):
            call = client.begin(SYNC)
            if call is None:
                client.send(SYNC)
            else:
                assert not isinstance(call, Answer)
                *_, answer = land(call)
                assert answer is not None
                assert answer.verdict is Verdict.DELIVERED
    assert (connections == 1) is kept


def test_an_answer_that_asks_for_another_call_is_judged_by_one_who_may_wait() -> None:
    page = Canned(403, b"<html>", {"Content-Type": "text/html"})
    with Server(lambda _: said(200, {}) if len(server.asked) == 1 else page) as server:
        client = Client(settings(server.url))
        call = begun(client)
        assert set(land(call)) == {None}
        assert call.blocks
        assert len(server.asked) == 2
        assert call.wait().verdict in (Verdict.FATAL, Verdict.REJECTED)
        assert len(server.asked) > 2


def test_a_proxy_gets_the_whole_address_and_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[bytes] = []

    def script(sock: socket.socket, _ending: threading.Event) -> None:
        while request := read_request(sock).strip():
            requests.append(request)
            sock.sendall(TAKEN)

    with wire(script) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.replace("//", "//user:secret@"))
        monkeypatch.setenv("NO_PROXY", "")
        assert [look for look in land(begun(Client(settings("http://cleverpush.test")))) if look] == [
            Answer(Verdict.DELIVERED, status=200, ids=("s1",))
        ]
    password = base64.b64encode(b"user:secret")
    assert len(requests) == 2
    for request in requests:
        assert request.startswith(b"POST http://cleverpush.test/subscription/sync HTTP/1.1\r\n")
        assert b"Proxy-Authorization: Basic " + password in request
    assert sorted(requests[0].split(b"\r\n")) == sorted(requests[1].split(b"\r\n"))


def test_a_call_that_is_begun_says_what_one_that_is_waited_for_says() -> None:
    requests: list[bytes] = []

    def script(sock: socket.socket, _ending: threading.Event) -> None:
        while request := read_request(sock).strip():
            requests.append(request)
            sock.sendall(TAKEN)

    read = Operation(Action("read", {"plain": "GET /subscription"}), {"user_id": "a b&c"})
    with wire(script) as url:
        client = Client(settings(url))
        for operation in (SYNC, read):
            client.send(operation)
            for _ in range(2):
                call = client.begin(operation)
                assert call is not None
                assert not isinstance(call, Answer)
                assert any(land(call))
    for waited, *others in (requests[:3], requests[3:]):
        for begun_ in others:
            assert sorted(begun_.split(b"\r\n")) == sorted(waited.split(b"\r\n"))
