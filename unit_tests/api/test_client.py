"""The client against real sockets: what each answer means, and that the key goes nowhere else."""

from __future__ import annotations

import os
import resource

import pytest

from destination_cleverpush.api.client import WITNESS, Client
from destination_cleverpush.errors import FailureKind
from destination_cleverpush.words import Operation, Verdict
from unit_tests.api.calls import CHANNEL, KEY, SYNC, TAG, answer_to, channels, settings
from unit_tests.server import Canned, Server, closed_port, said


def test_a_call_is_a_post_with_the_key_and_the_channel() -> None:
    with Server(said(200, {"id": "1"})) as server:
        client = Client(settings(server.url))
        assert client.send(SYNC).verdict is Verdict.DELIVERED
        assert client.send(TAG).verdict is Verdict.DELIVERED
    first, second = server.asked
    assert (first.method, first.path) == ("POST", "/subscription/sync")
    assert first.headers["authorization"] == KEY
    assert first.headers["content-type"] == "application/json"
    assert first.json == {"channelId": CHANNEL, "customAttributes": {"user_id": "u1"}}
    assert second.path == "/subscription/tag/add"
    assert server.connections == 1, "the connection is kept"


@pytest.mark.parametrize(
    ("canned", "verdict", "code"),
    [
        (said(200, {}), Verdict.DELIVERED, ""),
        (said(201, {"id": "x"}), Verdict.DELIVERED, ""),
        (Canned(204, b""), Verdict.DELIVERED, ""),
        (Canned(200, b"OK"), Verdict.DELIVERED, ""),
        (Canned(200, b"<html>"), Verdict.RETRY, "no_answer"),
        (Canned(200, b"hi", {"Content-Type": "text/html"}), Verdict.RETRY, "no_answer"),
        (Canned(200, b'{"id": "x'), Verdict.RETRY, "no_answer"),
        (said(200, {"success": False, "error": "Tag t does not exist"}), Verdict.REJECTED, "unknown_tag"),
        (said(200, {"status": "error", "message": "Topic unknown"}), Verdict.REJECTED, "unknown_topic"),
        (said(200, {"status": "error"}), Verdict.REJECTED, "payload_refused"),
        (said(200, {"status": "ok"}), Verdict.DELIVERED, ""),
        (said(400, "Custom attribute tier does not exist"), Verdict.REJECTED, "unknown_attribute"),
        (said(404, "Subscription not found"), Verdict.REJECTED, "not_found"),
        (Canned(404, b"Subscription not found", {"Content-Type": "text/html"}), Verdict.REJECTED, "not_found"),
        (said(404, "Tag 'route-66' not found"), Verdict.REJECTED, "unknown_tag"),
        (said(404, "Subscription path not found"), Verdict.REJECTED, "not_found"),
        (said(409, "busy"), Verdict.RETRY, "conflict"),
        (said(409, "tag unknown"), Verdict.REJECTED, "unknown_tag"),
        (said(410, "gone"), Verdict.REJECTED, "not_found"),
        (said(413, "large"), Verdict.REJECTED, "payload_too_large"),
        (said(422, "no"), Verdict.REJECTED, "payload_refused"),
        *((said(status), Verdict.RETRY, "server_error") for status in (408, 425, *range(500, 508), 520, 530, 599)),
        (said(429), Verdict.THROTTLED, "server_error"),
    ],
)
def test_what_an_answer_means(canned: Canned, verdict: Verdict, code: str) -> None:
    answer = answer_to(canned)
    assert (answer.verdict, answer.reason.code if answer.reason else "") == (verdict, code)


@pytest.mark.parametrize(
    ("canned", "kind", "words"),
    [
        (said(401), FailureKind.CONFIG, "Authentication failed: invalid API key"),
        (said(403), FailureKind.CONFIG, "lacks a permission"),
        (said(403, "no"), FailureKind.CONFIG, "authorizer webhook"),
        (said(407), FailureKind.CONFIG, "leads through a proxy, which refused to be used"),
        (said(404, "Channel not found"), FailureKind.CONFIG, "Channel not found"),
        (said(302, None, Location="http://127.0.0.1:9/"), FailureKind.CONFIG, "redirect"),
        (said(200, "Channel not found"), FailureKind.CONFIG, "Channel not found"),
        (
            Canned(404, b"<!DOCTYPE html><pre>Cannot POST /x</pre>"),
            FailureKind.CONFIG,
            "does not exist (HTTP 404)",
        ),
        (said(404, "Route not found"), FailureKind.CONFIG, "/subscription/sync does not exist (HTTP 404)"),
        (said(404, "The requested URL was not found"), FailureKind.CONFIG, "does not exist (HTTP 404)"),
        (said(405), FailureKind.CONFIG, "Check the API Address under Advanced"),
        (said(418), FailureKind.TRANSIENT, "418"),
    ],
)
def test_what_ends_the_sync(canned: Canned, kind: FailureKind, words: str) -> None:
    answer = answer_to(canned)
    assert answer.verdict is Verdict.FATAL
    assert answer.failure is not None
    assert answer.failure.kind is kind
    assert words in answer.failure.message
    assert KEY not in answer.failure.message


def test_a_route_that_was_there_before_is_tried_again() -> None:
    page = Canned(404, b"<html>not found</html>")
    with Server(lambda asked: page if len(server.asked) > 1 else said(200, {})) as server:
        client = Client(settings(server.url))
        assert client.send(SYNC).verdict is Verdict.DELIVERED
        again = client.send(SYNC)
    assert (again.verdict, again.summary) == (Verdict.RETRY, "answered 404 as if it had no such route")


def test_a_redirect_is_never_followed() -> None:
    with Server(said(200, {})) as elsewhere, Server(said(307, None, Location=f"{elsewhere.url}/x")) as server:
        assert Client(settings(server.url)).send(SYNC).verdict is Verdict.FATAL
    assert elsewhere.asked == []


def test_connections_that_break_or_never_come_about() -> None:
    broken = answer_to(Canned(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"))
    assert (broken.verdict, broken.summary, broken.local) == (Verdict.RETRY, "broke off the connection", False)
    late = answer_to(Canned(silence=5), timeout=0.2)
    assert (late.verdict, late.summary, late.congested) == (Verdict.RETRY, "gave no answer within 0.2 s", True)
    assert not late.local, "it may have been the row"


def test_a_connection_that_is_refused_judges_no_row() -> None:
    nobody = Client(settings(f"http://127.0.0.1:{closed_port()}")).send(SYNC)
    assert (nobody.verdict, nobody.summary) == (Verdict.RETRY, "could not be connected to (connection refused)")
    assert nobody.local
    assert nobody.congested


def test_a_lack_of_descriptors_judges_no_row() -> None:
    with Server(said(200)) as server:
        client = Client(settings(server.url))
        lowest = os.dup(0)
        os.close(lowest)
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
        try:
            answer = client.send(SYNC)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert client.send(SYNC).verdict is Verdict.DELIVERED
    assert (answer.verdict, answer.local, answer.congested) == (Verdict.RETRY, True, True)
    assert "file descriptors" in answer.summary


@pytest.mark.parametrize(
    ("body", "ids"),
    [
        ({"id": "a1"}, ("a1",)),
        ({"_id": "a1"}, ("a1",)),
        ({"subscription": {"_id": "a1", "topics": []}}, ("a1",)),
        ({"id": None}, ()),
        ({"id": 7}, ()),
        ({"subscription": "a1"}, ()),
        ({}, ()),
        ([{"id": "a1"}], ()),
    ],
)
def test_the_ids_that_an_answer_names(body: object, ids: tuple[str, ...]) -> None:
    answer = answer_to(said(201, body))
    assert (answer.verdict, answer.ids) == (Verdict.DELIVERED, ids)


# --- a witness


@pytest.mark.parametrize(
    ("canned", "verdict"),
    [
        (said(200, {"channels": []}), Verdict.DELIVERED),
        (said(503), Verdict.RETRY),
        (said(403), Verdict.RETRY),
        (Canned(200, b"<html>"), Verdict.RETRY),
        (Canned(raw=b""), Verdict.RETRY),
    ],
)
def test_a_read_bears_witness_that_cleverpush_answers(canned: Canned, verdict: Verdict) -> None:
    with Server(canned) as server:
        client = Client(settings(server.url))
        answers = [client.send(Operation(WITNESS, {})) for _ in range(2)]
    assert [answer.verdict for answer in answers] == [verdict] * 2
    assert [(asked.method, asked.path) for asked in server.asked] == [("GET", "/channels")] * 2


# --- a firewall

PAGE = Canned(403, b"<html>Request blocked</html>", {"Content-Type": "text/html"})


def test_a_web_page_that_refuses_a_row_judges_the_row_where_reads_pass() -> None:
    with Server(lambda asked: PAGE if asked.method == "POST" else channels(asked)) as server:
        client = Client(settings(server.url))
        answers = [client.send(SYNC) for _ in range(3)]
        assert [asked.path for asked in server.asked].count("/channels") == 1, "one read is enough for a while"
        eager = Client(settings(server.url), reads_vouch_seconds=0)
        assert {eager.send(SYNC).verdict for _ in range(2)} == {Verdict.REJECTED}
        assert [asked.path for asked in server.asked].count("/channels") == 3
    assert {(answer.verdict, answer.reason and answer.reason.code) for answer in answers} == {
        (Verdict.REJECTED, "blocked")
    }


def test_a_firewall_that_refuses_reads_too_ends_the_sync() -> None:
    answer = answer_to(PAGE)
    assert answer.verdict is Verdict.FATAL
    assert answer.failure is not None
    assert answer.failure.kind is FailureKind.CONFIG
    assert "firewall" in answer.failure.message


def test_where_the_read_fails_otherwise_the_row_is_tried_again() -> None:
    answer = answer_to(lambda asked: PAGE if asked.method == "POST" else said(500))
    assert (answer.verdict, answer.reason and answer.reason.code) == (Verdict.RETRY, "blocked")


def test_no_more_of_an_answer_is_read_than_is_needed() -> None:
    answer = answer_to(Canned(500, b"x" * 3_000_000))
    assert len(answer.words or "") <= 500


def test_a_long_answer_is_an_answer() -> None:
    assert answer_to(said(200, {"subscription": {"attributes": "x" * 200_000}})).verdict is Verdict.DELIVERED


def test_words_are_those_of_cleverpush() -> None:
    body = {"error": "Refused", "message": "because", "errors": [{"field": "x"}]}
    assert answer_to(said(422, body)).words == 'Refused; because; [{"field": "x"}]'
    assert answer_to(Canned(400, b"plain \n text")).words == "plain text"
